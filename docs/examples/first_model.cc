// A model of one's own: built, cut in two, proven, trained on the bytes of a text.
#include <iostream>

#include "partitioner/graph/builder.h"
#include "partitioner/local.h"
#include "partitioner/partition.h"
#include "proto/status_macros.h"
#include "runtime/job/job_config.h"
#include "runtime/job/trainer.h"
#include "runtime/plan/verify.h"

using namespace millrace;

absl::Status TrainFirstModel(const char* text, const char* folder) {
  GraphBuilder b("first");
  const auto tokens = b.Input("tokens", {-1, 32}, proto::I64, proto::Input::TOKENS);
  const auto labels = b.Input("labels", {-1, 32}, proto::I64, proto::Input::LABELS);
  const auto x = b.Gather(b.Parameter("embed", {256, 64}, Normal(0.02)), tokens);
  const auto y = b.Add(x, b.Linear("down", b.Gelu(b.Linear("up", x, 64, 256)), 256, 64));
  b.SoftmaxCrossEntropy(b.Linear("head", y, 64, 256), labels);
  MR_ASSIGN_OR_RETURN(const proto::Model model, b.Finish());

  PartitionOptions options;
  options.cluster = LocalCluster("cpu", 2);
  options.pp = 2;
  options.micro_batch = 8;
  options.micro_batches = 4;
  MR_ASSIGN_OR_RETURN(const KernelNeedsFn needs, NeedsOf("cpu"));
  MR_ASSIGN_OR_RETURN(const proto::ExecutionPlan plan, Partition(model, options, needs));
  MR_RETURN_IF_ERROR(VerifyPlan(plan));

  proto::JobConfig job = DefaultJobConfig();
  job.set_steps(60);
  job.mutable_data()->set_path(text);
  job.set_out_dir(folder);
  MR_ASSIGN_OR_RETURN(auto trainer, Trainer::Create(plan, &model, job, {.progress = &std::cerr}));
  MR_ASSIGN_OR_RETURN(const RunResults results, trainer->Run());
  std::cout << "loss " << results.final_loss << ", weights " << results.weights_sha256 << "\n";
  return absl::OkStatus();
}

int main(int argc, char** argv) {
  const absl::Status status =
      argc == 3 ? TrainFirstModel(argv[1], argv[2]) : absl::InvalidArgumentError("usage: first_model TEXT FOLDER");
  if (!status.ok()) std::cerr << status.message() << "\n";
  return status.ok() ? 0 : 1;
}
