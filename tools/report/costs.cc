#include "tools/report/costs.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "proto/text_proto.h"
#include "runtime/plan/plan.h"
#include "runtime/worker/bind.h"

namespace millrace {
namespace {

constexpr int kRounds = 300;
constexpr double kLeastSeconds = 1e-9;  // of a call whose plan says 0: it can then be scaled

// The calls of one (stage, phase).
struct RunCalls {
  int stage = 0;
  proto::Phase phase = proto::F;
  std::vector<std::pair<int, int>> counts;  // (key, how many calls)
  double overhead = 0;                      // of the instruction, beyond its calls
};

struct Calls {
  std::vector<std::string> keys;
  std::vector<double> seconds, shared;  // by key
  std::vector<RunCalls> runs;
};

absl::StatusOr<const proto::Program*> Train(const proto::ExecutionPlan& plan) {
  const proto::Program* train = FindProgram(plan, "train");
  if (train == nullptr) return absl::FailedPreconditionError("the plan has no program 'train'");
  return train;
}

absl::StatusOr<Calls> CallsOf(const proto::Program& train) {
  Calls calls;
  absl::flat_hash_map<std::string, int> index;
  for (const proto::StageProgram& stage : train.stages()) {
    for (const proto::PhaseProgram& phase : stage.phases()) {
      RunCalls run{static_cast<int>(stage.stage()), phase.phase(), {}, phase.seconds()};
      std::map<int, int> counts;
      for (const proto::KernelCall& call : phase.calls()) {
        MR_ASSIGN_OR_RETURN(const OpDesc desc, DescOf(stage, call));
        const auto [known, is_new] = index.try_emplace(desc.Key(), static_cast<int>(calls.keys.size()));
        if (is_new) {
          calls.keys.push_back(known->first);
          calls.seconds.push_back(call.seconds());
          calls.shared.push_back(call.seconds_shared());
        }
        ++counts[known->second];
        run.overhead -= call.seconds();
      }
      run.overhead = std::max(0.0, run.overhead);
      run.counts.assign(counts.begin(), counts.end());
      calls.runs.push_back(std::move(run));
    }
  }
  return calls;
}

proto::CostTable Table(const proto::ExecutionPlan& plan, const Calls& calls) {
  proto::CostTable table;
  table.set_schema_version(kSchemaVersion);
  table.set_device_kind(plan.device_kind());
  table.set_device_name(plan.costs().device_name());
  table.set_instruction_seconds(plan.costs().instruction_seconds());
  for (size_t k = 0; k < calls.keys.size(); ++k) {
    proto::KernelCost& cost = *table.add_kernels();
    cost.set_key(calls.keys[k]);
    cost.set_seconds(calls.seconds[k]);
    cost.set_seconds_shared(calls.shared[k]);
  }
  return table;
}

double Median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace

absl::StatusOr<proto::CostTable> PlannedCosts(const proto::ExecutionPlan& plan) {
  MR_ASSIGN_OR_RETURN(const proto::Program* train, Train(plan));
  MR_ASSIGN_OR_RETURN(const Calls calls, CallsOf(*train));
  return Table(plan, calls);
}

absl::StatusOr<proto::CostTable> MeasuredCosts(const proto::ExecutionPlan& plan, const proto::StepTrace& measured) {
  MR_ASSIGN_OR_RETURN(const proto::Program* train, Train(plan));
  MR_ASSIGN_OR_RETURN(Calls calls, CallsOf(*train));
  std::map<std::pair<int, int>, std::vector<double>> times;  // (stage, phase)
  for (const proto::Span& span : measured.spans()) {
    if (span.rank() >= train->ranks_size() || span.instruction() >= train->ranks(span.rank()).instructions_size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("trace: rank ", span.rank(), " has no instruction ", span.instruction()));
    }
    const proto::Instruction& run = train->ranks(span.rank()).instructions(span.instruction());
    if (run.kind() != proto::Instruction::RUN) continue;
    const double seconds = span.end_seconds() - span.start_seconds() - span.wait_seconds();
    times[{run.stage(), run.phase()}].push_back(std::max(0.0, seconds));
  }
  std::vector<double> target(calls.runs.size(), -1);  // below 0: not measured
  for (size_t s = 0; s < calls.runs.size(); ++s) {
    const auto found = times.find({calls.runs[s].stage, calls.runs[s].phase});
    if (found != times.end()) target[s] = std::max(0.0, Median(std::move(found->second)) - calls.runs[s].overhead);
  }
  for (double& seconds : calls.seconds) seconds = std::max(seconds, kLeastSeconds);
  std::vector<double> scaled(calls.keys.size()), counted(calls.keys.size());
  for (int round = 0; round < kRounds; ++round) {
    std::fill(scaled.begin(), scaled.end(), 0);
    std::fill(counted.begin(), counted.end(), 0);
    for (size_t s = 0; s < calls.runs.size(); ++s) {
      if (target[s] < 0) continue;
      double sum = 0;
      for (const auto& [k, count] : calls.runs[s].counts) sum += count * calls.seconds[k];
      if (!(sum > 0)) continue;
      for (const auto& [k, count] : calls.runs[s].counts) {
        scaled[k] += count * (target[s] / sum);
        counted[k] += count;
      }
    }
    for (size_t k = 0; k < calls.keys.size(); ++k) {
      if (counted[k] > 0) calls.seconds[k] *= scaled[k] / counted[k];
    }
  }
  // What was measured was measured with the neighbours at work, if there are any.
  calls.shared = calls.seconds;
  proto::CostTable table = Table(plan, calls);
  table.set_measured(true);
  return table;
}

}  // namespace millrace
