#include "runtime/profile/profile.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "kernels/backends.h"
#include "kernels/cores.h"
#include "proto/status_macros.h"
#include "proto/text_proto.h"
#include "runtime/plan/device_options.h"
#include "runtime/profile/call_table.h"
#include "runtime/profile/link_profile.h"
#include "runtime/profile/rank_group.h"
#include "runtime/profile/samples.h"

namespace millrace {
namespace {

constexpr int kMostCollectiveRanks = 64;
constexpr double kMostBudget = 24 * 3600;

int Cores() { return FindAllowedCores("").cores; }

int ThreadsOf(const proto::ExecutionPlan& plan) {
  return plan.ranks().empty() ? 1 : static_cast<int>(std::clamp<uint32_t>(plan.ranks(0).threads(), 1, 1024));
}

// Ranks that are busy at once on the cores they share; 1: nobody shares.
int SharingOf(const proto::ExecutionPlan& plan) {
  int sharing = 0;
  for (const proto::Rank& rank : plan.ranks()) {
    if (!rank.shares().empty() && rank.shares() == plan.ranks(0).shares()) ++sharing;
  }
  const int cores = plan.ranks().empty() || plan.ranks(0).shared_cores() == 0
                        ? Cores()
                        : static_cast<int>(plan.ranks(0).shared_cores());
  return std::max(1, std::min({sharing, cores / ThreadsOf(plan), Cores() / ThreadsOf(plan)}));
}

uint64_t LargestEdge(const proto::ExecutionPlan& plan) {
  uint64_t largest = 0;
  for (const proto::Program& program : plan.programs()) {
    for (const proto::Edge& edge : program.edges()) largest = std::max(largest, edge.bytes());
  }
  return largest;
}

class Profiler {
 public:
  Profiler(const proto::ExecutionPlan& plan, const proto::CostTable& known, const ProfileOptions& options)
      : plan_(plan), known_(known), options_(options), table_(plan), sharing_(SharingOf(plan)) {
    for (const proto::KernelCost& kernel : known.kernels()) of_known_.emplace(kernel.key(), &kernel);
    for (size_t c = 0; c < table_.calls().size(); ++c) {
      const auto found = of_known_.find(table_.calls()[c].key);
      const bool good = found != of_known_.end() && (sharing_ < 2 || found->second->seconds_shared() > 0);
      if (!good) wanted_.insert(static_cast<int>(c));
    }
  }

  absl::StatusOr<Profiled> Run() {
    MR_RETURN_IF_ERROR(IdentifyMachine(plan_, options_, &result_.table));
    result_.measured = static_cast<int>(wanted_.size());
    result_.known = static_cast<int>(table_.calls().size() - wanted_.size());
    times_.alone.resize(table_.calls().size());
    times_.shared.resize(table_.calls().size());
    times_.needs.resize(table_.calls().size());
    const std::vector<std::vector<int>> groups = Groups();
    for (const std::vector<int>& ranks : groups) MR_RETURN_IF_ERROR(MeasureRanks(ranks, groups.size()));
    AddKernels();
    MR_RETURN_IF_ERROR(AddCommunication());
    return std::move(result_);
  }

 private:
  // Ranks to replay, as many at a time as share cores: in order those that make a wanted call which no rank before
  // makes, and others to keep them company.
  std::vector<std::vector<int>> Groups() const {
    std::set<int> wanted = wanted_;
    std::vector<std::vector<int>> groups;
    std::vector<bool> taken(plan_.ranks_size(), false);
    for (int rank = 0; rank < plan_.ranks_size(); ++rank) {
      const size_t before = wanted.size();
      for (int call : table_.OfRank(rank)) wanted.erase(call);
      if (wanted.size() == before) continue;
      if (groups.empty() || static_cast<int>(groups.back().size()) >= sharing_) groups.emplace_back();
      groups.back().push_back(rank);
      taken[rank] = true;
    }
    if (groups.empty()) return groups;
    for (int rank = 0; rank < plan_.ranks_size() && static_cast<int>(groups.back().size()) < sharing_; ++rank) {
      if (!taken[rank]) groups.back().push_back(rank);
    }
    return groups;
  }

  absl::Status MeasureRanks(const std::vector<int>& ranks, size_t groups) {
    const double budget = options_.budget_seconds / static_cast<double>(groups);
    const double each = budget / static_cast<double>(ranks.size() + (ranks.size() > 1 ? 2 : 0));
    DeviceOptions device = DeviceOptionsOf(plan_.device_settings());
    device.threads = ThreadsOf(plan_);
    const auto open = [&](int) { return Open(plan_, options_, device); };
    MR_ASSIGN_OR_RETURN(GroupTimes times, MeasureGroup(plan_, table_, ranks, each, 2 * each, open));
    for (size_t c = 0; c < table_.calls().size(); ++c) {
      Append(std::move(times.alone[c]), &times_.alone[c]);
      if (!times.shared.empty()) Append(std::move(times.shared[c]), &times_.shared[c]);
    }
    for (int rank : ranks) {
      for (int call : table_.OfRank(rank)) times_.needs[call] = times.needs[call];
    }
    return absl::OkStatus();
  }

