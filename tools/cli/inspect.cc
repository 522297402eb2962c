#include "tools/cli/inspect.h"

#include <filesystem>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "partitioner/check_devices.h"
#include "partitioner/expand_cluster.h"
#include "partitioner/graph/build_graph.h"
#include "proto/checkpoint.pb.h"
#include "proto/cluster.pb.h"
#include "proto/costs.pb.h"
#include "proto/job.pb.h"
#include "proto/model.pb.h"
#include "proto/status_macros.h"
#include "proto/text_proto.h"
#include "proto/trace.pb.h"
#include "runtime/checkpoint/checkpoint.h"
#include "runtime/checkpoint/find.h"
#include "runtime/checkpoint/safetensors.h"
#include "runtime/checkpoint/weights.h"
#include "runtime/plan/plan.h"
#include "runtime/plan/verify.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

std::string Number(uint64_t n) { return absl::StrCat(n); }

absl::StatusOr<Inspection> Weights(const std::string& path) {
  MR_ASSIGN_OR_RETURN(const std::unique_ptr<SafetensorsFile> file, SafetensorsFile::Open(path));
  MR_ASSIGN_OR_RETURN(const std::string digest, WeightsDigest(*file));
  uint64_t elements = 0;
  for (const NamedTensor& tensor : file->tensors()) {
    uint64_t n = 1;
    for (int64_t d : tensor.type.dims()) n *= d;
    elements += n;
  }
  return Inspection{
      "weights", {{"tensors", Number(file->tensors().size())}, {"parameters", Number(elements)}, {"sha256", digest}}};
}

absl::StatusOr<Inspection> Checkpoint(const std::string& path) {
  MR_ASSIGN_OR_RETURN(const proto::CheckpointManifest manifest, VerifyCheckpoint(path));
  return Inspection{"checkpoint",
                    {{"step", Number(manifest.step())},
                     {"optimizer steps", Number(manifest.optimizer_steps())},
                     {"samples consumed", Number(manifest.samples_consumed())},
                     {"seed", Number(manifest.seed())},
                     {"data", manifest.data_description()},
                     {"plan", manifest.plan_hash()},
                     {"tensors", Number(manifest.pieces_size())},
                     {"verified", "every byte"}}};
}

absl::StatusOr<Inspection> RunFolderOf(const std::string& path) {
  MR_ASSIGN_OR_RETURN(const proto::ExecutionPlan plan, LoadPlan(path + "/plan.pb"));
  Inspection found{"run", {{"model", plan.model_name()}, {"plan", plan.hash()}}};
  MR_ASSIGN_OR_RETURN(const std::vector<CheckpointFolder> checkpoints, ListCheckpoints(path + "/checkpoint"));
  for (const CheckpointFolder& checkpoint : checkpoints) found.facts.emplace_back("checkpoint", checkpoint.path);
  std::error_code error;
  if (fs::exists(path + "/weights.safetensors", error)) {
    MR_ASSIGN_OR_RETURN(const Inspection weights, Weights(path + "/weights.safetensors"));
    for (const auto& [name, value] : weights.facts) found.facts.emplace_back("weights " + name, value);
  } else {
    found.facts.emplace_back("weights", "none yet: the run has not ended");
  }
  return found;
}

absl::StatusOr<Inspection> Plan(const std::string& bytes, const std::string& path) {
  proto::ExecutionPlan plan;
  MR_RETURN_IF_ERROR(ParseMessage(bytes, path, &plan));
  // Every model says its inputs and every plan its ranks; without them it is some other message.
  if (plan.ranks().empty()) return absl::InvalidArgumentError("has no ranks");
  MR_ASSIGN_OR_RETURN(plan, LoadPlan(path));
  Inspection found{"plan",
                   {{"model", plan.model_name()},
                    {"stages", Number(plan.pp())},
                    {"parameters tensors", Number(plan.parameters_size())},
                    {"hash", plan.hash()},
                    {"made by", plan.created_by()},
                    {"verified", "every rule"}}};
  for (const proto::Program& program : plan.programs()) {
    found.facts.emplace_back("program",
                             absl::StrCat(program.name(), ": ", program.micro_batches(), " micro-batches of ",
                                          program.micro_batch_size(), ", ", program.schedule()));
  }
  return found;
}

absl::StatusOr<Inspection> ModelGraph(const std::string& bytes, const std::string& path) {
  proto::Model model;
  MR_RETURN_IF_ERROR(ParseMessage(bytes, path, &model));
  MR_ASSIGN_OR_RETURN(const Graph graph, BuildGraph(model, 1));
  uint64_t elements = 0;
  for (const GraphParameter& parameter : graph.parameters) {
    if (!parameter.constant) elements += parameter.spec.elements();
  }
  return Inspection{"model",
                    {{"name", model.name()},
                     {"nodes", Number(model.nodes_size())},
                     {"parameters", Number(elements)},
                     {"hash", graph.model_hash}}};
}

absl::StatusOr<Inspection> Cluster(const std::string& bytes, const std::string& path) {
  proto::Cluster cluster;
  MR_RETURN_IF_ERROR(ParseMessage(bytes, path, &cluster));
  MR_RETURN_IF_ERROR(CheckCluster(cluster));
  return Inspection{
      "cluster",
      {{"name", cluster.name()}, {"devices", Number(DeviceCount(cluster))}, {"links", Number(cluster.links_size())}}};
}

