#include "partitioner/options.h"

#include <algorithm>
#include <climits>
#include <cmath>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "partitioner/check_devices.h"
#include "partitioner/schedule/check_schedule.h"
#include "partitioner/schedule/make_schedule.h"
#include "partitioner/schedule/place_recompute.h"
#include "proto/status_macros.h"

namespace millrace {
namespace {

constexpr int64_t kMostRanks = 4096;
constexpr int64_t kMostMicroBatches = 1 << 16;
constexpr int64_t kMostSamples = 1 << 24;
constexpr int kMostChunks = 64;
constexpr int kMostSegments = 1024;
constexpr int64_t kMostRuns = 1 << 22;  // stages times micro-batches

absl::Status Bad(absl::string_view option, absl::string_view value, absl::string_view must) {
  return absl::InvalidArgumentError(absl::StrCat("option ", option, " = ", value, ": must be ", must));
}

absl::Status CheckRange(absl::string_view option, int64_t value, int64_t most) {
  if (value >= 1 && value <= most) return absl::OkStatus();
  return Bad(option, absl::StrCat(value), absl::StrCat("1 to ", most));
}

int FirstOfItsReplicas(const PartitionOptions& options, int device) {
  if (options.stage_replicas.empty()) return device % options.pp;
  int first = 0;
  for (int count : options.stage_replicas) {
    if (device < first + count) break;
    first += count;
  }
  return first;
}

absl::Status CheckDevicesUsed(const PartitionOptions& options) {
  const auto& devices = options.cluster.devices();
  const int ranks = RanksOf(options);
  if (devices.size() < ranks) {
    const bool more = ranks > options.pp;
    return absl::InvalidArgumentError(
        absl::StrCat("pp = ", options.pp, options.dp > 1 ? absl::StrCat(" times dp = ", options.dp) : "",
                     options.stage_replicas.empty()
                         ? ""
                         : absl::StrCat(" with ", absl::StrJoin(options.stage_replicas, "-"), " replicas"),
                     more ? absl::StrCat(" needs ", ranks, " devices") : " needs as many devices", "; the cluster has ",
                     devices.size()));
  }
  for (int d = 0; d < ranks; ++d) {
    if (devices[d].count() > 1) {
      return absl::InvalidArgumentError(absl::StrCat("device '", absl::CHexEscape(devices[d].name().substr(0, 96)),
                                                     "' is a group of ", devices[d].count(),
                                                     "; spell groups out with ExpandCluster"));
    }
    if (devices[d].kind() != devices[0].kind()) {
      return absl::InvalidArgumentError(absl::StrCat("the cluster has devices of kinds '", devices[0].kind(), "' and '",
                                                     devices[d].kind(), "'; a pipeline runs on devices of one kind"));
    }
  }
  for (int d = 0; d < ranks; ++d) {
    const proto::ClusterDevice &own = devices[d], &first = devices[FirstOfItsReplicas(options, d)];
    if (own.flops_per_second() != first.flops_per_second() || own.bytes_per_second() != first.bytes_per_second() ||
        own.threads() != first.threads()) {
      return absl::InvalidArgumentError(absl::StrCat("devices '", absl::CHexEscape(first.name().substr(0, 96)),
                                                     "' and '", absl::CHexEscape(own.name().substr(0, 96)),
                                                     "' would run the same stage in two replicas, but differ in speed "
                                                     "or threads; replica k of a pipeline has devices k x pp to k x "
                                                     "pp + pp - 1 of the list, and those of one stage stand side by "
                                                     "side: put equal ones there"));
    }
  }
  if (!options.costs.device_kind().empty() && options.costs.device_kind() != devices[0].kind()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the costs are of device kind '", absl::CHexEscape(options.costs.device_kind().substr(0, 96)),
                     "' and the devices of kind '", devices[0].kind(),
                     "'; measure them there with millrace profile, or leave the costs out"));
  }
  return absl::OkStatus();
}

