#include "tools/cli/cost_graph.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "partitioner/cost_graph/degrees.h"
#include "partitioner/cost_graph/device_placement.h"
#include "partitioner/cost_graph/kind.h"
#include "partitioner/cost_graph/pipeline_graph.h"
#include "partitioner/cost_graph/replicated.h"
#include "partitioner/cost_graph/variant_graph.h"
#include "proto/status_macros.h"
#include "proto/text_proto.h"
#include "tools/cli/command.h"

namespace millrace {
namespace {

using Json = nlohmann::ordered_json;

constexpr uint64_t kMostFileBytes = uint64_t{256} << 20;
constexpr int64_t kMostDevices = 1 << 16;
constexpr int kMostDownSets = 500'000;  // of the exact cut
constexpr double kGiB = 1 << 30;

class Clock {
 public:
  double Seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count(); }

 private:
  const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

// What was found, as JSON or as text for people.
void Print(bool json, const Json& values, const std::string& text) {
  if (json) {
    std::printf("%s\n", values.dump(1, ' ', true, Json::error_handler_t::replace).c_str());
  } else {
    std::printf("%s", text.c_str());
  }
}

// "1 2 3 ... 9 (7)": enough to recognise.
template <typename Name>
std::string Names(const std::vector<Name>& names) {
  if (names.size() <= 8) return absl::StrJoin(names, " ");
  return absl::StrCat(names[0], " ", names[1], " ", names[2], " ... ", names[names.size() - 2], " ", names.back());
}

absl::Status OfFile(const std::string& file, absl::Status status) {
  return absl::Status(status.code(), absl::StrCat(file, ": ", status.message()));
}

class CostGraphPlanner {
 public:
  CostGraphPlanner(const CostGraphFlags& own, const PlanFlags& plan, const FlagSet& flags, bool json)
      : own_(own), plan_(plan), flags_(flags), json_(json) {}

  absl::Status Run() {
    MR_RETURN_IF_ERROR(RefuseFlags({"pp", "cluster", "micro-batch", "schedule", "chunks", "recompute", "cut-after",
                                    "cut-file", "optimizer", "logits-batch", "costs", "dump", "out"},
                                   "a cost graph"));
    if (plan_.cut != "balanced" && plan_.cut != "exact") {
      return UsageError(absl::StrCat("--cut=", plan_.cut, ": a cost graph is cut balanced or exact"));
    }
    if (flags_.WasGiven("devices")) {
      if (!absl::SimpleAtoi(plan_.devices, &devices_) || devices_ < 1 || devices_ > kMostDevices) {
        return UsageError(absl::StrCat("--devices=", plan_.devices, ": of a cost graph, a number from 1 to ",
                                       kMostDevices, " is needed"));
      }
    }
    if (flags_.WasGiven("memory-limit") && !(plan_.memory_limit > 0 && std::isfinite(plan_.memory_limit))) {
      return UsageError(absl::StrCat("--memory-limit=", plan_.memory_limit, ": GiB of a device are needed, above 0"));
    }
    for (const std::string& text : own_.bandwidth) {
      double value = 0;
      if (!absl::SimpleAtod(text, &value) || !std::isfinite(value) || value <= 0) {
        return UsageError(absl::StrCat("--bandwidth: '", text, "' is no number above 0"));
      }
      bandwidth_.push_back(value);
    }
    MR_ASSIGN_OR_RETURN(const std::string text, ReadFile(own_.file, kMostFileBytes));
    const absl::StatusOr<CostGraphKind> kind = KindOfCostGraph(text);
    if (!kind.ok()) return OfFile(own_.file, kind.status());
    switch (*kind) {
      case CostGraphKind::kDevicePlacement:
        return DevicePlacement(text);
      case CostGraphKind::kProfile:
        return Profile(text);
      case CostGraphKind::kVariants:
        return Variants(text);
    }
    return absl::OkStatus();
  }

 private:
  absl::Status RefuseFlags(const std::vector<std::string>& names, absl::string_view what) const {
    for (const std::string& name : names) {
      if (flags_.WasGiven(name)) return UsageError(absl::StrCat("--", name, " says nothing of ", what));
    }
    return absl::OkStatus();
  }

  bool exact() const { return plan_.cut == "exact"; }

  // What a search cannot do with the devices it is given.
  absl::Status NotToBeHad(const absl::Status& status) const {
    return WithExit(OfFile(own_.file, status), kExitBadConfig);
  }