absl::StatusOr<Inspection> Costs(const std::string& bytes, const std::string& path) {
  proto::CostTable costs;
  MR_RETURN_IF_ERROR(ParseMessage(bytes, path, &costs));
  MR_RETURN_IF_ERROR(CheckCostTable(costs));
  return Inspection{"cost table",
                    {{"device", costs.device_name()},
                     {"times", costs.measured() ? "measured" : "modelled"},
                     {"kernels", Number(costs.kernels_size())},
                     {"links", Number(costs.links_size())}}};
}

absl::StatusOr<Inspection> Job(const std::string& bytes, const std::string& path) {
  proto::JobConfig job;
  MR_RETURN_IF_ERROR(ParseMessage(bytes, path, &job));
  return Inspection{"job",
                    {{"steps", Number(job.steps())},
                     {"seed", Number(job.seed())},
                     {"data", job.data().path().empty() ? job.data().format() : job.data().path()},
                     {"out", job.out_dir()}}};
}

constexpr int kNotRead = 0, kRefused = 1 << 30;

// How far reading came: the line and column of a text form, kNotRead where not even the beginning fits, kRefused where
// the message was read and what it says is wrong.
std::pair<int, int> ReadUpTo(const absl::Status& status, const std::string& path) {
  absl::string_view text = status.message();
  if (!absl::ConsumePrefix(&text, absl::StrCat(path, ":"))) return {kRefused, 0};
  const std::vector<absl::string_view> parts = absl::StrSplit(text, absl::MaxSplits(':', 2));
  int line = 0, column = 0;
  if (parts.size() == 3 && absl::SimpleAtoi(parts[0], &line) && absl::SimpleAtoi(parts[1], &column)) {
    return line > 1 || column > 16 ? std::make_pair(line, column) : std::make_pair(kNotRead, 0);
  }
  // Bytes of another kind of message end in the first of these, or leave the second behind.
  const bool other = absl::StrContains(text, "not a whole binary") || absl::StrContains(text, "does not know");
  return {other ? kNotRead : kRefused, 0};
}

absl::StatusOr<Inspection> Trace(const std::string& bytes, const std::string& path) {
  proto::StepTrace trace;
  MR_RETURN_IF_ERROR(ParseMessage(bytes, path, &trace));
  if (trace.plan_hash().empty()) return absl::InvalidArgumentError("names no plan");
  return Inspection{"trace",
                    {{"program", trace.program()},
                     {"times", trace.predicted() ? "predicted" : "measured"},
                     {"step", Number(trace.step())},
                     {"spans", Number(trace.spans_size())},
                     {"seconds", absl::StrFormat("%.6f", trace.step_seconds())},
                     {"plan", trace.plan_hash()}}};
}

absl::StatusOr<Inspection> MessageFile(const std::string& path) {
  MR_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path, ReadLimits().max_bytes));
  struct Kind {
    const char* name;
    absl::StatusOr<Inspection> (*read)(const std::string& bytes, const std::string& path);
  };
  static constexpr Kind kKinds[] = {{"plan", Plan},       {"model", ModelGraph}, {"trace", Trace},
                                    {"cluster", Cluster}, {"cost table", Costs}, {"job", Job}};
  // Every kind is tried. When none fits, the one that was read furthest says what is wrong with the file.
  const Kind* nearest = nullptr;
  absl::Status why;
  std::pair<int, int> furthest;
  for (const Kind& kind : kKinds) {
    absl::StatusOr<Inspection> found = kind.read(bytes, path);
    if (found.ok()) return found;
    const std::pair<int, int> reached = ReadUpTo(found.status(), path);
    if (nearest != nullptr && reached <= furthest) continue;
    nearest = &kind;
    why = found.status();
    furthest = reached;
  }
  if (furthest.first == kNotRead) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": none of Millrace's files: neither a plan, a model, a trace, a cluster, a cost table nor a ",
        "job in text or binary form; weights are told by their name, .safetensors"));
  }
  absl::string_view text = why.message();
  if (absl::ConsumePrefix(&text, absl::StrCat(path, ": "))) text = absl::StripLeadingAsciiWhitespace(text);
  return absl::InvalidArgumentError(absl::StrCat(path, ": nearest to a ", nearest->name, ", but: ", text));
}

}  // namespace

absl::StatusOr<Inspection> Inspect(const std::string& path) {
  std::error_code error;
  if (!fs::exists(path, error)) return absl::NotFoundError(absl::StrCat(path, ": there is no such file or folder"));
  if (fs::is_directory(path, error)) {
    if (fs::exists(absl::StrCat(path, "/", kManifestName), error)) return Checkpoint(path);
    if (fs::exists(path + "/plan.pb", error)) return RunFolderOf(path);
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": a folder that is neither a run (no plan.pb) nor a checkpoint (no ", kManifestName, ")"));
  }
  if (absl::EndsWith(path, ".safetensors")) return Weights(path);
  return MessageFile(path);
}

}  // namespace millrace