  static void Append(std::vector<double> from, std::vector<double>* to) {
    to->insert(to->end(), from.begin(), from.end());
  }

  void AddKernels() {
    std::vector<proto::KernelCost> kernels;
    for (size_t c = 0; c < table_.calls().size(); ++c) {
      const ProfiledCall& call = table_.calls()[c];
      if (wanted_.count(static_cast<int>(c)) == 0) {
        kernels.push_back(*of_known_.at(call.key));
        continue;
      }
      const Spread alone = SpreadOf(std::move(times_.alone[c]));
      if (alone.samples == 0) continue;  // no list runs it: nothing to predict
      proto::KernelCost& cost = kernels.emplace_back();
      cost.set_key(call.key);
      cost.set_seconds(alone.median);
      cost.set_seconds_spread(alone.range);
      cost.set_samples(static_cast<uint32_t>(alone.samples));
      cost.set_seconds_shared(SpreadOf(std::move(times_.shared[c])).median);
      cost.set_scratch_bytes(times_.needs[c].scratch_bytes);
      cost.set_packed_bytes(times_.needs[c].packed_bytes);
      cost.set_algorithm(times_.needs[c].algorithm);
      if (call.pack) {
        cost.set_bytes(2 * times_.needs[c].packed_bytes);
        continue;
      }
      if (options_.flops) cost.set_flops(options_.flops(call.desc));
      if (options_.bytes) cost.set_bytes(static_cast<uint64_t>(options_.bytes(call.desc)));
    }
    std::sort(kernels.begin(), kernels.end(), [](const auto& a, const auto& b) { return a.key() < b.key(); });
    for (proto::KernelCost& kernel : kernels) *result_.table.add_kernels() = std::move(kernel);
  }

  absl::Status AddCommunication() {
    proto::CostTable& table = result_.table;
    table.set_instruction_seconds(known_.instruction_seconds() > 0 ? known_.instruction_seconds()
                                                                   : MeasureInstruction());
    const int ranks = plan_.ranks_size();
    if (ranks < 2) return absl::OkStatus();
    *table.mutable_links() = known_.links();
    if (table.links().empty()) MR_RETURN_IF_ERROR(MeasureLinks(LargestEdge(plan_), &table));
    for (const proto::CollectiveCost& collective : known_.collectives()) {
      if (collective.ranks() == static_cast<uint32_t>(ranks)) *table.add_collectives() = collective;
    }
    if (table.collectives().empty() && ranks <= kMostCollectiveRanks)
      MR_RETURN_IF_ERROR(MeasureCollectives(ranks, &table));
    return absl::OkStatus();
  }

 public:
  static absl::StatusOr<std::unique_ptr<Device>> Open(const proto::ExecutionPlan& plan, const ProfileOptions& options,
                                                      const DeviceOptions& device) {
    return options.open_device ? options.open_device(device) : OpenDevice(plan.device_kind(), device);
  }

 private:
  const proto::ExecutionPlan& plan_;
  const proto::CostTable& known_;
  const ProfileOptions& options_;
  const CallTable table_;
  const int sharing_;
  absl::flat_hash_map<std::string, const proto::KernelCost*> of_known_;
  std::set<int> wanted_;  // calls to measure
  GroupTimes times_;
  Profiled result_;
};

}  // namespace

absl::Status IdentifyMachine(const proto::ExecutionPlan& plan, const ProfileOptions& options, proto::CostTable* table) {
  MR_ASSIGN_OR_RETURN(const std::unique_ptr<Device> device, Profiler::Open(plan, options, DeviceOptions()));
  table->set_schema_version(kSchemaVersion);
  table->set_device_kind(device->kind());
  table->set_device_name(device->name());
  table->set_measured(true);
  table->set_threads(static_cast<uint32_t>(ThreadsOf(plan)));
  table->set_cores(static_cast<uint32_t>(Cores()));
  const int sharing = SharingOf(plan);
  table->set_sharing(sharing > 1 ? static_cast<uint32_t>(sharing) : 0);
  std::string versions = LibraryVersions(device->kind());
  if (plan.device_settings().tf32()) versions += ", TF32";
  if (plan.device_settings().cudnn()) versions += ", attention by cuDNN";
  table->set_versions(versions);
  return absl::OkStatus();
}

absl::StatusOr<Profiled> Profile(const proto::ExecutionPlan& plan, const proto::CostTable& known,
                                 const ProfileOptions& options) {
  if (!std::isfinite(options.budget_seconds) || options.budget_seconds <= 0 || options.budget_seconds > kMostBudget) {
    return absl::InvalidArgumentError(absl::StrCat("a budget of ", options.budget_seconds,
                                                   " seconds for measuring; it must be more than 0 and at most ",
                                                   kMostBudget));
  }
  return Profiler(plan, known, options).Run();
}

}  // namespace millrace
