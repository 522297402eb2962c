#include "tools/cli/inspect.h"

#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
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

template <typename Message>
absl::StatusOr<Inspection> Other(const std::string& bytes, const std::string& path, const std::string& kind) {
  Message message;
  MR_RETURN_IF_ERROR(ParseMessage(bytes, path, &message));
  return Inspection{kind, {{"bytes", Number(bytes.size())}}};
}

absl::StatusOr<Inspection> Trace(const std::string& bytes, const std::string& path) {
  proto::StepTrace trace;
  MR_RETURN_IF_ERROR(ParseMessage(bytes, path, &trace));
  if (trace.plan_hash().empty()) return absl::InvalidArgumentError("names no plan");
  return Inspection{"trace",
                    {{"program", trace.program()},
                     {"kind", trace.predicted() ? "predicted" : "measured"},
                     {"step", Number(trace.step())},
                     {"spans", Number(trace.spans_size())},
                     {"seconds", absl::StrFormat("%.6f", trace.step_seconds())},
                     {"plan", trace.plan_hash()}}};
}

absl::StatusOr<Inspection> MessageFile(const std::string& path) {
  MR_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path, ReadLimits().max_bytes));
  std::string refusals;
  const auto attempt = [&](absl::string_view kind, absl::StatusOr<Inspection> found) {
    if (!found.ok()) absl::StrAppend(&refusals, "\n  not a ", kind, ": ", found.status().message());
    return found;
  };
  for (const auto& found :
       {attempt("plan", Plan(bytes, path)), attempt("model", ModelGraph(bytes, path)),
        attempt("trace", Trace(bytes, path)), attempt("job", Other<proto::JobConfig>(bytes, path, "job")),
        attempt("cluster", Other<proto::Cluster>(bytes, path, "cluster")),
        attempt("cost table", Other<proto::CostTable>(bytes, path, "cost table"))}) {
    if (found.ok()) return found;
  }
  return absl::InvalidArgumentError(absl::StrCat(path, ": none of Millrace's files", refusals));
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
