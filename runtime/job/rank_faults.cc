#include "runtime/job/rank_faults.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "proto/plan.pb.h"
#include "proto/status_macros.h"

namespace millrace {
namespace {

constexpr absl::string_view kForm =
    "write kill|stop|crash|spin|sleep:rank=N:at=POINT[:when=before|waiting|after][:step=N][:nth=N][:ms=N], or "
    "drop|delay|wrong-size|kill-wait:rank=N[:send|recv][:peer=N][:nth=N][:ms=N]";

const std::map<absl::string_view, PointFault::Kind> kKinds = {{"kill", PointFault::Kind::kKill},
                                                              {"stop", PointFault::Kind::kStop},
                                                              {"crash", PointFault::Kind::kCrash},
                                                              {"spin", PointFault::Kind::kSpin},
                                                              {"sleep", PointFault::Kind::kSleep}};
const std::map<absl::string_view, PointFault::When> kTimes = {{"before", PointFault::When::kBefore},
                                                              {"waiting", PointFault::When::kWaiting},
                                                              {"after", PointFault::When::kAfter}};

absl::Status NotUnderstood(absl::string_view fault, absl::string_view word) {
  return absl::InvalidArgumentError(absl::StrCat("fault '", fault, "': '", word, "' is not understood; ", kForm));
}

bool IsPoint(const std::string& point) {
  const std::vector<std::string>& job = JobPoints();
  if (std::find(job.begin(), job.end(), point) != job.end()) return true;
  absl::string_view phase = point;
  proto::Phase of_run;
  if (absl::ConsumePrefix(&phase, "RUN_")) return proto::Phase_Parse(std::string(phase), &of_run) && of_run != 0;
  proto::Instruction::Kind kind;
  return proto::Instruction::Kind_Parse(point, &kind) && kind != proto::Instruction::KIND_UNSPECIFIED;
}

absl::StatusOr<PointFault> ParsePointFault(absl::string_view text, const std::vector<absl::string_view>& words) {
  PointFault fault;
  fault.kind = kKinds.at(words[0]);
  for (size_t i = 1; i < words.size(); ++i) {
    absl::string_view word = words[i];
    int64_t ms = 0;
    bool good = false;
    if (absl::ConsumePrefix(&word, "at=")) {
      fault.point = std::string(word);
      good = IsPoint(fault.point);
    } else if (absl::ConsumePrefix(&word, "when=")) {
      good = kTimes.count(word) > 0;
      if (good) fault.when = kTimes.at(word);
    } else if (absl::ConsumePrefix(&word, "step=")) {
      good = absl::SimpleAtoi(word, &fault.step) && fault.step > 0;
    } else if (absl::ConsumePrefix(&word, "nth=")) {
      good = absl::SimpleAtoi(word, &fault.nth) && fault.nth > 0;
    } else if (absl::ConsumePrefix(&word, "ms=")) {
      good = absl::SimpleAtoi(word, &ms) && ms >= 0;
      fault.sleep = absl::Milliseconds(ms);
    }
    if (!good) return NotUnderstood(text, words[i]);
  }
  if (fault.point.empty()) return NotUnderstood(text, "no at=POINT");
  return fault;
}

}  // namespace

const std::vector<std::string>& JobPoints() {
  static const auto& points = *new std::vector<std::string>{"JOIN", "JOINED", "CHECKPOINT", "COMMIT"};
  return points;
}

absl::StatusOr<RankFaults> ParseRankFaults(absl::string_view text, int rank) {
  RankFaults faults;
  for (absl::string_view one : absl::StrSplit(text, ',', absl::SkipWhitespace())) {
    one = absl::StripAsciiWhitespace(one);
    std::vector<absl::string_view> words = absl::StrSplit(one, ':');
    // Whose it is; the rest is for one of the two kinds of faults.
    int of = -1;
    for (auto word = words.begin(); word != words.end() && of < 0; ++word) {
      absl::string_view value = *word;
      if (!absl::ConsumePrefix(&value, "rank=")) continue;
      if (!absl::SimpleAtoi(value, &of) || of < 0) return NotUnderstood(one, *word);
      words.erase(word);
      break;
    }
    if (of < 0) return NotUnderstood(one, "no rank=N");
    if (words.empty()) return NotUnderstood(one, "");
    if (kKinds.count(words[0]) > 0) {
      MR_ASSIGN_OR_RETURN(PointFault fault, ParsePointFault(one, words));
      if (of == rank) faults.points.push_back(std::move(fault));
      continue;
    }
    absl::StatusOr<std::vector<Fault>> transfers = ParseFaults(absl::StrJoin(words, ":"));
    if (!transfers.ok()) return NotUnderstood(one, words[0]);
    if (of == rank) faults.transfers.insert(faults.transfers.end(), transfers->begin(), transfers->end());
  }
  return faults;
}

void Strike(const PointFault& fault) {
  switch (fault.kind) {
    case PointFault::Kind::kKill:
      kill(getpid(), SIGKILL);
      break;
    case PointFault::Kind::kStop:
      kill(getpid(), SIGSTOP);
      break;
    case PointFault::Kind::kCrash:
      signal(SIGSEGV, SIG_DFL);
      raise(SIGSEGV);
      break;
    case PointFault::Kind::kSpin:
      for (volatile bool spins = true; spins;) {
      }
      break;
    case PointFault::Kind::kSleep:
      absl::SleepFor(fault.sleep);
      break;
  }
}

}  // namespace millrace