absl::Status CheckCustom(const PartitionOptions& options) {
  const Schedule& schedule = *options.custom_schedule;
  MR_RETURN_IF_ERROR(CheckTrainSchedule(schedule));
  if (static_cast<int>(schedule.ranks.size()) != options.pp || schedule.micro_batches != options.micro_batches) {
    return absl::InvalidArgumentError(
        absl::StrCat("the schedule is for ", schedule.ranks.size(), " ranks and ", schedule.micro_batches,
                     " micro-batches; the options say pp = ", options.pp, " and ", options.micro_batches));
  }
  return absl::OkStatus();
}

absl::Status CheckSchedule(const PartitionOptions& options) {
  std::vector<std::string> kinds = ScheduleKinds();
  kinds.push_back("auto");
  if (std::find(kinds.begin(), kinds.end(), options.schedule) == kinds.end()) {
    return Bad("schedule", options.schedule, absl::StrJoin(kinds, ", "));
  }
  if (options.chunks < 0 || options.chunks > kMostChunks) {
    return Bad("chunks", absl::StrCat(options.chunks),
               absl::StrCat("1 to ", kMostChunks, ", or 0 for the schedule's own"));
  }
  if (options.schedule == "auto" && options.memory_limit != 0) {
    return Bad("schedule", "auto", "zb-auto where a limit of memory in micro-batches is given");
  }
  return CheckRange("pp times chunks times micro-batches",
                    options.pp * std::max(1, options.chunks) * options.micro_batches, kMostRuns);
}

// Which stages are recomputed?
absl::StatusOr<std::vector<bool>> StagesOf(const PartitionOptions& options, int stages) {
  std::vector<bool> recomputed(stages, options.recompute == "all");
  if (options.recompute == "all" || options.recompute == "none") return recomputed;
  for (absl::string_view part : absl::StrSplit(options.recompute, ',')) {
    int stage = 0;
    if (!absl::SimpleAtoi(part, &stage) || stage < 0 || stage >= stages) {
      return Bad("recompute", options.recompute,
                 absl::StrCat("none, all, or numbers of stages from 0 to ", stages - 1));
    }
    recomputed[stage] = true;
  }
  return recomputed;
}

ScheduleCosts CostsOf(const Schedule& schedule, const std::vector<StageSeconds>& stages) {
  if (stages.empty()) return ScheduleCosts::Uniform(schedule.stages, 1, 1, 1, 0);
  ScheduleCosts costs;
  for (const StageSeconds& stage : stages) {
    costs.forward.push_back(stage.forward);
    costs.backward_input.push_back(stage.backward_input);
    costs.backward_weight.push_back(stage.backward_weight);
    costs.recompute.push_back(stage.recompute);
    costs.communication.push_back(stage.transfer);
  }
  return costs;
}

// F, B and W, without what the options ask to be recomputed.
absl::StatusOr<Schedule> OrderOf(const PartitionOptions& options, const std::vector<StageSeconds>& stages,
                                 double weight_stash) {
  if (options.custom_schedule.has_value()) return *options.custom_schedule;
  ScheduleRequest request;
  request.kind = options.schedule;
  request.ranks = options.pp;
  request.micro_batches = static_cast<int>(options.micro_batches);
  request.chunks = options.chunks > 0 ? options.chunks : options.schedule == "interleaved" ? 2 : 1;
  request.memory_limit = options.memory_limit;
  request.weight_stash = weight_stash;
  for (const StageSeconds& stage : stages) {
    request.forward.push_back(stage.forward);
    request.backward_input.push_back(stage.backward_input);
    request.backward_weight.push_back(stage.backward_weight);
    request.communication.push_back(stage.transfer);
  }
  return MakeSchedule(request);
}

absl::Status CheckRecompute(const PartitionOptions& options) {
  if (options.recompute_as != "inside" && options.recompute_as != "placed") {
    return Bad("recompute-as", options.recompute_as, "inside or placed");
  }
  if (options.recompute_segments < 0 || options.recompute_segments > kMostSegments) {
    return Bad("recompute-segments", absl::StrCat(options.recompute_segments),
               absl::StrCat("1 to ", kMostSegments, ", or 0 for as many as take the fewest bytes"));
  }
  if (options.recompute_segments > 1 && options.recompute_as == "placed") {
    return Bad("recompute-segments", absl::StrCat(options.recompute_segments),
               "0 or 1 with recompute-as = placed: an R makes a whole stage again");
  }
  return absl::OkStatus();
}

}  // namespace

