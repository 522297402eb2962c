#include "tools/report/columns.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace millrace {
namespace {

template <typename Kind, int kKinds>
std::vector<Kind> Shown(const Balance& balance, double least) {
  std::vector<Kind> shown;
  for (int k = 0; k < kKinds; ++k) {
    const Kind kind = static_cast<Kind>(k);
    bool any = false;
    for (const Attribution* step : {&balance.predicted, &balance.measured}) {
      for (const RankTime& rank : step->ranks) any = any || rank.Of(kind) > least * step->seconds;
    }
    if (any) shown.push_back(kind);
  }
  return shown;
}

}  // namespace

std::vector<Work> WorksShown(const Balance& balance, double least) { return Shown<Work, kWorks>(balance, least); }
std::vector<Wait> WaitsShown(const Balance& balance, double least) { return Shown<Wait, kWaits>(balance, least); }

std::string WaitMeaning(Wait wait) {
  switch (wait) {
    case Wait::kFill:
      return "before the rank's first kernel";
    case Wait::kData:
      return "for data whose maker had not finished";
    case Wait::kLink:
      return "for a transfer under way, or an earlier one on its link";
    case Wait::kSlot:
      return "for bytes that were still being read";
    case Wait::kPeer:
      return "for another rank to arrive at a collective";
    case Wait::kCore:
      return "for a core: nothing else was missing";
    case Wait::kDone:
      return "after the rank's last instruction";
  }
  return "";
}

std::string StagesText(const std::vector<int>& stages) {
  const bool run = stages.size() > 2 && stages.back() - stages.front() == static_cast<int>(stages.size()) - 1;
  return run ? absl::StrCat(stages.front(), "-", stages.back()) : absl::StrJoin(stages, ",");
}

std::vector<MemoryPart> MemoryParts(const MemoryByKind& memory) {
  return {{"parameters", memory.parameters}, {"gradients", memory.gradients}, {"optimizer", memory.optimizer},
          {"packed", memory.packed},         {"transient", memory.transient}, {"other", memory.other}};
}

}  // namespace millrace
