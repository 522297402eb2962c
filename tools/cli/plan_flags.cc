#include "tools/cli/plan_flags.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <numeric>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "kernels/backends.h"
#include "partitioner/check_devices.h"
#include "partitioner/cut/pins.h"
#include "partitioner/expand_cluster.h"
#include "partitioner/graph/build_graph.h"
#include "partitioner/local.h"
#include "partitioner/options.h"
#include "partitioner/schedule/make_schedule.h"
#include "proto/status_macros.h"
#include "proto/text_proto.h"
#include "runtime/log/log.h"
#include "runtime/plan/plan.h"
#include "runtime/plan/verify.h"
#include "tools/cli/command.h"

namespace millrace {
namespace {

constexpr int64_t kMostDevices = 4096;
constexpr uint64_t kMostPinBytes = uint64_t{64} << 20;

absl::Status CheckRange(absl::string_view flag, int64_t value, int64_t least, int64_t most) {
  if (value >= least && value <= most) return absl::OkStatus();
  return UsageError(absl::StrCat("--", flag, "=", value, ": a number from ", least, " to ", most, " is needed"));
}

absl::Status CheckWord(absl::string_view flag, const std::string& word, const std::vector<std::string>& words) {
  if (std::find(words.begin(), words.end(), word) != words.end()) return absl::OkStatus();
  const std::string near = Nearest(word, words);
  return UsageError(absl::StrCat("--", flag, "=", word, ": there are ", absl::StrJoin(words, ", "),
                                 near.empty() ? "" : absl::StrCat("; did you mean ", near, "?")));
}

absl::Status OfFile(absl::string_view path, const absl::Status& status) {
  return status.ok() ? status : absl::Status(status.code(), absl::StrCat(path, ": ", status.message()));
}

// "cpu:4" -> four devices cpu:0 ... cpu:3 that share this machine's cores. A count of 0 may be meant as the name of one
// device, so what keeps that kind from being used here is said first.
absl::StatusOr<proto::Cluster> DevicesOf(const std::string& text) {
  const std::vector<std::string> parts = absl::StrSplit(text, ':');
  int64_t count = 0;
  if (parts.size() != 2 || parts[0].empty() || !absl::SimpleAtoi(parts[1], &count)) {
    return UsageError(absl::StrCat("--devices=", text, ": KIND:COUNT is needed, for example cpu:4"));
  }
  if (count == 0) MR_RETURN_IF_ERROR(OpenDevice(parts[0], DeviceOptions()).status());
  MR_RETURN_IF_ERROR(CheckRange("devices", count, 1, kMostDevices));
  return LocalCluster(parts[0], static_cast<int>(count));
}

absl::Status SetDump(const std::string& dump, PartitionOptions* options) {
  if (dump.empty()) return absl::OkStatus();
  absl::string_view pass = dump;
  absl::ConsumePrefix(&pass, "after:");
  MR_RETURN_IF_ERROR(CheckWord("dump=after", std::string(pass), PassNames()));
  options->dump = [wanted = std::string(pass)](absl::string_view name, const std::string& text) {
    if (name == wanted) std::fputs(text.c_str(), stdout);
  };
  return absl::OkStatus();
}

// What --schedule=auto found, one line for each kind.
void TellChoices(const std::vector<ScheduleChoice>& choices) {
  const double best = choices[0].seconds;
  for (const ScheduleChoice& choice : choices) {
    if (!choice.status.ok()) {
      Log(LogLevel::kInfo, absl::StrCat("schedule ", choice.kind, ": not here: ", choice.status.message()));
      continue;
    }
    Log(LogLevel::kInfo,
        absl::StrFormat(
            "schedule %s: predicted step %.2f ms (%s), largest arena %.1f MB", choice.kind, 1e3 * choice.seconds,
            &choice == &choices[0] ? "taken" : absl::StrFormat("%+.1f %%", 100 * (choice.seconds / best - 1)),
            1e-6 * static_cast<double>(choice.largest_arena)));
  }
}

}  // namespace

absl::Status SetStageReplicas(const PlanFlags& flags, PartitionOptions* options) {
  if (flags.stage_replicas.empty()) return absl::OkStatus();
  for (absl::string_view text : absl::StrSplit(flags.stage_replicas, absl::ByAnyChar(",-"))) {
    int count = 0;
    if (!absl::SimpleAtoi(text, &count) || count < 1 || count > kMostDevices) {
      return UsageError(absl::StrCat("--stage-replicas=", flags.stage_replicas,
                                     ": a number is needed for each stage, for example 3,1"));
    }
    options->stage_replicas.push_back(count);
  }
  if (flags.pp != 0 && flags.pp != static_cast<int64_t>(options->stage_replicas.size())) {
    return UsageError(absl::StrCat("--stage-replicas=", flags.stage_replicas, " are ", options->stage_replicas.size(),
                                   " stages and --pp=", flags.pp));
  }
  return absl::OkStatus();
}

// How many devices the flags ask for, where none are named.
int64_t DevicesWanted(const PlanFlags& flags) {
  PartitionOptions options;
  if (!flags.stage_replicas.empty() && SetStageReplicas(flags, &options).ok() && !options.stage_replicas.empty()) {
    return std::accumulate(options.stage_replicas.begin(), options.stage_replicas.end(), int64_t{0});
  }
  return std::max<int64_t>(1, flags.pp) * flags.dp;
}

absl::StatusOr<proto::Cluster> ClusterOf(const PlanFlags& flags) {
  if (!flags.cluster.empty()) {
    if (!flags.devices.empty()) return UsageError("--devices and --cluster say the same thing twice: give one of them");
    proto::Cluster cluster;
    MR_RETURN_IF_ERROR(ReadMessage(flags.cluster, &cluster));
    MR_RETURN_IF_ERROR(OfFile(flags.cluster, CheckCluster(cluster)));
    return ExpandCluster(cluster);
  }
  return DevicesOf(flags.devices.empty() ? absl::StrCat("cpu:", DevicesWanted(flags))
                                         : flags.devices);
}

absl::StatusOr<PartitionOptions> PlanOptionsOf(const PlanFlags& flags) {
  PartitionOptions options;
  MR_RETURN_IF_ERROR(CheckRange("micro-batch", flags.micro_batch, 1, 1 << 20));
  MR_RETURN_IF_ERROR(CheckRange("micro-batches", flags.micro_batches, 1, 1 << 16));
  MR_RETURN_IF_ERROR(CheckRange("pp", flags.pp, 0, kMostDevices));
  MR_RETURN_IF_ERROR(CheckRange("dp", flags.dp, 1, kMostDevices));
  MR_RETURN_IF_ERROR(CheckRange("shard-optimizer", flags.shard_optimizer, 0, 3));
  if (!flags.sum_order.empty()) {
    MR_RETURN_IF_ERROR(CheckWord("sum-order", flags.sum_order, {"micro-batch-first", "replica-first"}));
  }
  if (flags.bucket_mb != -1 && !(flags.bucket_mb >= 0 && flags.bucket_mb <= 1 << 20)) {
    return UsageError(absl::StrCat("--bucket-mb=", flags.bucket_mb,
                                   ": megabytes are needed, 0 for one bucket a stage, -1 for what is predicted to be "
                                   "the quickest"));
  }
  MR_RETURN_IF_ERROR(CheckRange("logits-batch", flags.logits_batch, 1, 1 << 20));
  std::vector<std::string> schedules = ScheduleKinds();
  schedules.push_back("auto");
  MR_RETURN_IF_ERROR(CheckWord("schedule", flags.schedule, schedules));
  MR_RETURN_IF_ERROR(CheckRange("chunks", flags.chunks, 0, 64));
  MR_RETURN_IF_ERROR(CheckWord("recompute-as", flags.recompute_as, {"inside", "placed"}));
  MR_RETURN_IF_ERROR(CheckRange("recompute-segments", flags.recompute_segments, 0, 1024));
  MR_RETURN_IF_ERROR(CheckWord("cut", flags.cut, {"balanced", "exact", "even", "by-hand", "file"}));
  MR_RETURN_IF_ERROR(CheckWord("placement", flags.placement, {"links", "listed"}));
  MR_RETURN_IF_ERROR(CheckWord("optimizer", flags.optimizer, {"adamw", "sgd"}));
  if (flags.cut == "by-hand" && flags.cut_after.empty() && flags.pp != 1) {
    return UsageError("--cut=by-hand needs --cut-after=NODE,...: the last node of each stage but the last");
  }
  if (flags.cut == "file" && flags.cut_file.empty()) {
    return UsageError("--cut=file needs --cut-file=FILE, with lines of NODE STAGE");
  }
  if (!flags.cut_file.empty() && (!flags.cut_after.empty() || flags.cut == "even" || flags.cut == "by-hand")) {
    return UsageError("--cut-file goes with --cut=balanced, exact or file, and with no --cut-after");
  }
  if (!flags.cut_file.empty()) {
    MR_ASSIGN_OR_RETURN(const std::string text, ReadFile(flags.cut_file, kMostPinBytes));
    MR_ASSIGN_OR_RETURN(options.pinned, ParsePins(text, flags.cut_file));
  }
  MR_ASSIGN_OR_RETURN(options.cluster, ClusterOf(flags));
  const int64_t devices = options.cluster.devices_size();
  options.dp = static_cast<int>(flags.dp);
  options.shard_optimizer = static_cast<int>(flags.shard_optimizer);
  options.sum_order = flags.sum_order;
  options.bucket_bytes = flags.bucket_mb < 0 ? -1 : static_cast<int64_t>(flags.bucket_mb * (1 << 20));
  MR_RETURN_IF_ERROR(SetStageReplicas(flags, &options));
  options.pp = static_cast<int>(!options.stage_replicas.empty() ? options.stage_replicas.size()
                                : flags.pp == 0 ? std::max<int64_t>(1, devices / flags.dp) : flags.pp);
  if (int64_t{options.pp} * options.dp > devices) {
    return ConfigError(absl::StrCat(
        "--pp=", options.pp,
        flags.dp == 1 ? " needs as many devices"
                      : absl::StrCat(" with --dp=", flags.dp, " needs ", options.pp * flags.dp, " devices"),
        ", but there are ", devices));
  }
  options.micro_batch = flags.micro_batch;
  options.micro_batches = flags.micro_batches;
  options.schedule = flags.schedule;
  options.chunks = static_cast<int>(flags.chunks);
  options.memory_limit = flags.memory_limit;
  options.recompute = flags.recompute;
  options.recompute_as = flags.recompute_as;
  options.recompute_segments = static_cast<int>(flags.recompute_segments);
  options.considered = TellChoices;
  options.cut = !flags.cut_after.empty() ? "by-hand" : flags.cut == "file" ? "balanced" : flags.cut;
  options.cut_after = flags.cut_after;
  options.placement = flags.placement;
  options.optimizer = flags.optimizer;
  options.device_settings.set_tf32(flags.tf32);
  options.device_settings.set_cudnn(flags.cudnn);
  if ((flags.tf32 || flags.cudnn) && options.cluster.devices(0).kind() != "cuda") {
    return UsageError(absl::StrCat("--", flags.tf32 ? "tf32" : "cudnn", " means nothing for devices of kind ",
                                   options.cluster.devices(0).kind(), "; it is for cuda"));
  }
  options.logits_batch = flags.logits_batch;
  if (!flags.costs.empty()) {
    MR_RETURN_IF_ERROR(ReadMessage(flags.costs, &options.costs));
    MR_RETURN_IF_ERROR(OfFile(flags.costs, CheckCostTable(options.costs)));
  }
  MR_RETURN_IF_ERROR(SetDump(flags.dump, &options));
  MR_RETURN_IF_ERROR(WithExit(CheckOptions(options), kExitBadConfig));
  return options;
}

void PlanFlags::Declare(FlagSet* flags) {
  flags->String("devices", &devices, "KIND:COUNT, for example cpu:4; default: cpu:<pp>");
  flags->String("cluster", &cluster, "a Cluster file instead of --devices");
  flags->Int("pp", &pp, "pipeline stages; 0: one for each device");
  flags->Int("dp", &dp, "replicas of the pipeline: data parallelism");
  flags->Int("shard-optimizer", &shard_optimizer,
             "what replicas divide: 0 nothing, 1 optimizer state, 2 gradients too, 3 parameters too (ZeRO 1 to 3)");
  flags->String("stage-replicas", &stage_replicas,
                "replicas of each stage, where they differ: 3,1; each takes every third micro-batch, or every one");
  flags->String("sum-order", &sum_order,
                "what is summed first: micro-batch-first (levels 0 and 1) or replica-first (levels 0, 2 and 3)");
  flags->Double("bucket-mb", &bucket_mb,
                "MiB of gradients that replicas sum together; 0: all of a stage; -1: what is predicted to be quickest");
  flags->String("placement", &placement,
                "which device each rank gets: links (heavy traffic on fast links) or listed (in the cluster's order)");
  flags->Int("micro-batch", &micro_batch, "samples in a micro-batch");
  flags->Int("micro-batches", &micro_batches, "micro-batches of each replica in a step");
  flags->String("schedule", &schedule,
                absl::StrCat(absl::StrJoin(ScheduleKinds(), ", "), ", or auto: the shortest step"));
  flags->Int("chunks", &chunks, "stages of a rank, of --schedule=interleaved; 0: 2");
  flags->Double("memory-limit", &memory_limit,
                "of --schedule=zb-auto: micro-batches of all its layers that a rank may hold; 0: no limit; of "
                "--cost-graph: GiB of a device");
  flags->String("recompute", &recompute, "none, all, or stages (0,2,...) that make their activations again");
  flags->String("recompute-as", &recompute_as,
                "inside B, segment by segment, or placed: actions R of whole stages, where a rank would wait");
  flags->Int("recompute-segments", &recompute_segments, "of each stage, inside B; 0: as many as take the fewest bytes");
  flags->String(
      "cut", &cut,
      "balanced (by cost), exact (by cost, over all orders of the graph), even (by count), by-hand (--cut-after) or "
      "file (--cut-file)");
  flags->Strings("cut-after", &cut_after, "by hand: last node of each stage but the last");
  flags->String("cut-file", &cut_file, "lines of NODE STAGE: these nodes stay there, the cut chooses for the others");
  flags->String("optimizer", &optimizer, "adamw or sgd");
  flags->Bool("tf32", &tf32, "cuda: float32 products may round their operands to 10 bits of mantissa");
  flags->Bool("cudnn", &cudnn, "cuda: attention's forward pass in 16 bits by cuDNN where it can");
  flags->Int("logits-batch", &logits_batch, "samples of the logits program");
  flags->String("costs", &costs, "costs measured by millrace profile; default: costs from FLOPs and bytes");
  flags->String("dump", &dump, "after:PASS prints what the pass made");
}

const std::vector<std::string>& PlanFlags::Names() {
  static const auto* const names = new std::vector<std::string>{
      "devices",       "cluster",      "pp",     "dp",  "shard-optimizer", "bucket-mb", "placement", "micro-batch",
      "micro-batches", "schedule",     "chunks", "cut", "memory-limit",    "recompute", "cut-after", "cut-file",
      "optimizer",     "logits-batch", "costs",  "dump", "tf32", "cudnn"};
  return *names;
}

absl::StatusOr<proto::Model> ReadModel(absl::string_view path) {
  proto::Model model;
  MR_RETURN_IF_ERROR(ReadMessage(path, &model));
  return model;
}

absl::StatusOr<proto::ExecutionPlan> ReadPlan(absl::string_view path) {
  absl::StatusOr<proto::ExecutionPlan> plan = LoadPlan(path);
  if (absl::IsFailedPrecondition(plan.status())) return WithExit(plan.status(), kExitBadInput);
  return plan;
}

absl::StatusOr<proto::ExecutionPlan> MakePlan(const proto::Model& model, const PlanFlags& flags) {
  MR_ASSIGN_OR_RETURN(const PartitionOptions options, PlanOptionsOf(flags));
  absl::StatusOr<KernelNeedsFn> needs = NeedsOf(options.cluster.devices(0).kind(), options.device_settings);
  if (!needs.ok()) return WithExit(needs.status(), kExitBadConfig);
  absl::StatusOr<proto::ExecutionPlan> plan = Partition(model, options, *needs);
  if (absl::IsResourceExhausted(plan.status())) return WithExit(plan.status(), kExitBadConfig);
  // A graph that is good by itself fails for what was asked of it: too many stages, a cut at no node.
  if (absl::IsInvalidArgument(plan.status()) && BuildGraph(model, 1).ok()) {
    return WithExit(plan.status(), kExitBadConfig);
  }
  if (!plan.ok()) return plan.status();
  const absl::Status verified = VerifyPlan(*plan);
  if (!verified.ok()) {
    return absl::InternalError(
        absl::StrCat("the partitioner made a plan that does not verify; please report this: ", verified.message()));
  }
  return plan;
}

}  // namespace millrace