  absl::Status DevicePlacement(const std::string& text) {
    MR_RETURN_IF_ERROR(RefuseFlags({"levels", "bandwidth", "micro-batches"}, "device-placement files"));
    absl::optional<double> memory_limit;
    if (flags_.WasGiven("memory-limit")) memory_limit = plan_.memory_limit * kGiB;
    absl::StatusOr<PlacementGraph> graph = ParseDevicePlacement(text, memory_limit);
    if (!graph.ok()) return OfFile(own_.file, graph.status());
    SplitProblem& problem = graph->problem;
    if (devices_ > 0) problem.accelerators = static_cast<int>(devices_);
    if (flags_.WasGiven("host-devices")) {
      if (own_.host_devices < 0 || own_.host_devices > kMostDevices) {
        return UsageError(
            absl::StrCat("--host-devices=", own_.host_devices, ": a number from 0 to ", kMostDevices, " is needed"));
      }
      problem.hosts = static_cast<int>(own_.host_devices);
    }
    const Clock clock;
    const absl::StatusOr<Split> split = exact() ? ExactSplit(problem, kMostDownSets) : DefaultSplit(problem);
    const double seconds = clock.Seconds();
    if (absl::IsInvalidArgument(split.status())) return OfFile(own_.file, split.status());
    if (!split.ok()) return NotToBeHad(split.status());
    Json json = {{"kind", "dnn-partitioning"},    {"objective", split->objective},
                 {"exact", split->exact},         {"method", split->method},
                 {"search_seconds", seconds},     {"nodes", graph->nodes},
                 {"edges", graph->edges},         {"classes", graph->classes},
                 {"units", problem.units.size()}, {"accelerators", problem.accelerators},
                 {"hosts", problem.hosts},        {"memory_limit", problem.memory_limit},
                 {"pieces", Json::array()}};
    std::string table = absl::StrFormat(
        "device placement: %d nodes in %d units, on at most %d accelerators of %.4g bytes and %d hosts\n"
        "largest load %.9g (in the file's unit of time), %s\n\n"
        "piece  device           load     compute  communication      memory  nodes\n",
        graph->nodes, problem.units.size(), problem.accelerators, problem.memory_limit, problem.hosts, split->objective,
        split->method);
    for (size_t p = 0; p < split->pieces.size(); ++p) {
      const SplitPiece& piece = split->pieces[p];
      std::vector<int64_t> nodes;
      for (int u : piece.units) nodes.insert(nodes.end(), graph->node_ids[u].begin(), graph->node_ids[u].end());
      std::sort(nodes.begin(), nodes.end());
      const char* device = piece.host ? "host" : "accelerator";
      json["pieces"].push_back({{"device", device},
                                {"load", piece.load()},
                                {"compute", piece.compute},
                                {"communication", piece.communication},
                                {"memory", piece.bytes},
                                {"nodes", nodes}});
      absl::StrAppendFormat(&table, "%5d  %-11s %10.6g  %10.6g     %10.6g  %10.4g  %d: %s\n", p, device, piece.load(),
                            piece.compute, piece.communication, piece.bytes, nodes.size(), Names(nodes));
    }
    Print(json_, json, table);
    return absl::OkStatus();
  }

  // --levels, or one level of --devices; a bandwidth for each.
  absl::StatusOr<std::vector<WorkerLevel>> Levels() const {
    std::vector<WorkerLevel> levels;
    int64_t workers = 1;
    if (own_.levels.empty()) {
      if (devices_ < 1) return UsageError("--devices=N is missing: how many workers there are");
      levels.push_back({static_cast<int>(devices_)});
      workers = devices_;
    } else {
      for (absl::string_view part : absl::StrSplit(own_.levels, 'x')) {
        int64_t count = 0;
        if (!absl::SimpleAtoi(part, &count) || count < 1 || count > kMostDevices || (workers *= count) > kMostDevices) {
          return UsageError(absl::StrCat("--levels=", own_.levels, ": numbers of groups from the inside out, as 4x2, ",
                                         "of at most ", kMostDevices, " workers in all"));
        }
        levels.push_back({static_cast<int>(count)});
      }
    }
    if (devices_ > 0 && workers != devices_) {
      return UsageError(absl::StrCat("--levels=", own_.levels, " are ", workers, " workers, but --devices=", devices_));
    }
    std::vector<double> bandwidth = bandwidth_;
    if (bandwidth.empty()) bandwidth.assign(levels.size(), 1e9);
    if (bandwidth.size() != levels.size()) {
      return UsageError(absl::StrCat("--bandwidth: ", bandwidth.size(), " numbers for ", levels.size(),
                                     " levels; one for each is needed, the innermost first"));
    }
    for (size_t i = 0; i < levels.size(); ++i) levels[i].bytes_per_second = bandwidth[i];
    return levels;
  }