bool SumsReplicasFirst(const PartitionOptions& options) {
  return options.shard_optimizer >= 2 || options.sum_order == "replica-first";
}

// Level 2 exists to keep no whole gradients over the step, which sums over micro-batches would need.
absl::Status CheckSumOrder(const PartitionOptions& options) {
  if (options.sum_order.empty()) return absl::OkStatus();
  const bool replica_first = options.sum_order == "replica-first";
  if (!replica_first && options.sum_order != "micro-batch-first") {
    return Bad("sum-order", options.sum_order, "micro-batch-first or replica-first");
  }
  if (options.shard_optimizer >= 2 && !replica_first) {
    return Bad("sum-order", options.sum_order,
               absl::StrCat("replica-first at level ", options.shard_optimizer,
                            ": summed over micro-batches first, whole gradients are kept all the same and level ",
                            options.shard_optimizer, " saves nothing of them; use level 1"));
  }
  if (options.shard_optimizer == 1 && replica_first) {
    return Bad("sum-order", options.sum_order,
               "micro-batch-first at level 1; level 2 has the sums of replica-first and takes less memory");
  }
  return absl::OkStatus();
}

absl::Status CheckStageReplicas(const PartitionOptions& options) {
  if (options.stage_replicas.empty()) return absl::OkStatus();
  const std::string given = absl::StrJoin(options.stage_replicas, ",");
  const auto bad = [&given](absl::string_view why) { return Bad("stage-replicas", given, why); };
  if (static_cast<int>(options.stage_replicas.size()) != options.pp) {
    return bad(absl::StrCat("one number for each of the ", options.pp, " stages"));
  }
  for (int count : options.stage_replicas) {
    if (count < 1 || count > kMostRanks) return bad(absl::StrCat("numbers from 1 to ", kMostRanks));
    if (options.micro_batches % count != 0) {
      return bad(absl::StrCat("numbers that divide the ", options.micro_batches, " micro-batches evenly"));
    }
  }
  if (options.dp > 1) return bad("none with dp above 1, which replicates the whole pipeline");
  if (options.custom_schedule.has_value() || (options.schedule != "gpipe" && options.schedule != "1f1b")) {
    return bad("none with this schedule: gpipe and 1f1b know stages with replicas of their own");
  }
  if (options.recompute_as == "placed" && options.recompute != "none")
    return bad("none with recomputation placed as R");
  return absl::OkStatus();
}

