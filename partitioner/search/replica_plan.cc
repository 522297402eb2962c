#include "partitioner/search/replica_plan.h"

#include "absl/strings/str_cat.h"
#include "partitioner/partition.h"
#include "partitioner/search/links.h"

namespace millrace {
namespace {

proto::Cluster GroupsOf(const Configuration& c, const PaperMachine& machine) {
  const double t = static_cast<double>(c.tensor_parallel);
  const int64_t stride = c.tensor_parallel * (c.placement == Placement::kReplicasTogether ? c.replicas : 1);
  proto::Cluster cluster;
  cluster.set_name("paper");
  for (int64_t r = 0; r < c.pipeline; ++r) {
    proto::ClusterDevice* group = cluster.add_devices();
    const int64_t first = r * stride;
    group->set_name(c.tensor_parallel == 1 ? absl::StrCat("device ", first)
                                           : absl::StrCat("device ", first, " to ", first + c.tensor_parallel - 1));
    group->set_kind("paper");
    group->set_flops_per_second(t * machine.device.peak_flops * machine.device.matmul_fraction);
    group->set_peak_flops_per_second(t * machine.device.peak_flops);
    group->set_bytes_per_second(t * machine.device.bytes_per_second);
    group->set_threads(1);
  }
  const LinkUse use = LinksOf(c, machine);
  for (int64_t r = 0; r < c.pipeline; ++r) {
    const bool inside = use.inside[r];
    for (const bool forward : {true, false}) {
      proto::Link* link = cluster.add_links();
      const int64_t next = (r + 1) % c.pipeline;
      link->set_from(cluster.devices(static_cast<int>(forward ? r : next)).name());
      link->set_to(cluster.devices(static_cast<int>(forward ? next : r)).name());
      link->set_latency_seconds(inside ? machine.inside_latency : machine.between_latency);
      link->set_bytes_per_second(t * (inside ? machine.inside_bytes_per_second : machine.between_bytes_per_second));
    }
  }
  return cluster;
}

}  // namespace

absl::StatusOr<proto::ExecutionPlan> MakeReplicaPlan(const proto::Model& model, const Configuration& c,
                                                     const PaperMachine& machine) {
  PartitionOptions options;
  options.cluster = GroupsOf(c, machine);
  options.pp = static_cast<int>(c.pipeline);
  options.micro_batch = c.micro_batch;
  options.micro_batches = c.micro_batches;
  options.schedule = std::string(NameOf(c.schedule));
  options.chunks = c.chunks > 1 ? static_cast<int>(c.chunks) : 0;
  options.recompute = c.recompute == ActivationRecompute::kFull ? "all" : "none";
  options.with_eval = false;
  options.with_logits = false;
  return Partition(model, options, [](const OpDesc&) { return KernelNeeds(); });
}

}  // namespace millrace