  absl::Status Profile(const std::string& text) {
    MR_RETURN_IF_ERROR(RefuseFlags({"host-devices", "memory-limit", "micro-batches"}, "PipeDream profiles"));
    absl::StatusOr<PipelineGraph> whole = ParsePipelineGraph(text);
    if (!whole.ok()) return OfFile(own_.file, whole.status());
    MR_ASSIGN_OR_RETURN(const std::vector<WorkerLevel> levels, Levels());
    const PipelineGraph graph = Trimmed(*whole);
    const Clock clock;
    const absl::StatusOr<ReplicatedPlan> plan = PlanReplicated(graph, levels, exact());
    const double seconds = clock.Seconds();
    if (absl::IsInvalidArgument(plan.status())) return OfFile(own_.file, plan.status());
    if (!plan.ok()) return NotToBeHad(plan.status());
    int inner = 1;
    for (size_t i = 0; i + 1 < levels.size(); ++i) inner *= levels[i].workers;
    const double speed_up = plan->seconds > 0 ? plan->data_parallel_seconds / plan->seconds : 1;
    std::vector<int> replicas;
    for (const ReplicatedStage& stage : plan->stages) replicas.push_back(stage.replicas);
    Json json = {{"kind", "pipedream"},
                 {"objective", plan->seconds},
                 {"exact", plan->exact},
                 {"method", plan->method},
                 {"search_seconds", seconds},
                 {"nodes", graph.nodes.size()},
                 {"workers", inner * levels.back().workers},
                 {"levels", Json::array()},
                 {"replication", absl::StrJoin(replicas, "-")},
                 {"data_parallel_seconds", plan->data_parallel_seconds},
                 {"speed_up", speed_up},
                 {"stages", Json::array()}};
    std::string links;
    for (const WorkerLevel& level : levels) {
      json["levels"].push_back({{"groups", level.workers}, {"bandwidth", level.bytes_per_second}});
      absl::StrAppendFormat(&links, "%s%d at %.4g bytes/s", links.empty() ? "" : ", then ", level.workers,
                            level.bytes_per_second);
    }
    std::string table = absl::StrFormat(
        "PipeDream profile: %d nodes, on %d workers (%s)\n"
        "replication %s: slowest stage %.9g s a minibatch, %s\n"
        "data parallelism alone: %.9g s, %.3f times as long\n\n"
        "stage  replicas  workers     seconds  nodes\n",
        graph.nodes.size(), inner * levels.back().workers, links, absl::StrJoin(replicas, "-"), plan->seconds,
        plan->method, plan->data_parallel_seconds, speed_up);
    for (size_t s = 0; s < plan->stages.size(); ++s) {
      const ReplicatedStage& stage = plan->stages[s];
      std::vector<std::string> nodes;
      for (int n : stage.nodes) nodes.push_back(graph.nodes[n].name);
      json["stages"].push_back({{"replicas", stage.replicas},
                                {"workers", stage.replicas * inner},
                                {"seconds", stage.seconds},
                                {"nodes", nodes}});
      absl::StrAppendFormat(&table, "%5d  %8d  %7d  %10.6g  %d: %s\n", s, stage.replicas, stage.replicas * inner,
                            stage.seconds, nodes.size(), Names(nodes));
    }
    Print(json_, json, table);
    return absl::OkStatus();
  }