absl::Status CheckOptions(const PartitionOptions& options) {
  MR_RETURN_IF_ERROR(CheckRange("pp", options.pp, kMostRanks));
  MR_RETURN_IF_ERROR(CheckRange("dp", options.dp, kMostRanks));
  MR_RETURN_IF_ERROR(CheckRange("pp times dp", int64_t{options.pp} * options.dp, kMostRanks));
  if (options.shard_optimizer < 0 || options.shard_optimizer > 3) {
    return Bad(
        "shard-optimizer", absl::StrCat(options.shard_optimizer),
        "0 (every replica keeps everything), 1 (each keeps its share of optimizer state), 2 (of gradients too) or "
        "3 (of parameters too)");
  }
  MR_RETURN_IF_ERROR(CheckSumOrder(options));
  MR_RETURN_IF_ERROR(CheckStageReplicas(options));
  MR_RETURN_IF_ERROR(CheckRange("the stages' replicas", RanksOf(options), kMostRanks));
  if (options.shard_optimizer > 0 && RanksOf(options) == options.pp) {
    return Bad("shard-optimizer", absl::StrCat(options.shard_optimizer),
               "0 where dp is 1: there is nobody to share with");
  }
  if (options.bucket_bytes < -1) return Bad("bucket-bytes", absl::StrCat(options.bucket_bytes), "-1, 0 or more");
  MR_RETURN_IF_ERROR(CheckRange("micro-batch", options.micro_batch, kMostSamples));
  MR_RETURN_IF_ERROR(CheckRange("micro-batches", options.micro_batches, kMostMicroBatches));
  MR_RETURN_IF_ERROR(CheckRange("logits-batch", options.logits_batch, kMostSamples));
  MR_RETURN_IF_ERROR(CheckRange("pp times micro-batches", options.pp * options.micro_batches, kMostRuns));
  if (options.optimizer != "adamw" && options.optimizer != "sgd") {
    return Bad("optimizer", options.optimizer, "adamw or sgd");
  }
  if (options.cut != "balanced" && options.cut != "exact" && options.cut != "even" && options.cut != "by-hand") {
    return Bad("cut", options.cut, "balanced, exact, even or by-hand");
  }
  if (!options.pinned.empty() && options.cut != "balanced" && options.cut != "exact") {
    return Bad("cut", options.cut, "balanced or exact where nodes are pinned");
  }
  if (options.cut != "by-hand" && !options.cut_after.empty()) {
    return Bad("cut", options.cut, "by-hand where stages are named by their last nodes");
  }
  if (options.placement != "links" && options.placement != "listed") {
    return Bad("placement", options.placement, "links or listed");
  }
  MR_RETURN_IF_ERROR(CheckRecompute(options));
  MR_RETURN_IF_ERROR(CheckCluster(options.cluster));
  MR_RETURN_IF_ERROR(CheckCostTable(options.costs));
  MR_RETURN_IF_ERROR(CheckDevicesUsed(options));
  if (options.custom_schedule.has_value()) return CheckCustom(options);
  return CheckSchedule(options);
}

int RanksOf(const PartitionOptions& options) {
  if (options.stage_replicas.empty()) return options.pp * options.dp;
  int64_t ranks = 0;
  for (int count : options.stage_replicas) ranks += count;
  return static_cast<int>(std::min<int64_t>(ranks, INT_MAX));
}

absl::StatusOr<Schedule> ScheduleOf(const PartitionOptions& options, const std::vector<StageSeconds>& stages,
                                    double weight_stash) {
  MR_ASSIGN_OR_RETURN(Schedule schedule, OrderOf(options, stages, weight_stash));
  MR_ASSIGN_OR_RETURN(const std::vector<bool> recomputed, StagesOf(options, schedule.stages));
  if (options.recompute_as != "placed") return schedule;
  return PlaceRecompute(schedule, CostsOf(schedule, stages), recomputed);
}

absl::StatusOr<std::vector<StageRecompute>> RecomputeOf(const PartitionOptions& options, const Schedule& schedule) {
  MR_ASSIGN_OR_RETURN(const std::vector<bool> recomputed, StagesOf(options, schedule.stages));
  std::vector<StageRecompute> stages(schedule.stages);
  for (int s = 0; s < schedule.stages; ++s) {
    if (recomputed[s]) stages[s].phase = proto::B;
    stages[s].segments = options.recompute_segments;
  }
  std::vector<int> in_flight(schedule.stages, 0);
  for (const std::vector<Action>& rank : schedule.ranks) {
    for (const Action& action : rank) {
      StageRecompute& stage = stages[action.stage];
      if (action.phase == proto::R) stage.phase = proto::R;
      if (action.phase == proto::F) stage.in_flight = std::max(stage.in_flight, ++in_flight[action.stage]);
      if (action.phase == proto::B || action.phase == proto::BW) --in_flight[action.stage];
    }
  }
  return stages;
}

std::string RecomputeText(const PartitionOptions& options, const std::vector<StageRecompute>& stages) {
  const auto any = [&](proto::Phase phase) {
    return std::any_of(stages.begin(), stages.end(), [&](const StageRecompute& s) { return s.phase == phase; });
  };
  if (options.recompute == "none") return any(proto::R) ? "where the schedule says R" : "none";
  if (!any(proto::B)) return absl::StrCat(options.recompute, ", placed as R");
  const std::string inside = absl::StrCat(options.recompute, ", inside B");
  if (options.recompute_segments == 0) return inside;
  return absl::StrCat(inside, ", ", options.recompute_segments,
                      options.recompute_segments == 1 ? " segment" : " segments");
}

}  // namespace millrace
