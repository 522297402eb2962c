#include "partitioner/ways_to_fit.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "partitioner/choose_schedule.h"

namespace millrace {
namespace {

constexpr int64_t kMostTried = 1 << 16;  // stages times micro-batches of a plan that is worth trying
constexpr size_t kMostTold = 3;
constexpr char kInGeneral[] = "use more stages (pp), smaller micro-batches, recomputation or another schedule";

struct Way {
  std::string flags;
  uint64_t missing = 0;  // bytes, of the rank that lacks most
  int worst_rank = 0;
  double seconds = 0;
};

class Search {
 public:
  Search(const proto::Model& model, const PartitionOptions& options, const KernelNeedsFn& needs)
      : model_(model), asked_(options), named_(options.schedule), needs_(needs) {
    asked_.considered = nullptr;
    asked_.dump = nullptr;
  }

  std::string Tell() {
    const bool free = asked_.schedule == "auto" && !asked_.custom_schedule.has_value();
    if (free) asked_.schedule = "1f1b";
    Try(asked_, "");
    std::sort(lacking_stages_.begin(), lacking_stages_.end());
    if (tried_.empty()) return kInGeneral;  // it is not the memory of a device that does not suffice
    if (asked_.recompute == "none") {
      PartitionOptions some = asked_;
      some.recompute = absl::StrJoin(lacking_stages_, ",");
      if (!lacking_stages_.empty()) TryWith(some);
    }
    TryRecomputed(asked_);
    if (!asked_.custom_schedule.has_value()) {
      for (const char* kind : {"1f1b", "zb-h1", "v-half", "v-min"}) {
        PartitionOptions other = asked_;
        if (kind == asked_.schedule) continue;
        other.schedule = kind;
        other.chunks = 0;
        other.memory_limit = 0;
        TryWith(other);
        TryRecomputed(other);
      }
      TryTwiceTheStages();
    }
    return Words();
  }

 private:
  void TryRecomputed(PartitionOptions options) {
    if (options.recompute == "all" && options.recompute_as == "inside") return;
    options.recompute = "all";
    options.recompute_as = "inside";
    TryWith(options);
  }

  void TryTwiceTheStages() {
    PartitionOptions more = asked_;
    more.pp = 2 * asked_.pp;
    if (more.pp > more.cluster.devices_size() || more.cut == "by-hand") return;
    if (asked_.recompute != "none" && asked_.recompute != "all") more.recompute = "none";
    TryWith(more);
    TryRecomputed(more);
  }

  void TryWith(const PartitionOptions& options) { Try(options, FlagsOf(options)); }

  // What differs from what was asked for, as flags of `millrace partition`.
  std::string FlagsOf(const PartitionOptions& options) const {
    std::vector<std::string> flags;
    if (options.pp != asked_.pp) flags.push_back(absl::StrCat("--pp=", options.pp));
    if (options.schedule != named_) flags.push_back(absl::StrCat("--schedule=", options.schedule));
    if (options.recompute != asked_.recompute) flags.push_back(absl::StrCat("--recompute=", options.recompute));
    if (options.recompute_as != asked_.recompute_as) {
      flags.push_back(absl::StrCat("--recompute-as=", options.recompute_as));
    }
    return absl::StrJoin(flags, " ");
  }

  void Try(PartitionOptions options, std::string flags) {
    if (options.pp * options.micro_batches > kMostTried) return;
    std::vector<uint64_t> limits;
    for (proto::ClusterDevice& device : *options.cluster.mutable_devices()) {
      limits.push_back(device.memory_bytes());
      device.clear_memory_bytes();
    }
    const absl::StatusOr<proto::ExecutionPlan> plan = PartitionAsAsked(model_, options, needs_);
    if (!plan.ok()) return;
    Way way{.flags = std::move(flags), .seconds = plan->programs(0).predicted_seconds()};
    for (int r = 0; r < plan->ranks_size(); ++r) {
      const uint64_t arena = plan->ranks(r).arena_bytes();
      if (limits[r] == 0 || arena <= limits[r]) continue;
      if (tried_.empty()) {
        const auto& stages = plan->programs(0).ranks(r).stages();
        lacking_stages_.insert(lacking_stages_.end(), stages.begin(), stages.end());
      }
      if (arena - limits[r] <= way.missing) continue;
      way.missing = arena - limits[r];
      way.worst_rank = r;
    }
    tried_.push_back(std::move(way));
  }

  std::string Words() {
    const Way asked = tried_.front();
    std::vector<Way> fit;
    for (const Way& way : tried_) {
      if (way.missing == 0 && !way.flags.empty()) fit.push_back(way);
    }
    if (fit.empty()) {
      const Way& nearest = *std::min_element(tried_.begin(), tried_.end(),
                                             [](const Way& a, const Way& b) { return a.missing < b.missing; });
      return absl::StrCat(kInGeneral, "; of ", tried_.size(), " plans tried none fits, ",
                          nearest.flags.empty() ? "and what was asked for lacks least"
                                                : absl::StrCat("with ", nearest.flags, " rank ", nearest.worst_rank,
                                                               " still lacks ", nearest.missing, " bytes"));
    }
    std::stable_sort(fit.begin(), fit.end(), [](const Way& a, const Way& b) { return a.seconds < b.seconds; });
    std::vector<std::string> words;
    for (size_t i = 0; i < std::min(kMostTold, fit.size()); ++i) {
      words.push_back(absl::StrFormat("%s (predicted step %.3g ms, %+.1f %%)", fit[i].flags, 1e3 * fit[i].seconds,
                                      100 * (fit[i].seconds / asked.seconds - 1)));
    }
    return absl::StrCat("what fits, the shortest step first: ", absl::StrJoin(words, "; "));
  }

  const proto::Model& model_;
  PartitionOptions asked_;
  const std::string named_;  // the schedule; "auto" is tried as 1F1B
  const KernelNeedsFn& needs_;
  std::vector<Way> tried_;           // the first: what was asked for
  std::vector<int> lacking_stages_;  // of the ranks on which that does not fit
};

}  // namespace

std::string WaysToFit(const proto::Model& model, const PartitionOptions& options, const KernelNeedsFn& needs) {
  return Search(model, options, needs).Tell();
}

}  // namespace millrace
