#include "tools/report/recut.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "proto/status_macros.h"
#include "runtime/plan/plan.h"
#include "tools/report/escape.h"

namespace millrace {
namespace {

constexpr int kMostTried = 400, kFewestTried = 20;
constexpr int64_t kWork = 1'000'000;  // instructions and kernel calls of all plans tried: some seconds
constexpr double kWorthIt = 0.005;

class Search {
 public:
  Search(Replanner* replanner, int most) : replanner_(*replanner), most_(most) {}

  // Every cut: first_[1] < first_[2] < ... over all units.
  absl::Status All() {
    first_.assign(replanner_.stages(), 0);
    return Place(1);
  }

  // From the balanced and the present cut on: one border to either side, for as long as that helps. Small units make
  // plateaus (a normalisation alone changes little), so a border also looks a few units ahead.
  absl::Status Near() {
    MR_RETURN_IF_ERROR(Try(replanner_.present()).status());
    MR_ASSIGN_OR_RETURN(const std::vector<int> balanced, replanner_.Balanced());
    MR_RETURN_IF_ERROR(Try(balanced).status());
    for (bool moved = true; moved;) {
      moved = false;
      for (size_t s = 1; s < best_.size() && !moved; ++s) {
        for (const int by : {-1, 1, -2, 2, -4, 4, -8, 8}) {
          std::vector<int> next = best_;
          next[s] += by;
          const int end = s + 1 < next.size() ? next[s + 1] : replanner_.units();
          if (next[s] <= next[s - 1] || next[s] >= end) continue;
          if (tried_ >= most_) return absl::OkStatus();
          MR_ASSIGN_OR_RETURN(moved, Try(next));
          if (moved) break;
        }
      }
    }
    return absl::OkStatus();
  }

  const std::vector<int>& best() const { return best_; }
  int tried() const { return tried_; }

 private:
  absl::Status Place(size_t stage) {
    if (stage == first_.size()) return Try(first_).status();
    const int left = static_cast<int>(first_.size() - stage);
    for (int unit = first_[stage - 1] + 1; unit + left <= replanner_.units(); ++unit) {
      first_[stage] = unit;
      MR_RETURN_IF_ERROR(Place(stage + 1));
    }
    return absl::OkStatus();
  }

  // Is it the best so far? What does not fit is not.
  absl::StatusOr<bool> Try(const std::vector<int>& cut) {
    ++tried_;
    const absl::StatusOr<CutFigures> figures = replanner_.At(cut);
    if (absl::IsResourceExhausted(figures.status())) return false;
    MR_RETURN_IF_ERROR(figures.status());
    const bool better = best_.empty() || figures->seconds < seconds_;
    if (better) best_ = cut, seconds_ = figures->seconds;
    return better;
  }

  Replanner& replanner_;
  const int most_;
  std::vector<int> first_, best_;
  double seconds_ = 0;
  int tried_ = 0;
};

// So many cuts of a plan of this size are tried.
int MostTried(const proto::Program& train) {
  int64_t size = 1;
  for (const proto::RankProgram& rank : train.ranks()) size += rank.instructions_size();
  for (const proto::StageProgram& stage : train.stages()) {
    for (const proto::PhaseProgram& phase : stage.phases()) size += phase.calls_size();
  }
  return static_cast<int>(std::clamp<int64_t>(kWork / size, kFewestTried, kMostTried));
}

void WriteCommand(const proto::ExecutionPlan& plan, const PartitionOptions& options, const RecutPaths& paths,
                  Recut* recut) {
  if (options.custom_schedule.has_value()) {
    recut->remark = "the schedule is one of its own, which no flag of millrace partition names";
    return;
  }
  for (const std::string& name : recut->best_after) {
    if (name.find(',') == std::string::npos) continue;
    recut->remark = absl::StrCat("node '", name, "' has a comma in its name, which --cut-after cannot say");
    return;
  }
  std::vector<std::string> words = {"millrace", "partition", paths.model};
  if (HasLocalDevices(plan)) {
    words.push_back(absl::StrCat("--devices=", plan.device_kind(), ":", plan.ranks_size()));
  } else {
    words.push_back("--cluster=FILE");
    recut->remark = "FILE stands for the cluster file that the plan was made with: no plan keeps its name";
  }
  words.push_back(absl::StrCat("--pp=", options.pp));
  words.push_back(absl::StrCat("--micro-batch=", options.micro_batch));
  words.push_back(absl::StrCat("--micro-batches=", options.micro_batches));
  words.push_back(absl::StrCat("--schedule=", options.schedule));
  if (options.schedule == "zb-auto") {
    recut->remark = absl::StrCat(recut->remark, recut->remark.empty() ? "" : "; ",
                                 "add the --memory-limit that the schedule was made with, if there was one");
  }
  if (options.chunks > 0) words.push_back(absl::StrCat("--chunks=", options.chunks));
  if (options.recompute != "none") words.push_back(absl::StrCat("--recompute=", options.recompute));
  words.push_back(absl::StrCat("--optimizer=", options.optimizer));
  if (options.logits_batch != 1) words.push_back(absl::StrCat("--logits-batch=", options.logits_batch));
  words.push_back(absl::StrCat("--cut-after=", absl::StrJoin(recut->best_after, ",")));
  words.push_back(absl::StrCat("--out=", paths.out));
  recut->command = absl::StrJoin(
      words, " ", [](std::string* out, const std::string& word) { absl::StrAppend(out, ShellQuoted(word)); });
}

}  // namespace

int CountCuts(int units, int stages, int most) {
  // C(units - 1, stages - 1), a factor at a time: every partial product is a binomial coefficient, too.
  double count = 1;
  for (int k = 1; k < stages; ++k) {
    count = count * (units - stages + k) / k;
    if (count > most) return most + 1;
  }
  return static_cast<int>(count + 0.5);
}

absl::StatusOr<Recut> FindBetterCut(const proto::ExecutionPlan& plan, const proto::Model& model,
                                    const proto::CostTable& costs, const RecutPaths& paths) {
  if (plan.pp() < 2) return absl::FailedPreconditionError("there is one stage, and so no cut");
  MR_ASSIGN_OR_RETURN(Replanner replanner, Replanner::Make(plan, model, costs));
  const int most = MostTried(*FindProgram(plan, "train"));
  Search search(&replanner, most);
  Recut recut;
  recut.all_tried = CountCuts(replanner.units(), replanner.stages(), most) <= most;
  MR_RETURN_IF_ERROR(recut.all_tried ? search.All() : search.Near());
  if (search.best().empty()) return absl::ResourceExhaustedError("no cut fits the memory of the devices");
  MR_ASSIGN_OR_RETURN(recut.present, replanner.At(replanner.present()));
  MR_ASSIGN_OR_RETURN(recut.best, replanner.At(search.best()));
  recut.tried = search.tried();
  recut.improves = recut.gain() >= kWorthIt;
  recut.present_after = replanner.CutAfter(replanner.present());
  recut.best_after = replanner.CutAfter(search.best());
  if (recut.improves) WriteCommand(plan, replanner.options(), paths, &recut);
  return recut;
}

}  // namespace millrace