  absl::Status Variants(const std::string& text) {
    MR_RETURN_IF_ERROR(RefuseFlags({"host-devices", "levels"}, "Piper files"));
    absl::StatusOr<VariantGraph> graph = ParseVariantGraph(text);
    if (!graph.ok()) return OfFile(own_.file, graph.status());
    if (devices_ > 0) graph->devices = devices_;
    if (flags_.WasGiven("memory-limit")) graph->memory_limit = plan_.memory_limit * kGiB;
    if (bandwidth_.size() > 1) return UsageError("--bandwidth: one number is needed, GiB/s");
    if (bandwidth_.size() == 1) graph->bandwidth = bandwidth_[0] * kGiB;
    if (flags_.WasGiven("micro-batches")) {
      if (plan_.micro_batches < 1 || plan_.micro_batches > 1 << 24) {
        return UsageError(
            absl::StrCat("--micro-batches=", plan_.micro_batches, ": a number from 1 to ", 1 << 24, " is needed"));
      }
      graph->micro_batches = plan_.micro_batches;
    }
    const Clock clock;
    const absl::StatusOr<DegreePlan> plan = PlanDegrees(*graph, exact());
    const double seconds = clock.Seconds();
    if (absl::IsInvalidArgument(plan.status())) return OfFile(own_.file, plan.status());
    if (!plan.ok()) return NotToBeHad(plan.status());
    Json json = {{"kind", "piper"},
                 {"objective", plan->seconds},
                 {"exact", plan->exact},
                 {"method", plan->method},
                 {"search_seconds", seconds},
                 {"nodes", graph->nodes.size()},
                 {"devices", graph->devices},
                 {"devices_used", plan->devices},
                 {"memory_limit", graph->memory_limit},
                 {"bandwidth", graph->bandwidth},
                 {"micro_batches", graph->micro_batches},
                 {"stages", Json::array()}};
    std::string table = absl::StrFormat(
        "Piper file: %d nodes, on at most %d devices of %.4g bytes at %.4g bytes/s, %d micro-batches\n"
        "slowest stage %.9g s a micro-batch on %d devices, %s\n\n"
        "stage  data  tensor     seconds     compute  communication   reduction      memory  nodes\n",
        graph->nodes.size(), graph->devices, graph->memory_limit, graph->bandwidth, graph->micro_batches, plan->seconds,
        plan->devices, plan->method);
    for (size_t s = 0; s < plan->stages.size(); ++s) {
      const DegreeStage& stage = plan->stages[s];
      std::vector<int64_t> nodes;
      std::vector<std::string> variants;
      for (size_t i = 0; i < stage.nodes.size(); ++i) {
        const VariantNode& node = graph->nodes[stage.nodes[i]];
        nodes.push_back(node.id);
        variants.push_back(node.variants.at(stage.tensor_degree)[stage.variants[i]].name);
      }
      json["stages"].push_back({{"data_parallel", stage.data_degree},
                                {"tensor_parallel", stage.tensor_degree},
                                {"seconds", stage.seconds()},
                                {"compute", stage.compute},
                                {"communication", stage.communication},
                                {"reduction", stage.reduction},
                                {"memory", stage.bytes},
                                {"nodes", nodes},
                                {"variants", variants}});
      absl::StrAppendFormat(&table, "%5d  %4d  %6d  %10.6g  %10.6g     %10.6g  %10.6g  %10.4g  %d: %s\n", s,
                            stage.data_degree, stage.tensor_degree, stage.seconds(), stage.compute, stage.communication,
                            stage.reduction, stage.bytes, nodes.size(), Names(nodes));
    }
    Print(json_, json, table);
    return absl::OkStatus();
  }

  const CostGraphFlags& own_;
  const PlanFlags& plan_;
  const FlagSet& flags_;
  const bool json_;
  int64_t devices_ = 0;  // 0: not given
  std::vector<double> bandwidth_;
};

}  // namespace

void CostGraphFlags::Declare(FlagSet* flags) {
  flags->String(
      "cost-graph", &file,
      "instead of GRAPH: a PipeDream profile, a device-placement JSON or a Piper JSON file; --devices is then "
      "a number, --cut balanced or exact");
  flags->Int("host-devices", &host_devices, "of a device-placement file: its CPUs; not given: as the file says");
  flags->String("levels", &levels, "of a PipeDream profile: groups of workers from the inside out, for example 4x4");
  flags->Strings("bandwidth", &bandwidth,
                 "of a PipeDream profile: bytes/s of each level, the innermost first, 1e9 when not given; of a Piper "
                 "file: GiB/s");
}

absl::Status PartitionCostGraph(const CostGraphFlags& cost_graph, const PlanFlags& plan_flags, const FlagSet& flags,
                                bool json) {
  return CostGraphPlanner(cost_graph, plan_flags, flags, json).Run();
}

}  // namespace millrace
