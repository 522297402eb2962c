// SageMaker: a script that puts the plan where training containers get it and creates the training job.
#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "nlohmann/json.hpp"
#include "tools/submit/launchers.h"
#include "tools/submit/quote.h"

namespace millrace {
namespace {

using Json = nlohmann::ordered_json;

Json Channel(const char* name, const std::string& uri) {
  return {{"ChannelName", name},
          {"InputMode", "File"},
          {"DataSource",
           {{"S3DataSource",
             {{"S3DataType", "S3Prefix"}, {"S3Uri", uri}, {"S3DataDistributionType", "FullyReplicated"}}}}}};
}

// Flags of `train` as hyperparameters: SageMaker shows and searches them, and hands them on as text.
absl::StatusOr<Json> HyperParameters(const Submission& s) {
  Json out = Json::object();
  out["comm"] = s.comm.empty() ? "gloo" : s.comm;
  if (s.insecure) out["insecure"] = "true";
  for (absl::string_view flag : s.train_flags) {
    absl::ConsumePrefix(&flag, "--");
    const std::pair<std::string, std::string> parts = absl::StrSplit(flag, absl::MaxSplits('=', 1));
    out[parts.first] = absl::StrContains(flag, "=") ? parts.second : "true";
  }
  if (out.size() > 100) return absl::InvalidArgumentError("SageMaker takes 100 hyperparameters at most");
  return out;
}

// d-hh:mm:ss or hh:mm:ss as seconds.
int64_t Seconds(absl::string_view time) {
  int64_t days = 0, seconds = 0;
  const size_t dash = time.find('-');
  if (dash != absl::string_view::npos && !absl::SimpleAtoi(time.substr(0, dash), &days)) return 86400;
  for (absl::string_view part : absl::StrSplit(time.substr(dash == absl::string_view::npos ? 0 : dash + 1), ':')) {
    int64_t n = 0;
    if (!absl::SimpleAtoi(part, &n) || n < 0 || n > 100000) return 86400;
    seconds = seconds * 60 + n;
  }
  return std::clamp<int64_t>(days * 86400 + seconds, 1, 28 * 86400);
}

Json TrainingJob(const Submission& s, const std::string& prefix, const Json& hyperparameters) {
  Json channels = {Channel("plan", absl::StrCat(prefix, "/plan/")), Channel("train", absl::StrCat(prefix, "/train/"))};
  if (!s.job_bytes.empty()) channels.push_back(Channel("job", absl::StrCat(prefix, "/job/")));
  return {
      {"TrainingJobName", s.name},
      {"RoleArn", s.role},
      {"AlgorithmSpecification",
       {{"TrainingImage", s.image}, {"TrainingInputMode", "File"}, {"ContainerEntrypoint", {s.program, "sagemaker"}}}},
      {"HyperParameters", hyperparameters},
      {"InputDataConfig", channels},
      {"OutputDataConfig", {{"S3OutputPath", absl::StrCat(prefix, "/output/")}}},
      {"CheckpointConfig", {{"S3Uri", absl::StrCat(prefix, "/checkpoints/")}, {"LocalPath", "/opt/ml/checkpoints"}}},
      {"ResourceConfig", {{"InstanceType", s.instance}, {"InstanceCount", s.nodes}, {"VolumeSizeInGB", 50}}},
      {"StoppingCondition", {{"MaxRuntimeInSeconds", Seconds(s.time_limit)}}},
      {"RetryStrategy", {{"MaximumRetryAttempts", std::clamp<int64_t>(s.max_restarts, 1, 30)}}},
      {"EnableInterContainerTrafficEncryption", s.nodes > 1},
      {"Environment", {{"MILLRACE_TOKEN", s.token}}}};
}

}  // namespace

absl::StatusOr<Emission> EmitSageMaker(const Submission& submission) {
  if (submission.role.empty() || submission.bucket.empty()) {
    return absl::InvalidArgumentError("SageMaker needs --role=ARN and --bucket=s3://BUCKET/PREFIX");
  }
  if (submission.ranks_per_node != 1) {
    return absl::InvalidArgumentError("SageMaker starts one process a host: leave --ranks-per-node out");
  }
  const std::string prefix = absl::StrCat(absl::StripSuffix(submission.bucket, "/"), "/", submission.name);
  const absl::StatusOr<Json> hyperparameters = HyperParameters(submission);
  if (!hyperparameters.ok()) return hyperparameters.status();
  Emission emission;
  emission.file = absl::StrCat(submission.name, ".sagemaker.sh");
  emission.argv = {"sh", "{file}"};
  emission.secret = true;
  std::string& text = emission.text;
  absl::StrAppend(&text, "#!/bin/sh\n# Creates the training job ", submission.name, ". Its data must be in ", prefix,
                  "/train/ before.\nset -eu\n",
                  ShellCommand({"aws", "s3", "cp", submission.plan_path, absl::StrCat(prefix, "/plan/")}), "\n");
  if (!submission.job_bytes.empty()) {
    absl::StrAppend(&text, ShellCommand({"aws", "s3", "cp", submission.job_path, absl::StrCat(prefix, "/job/")}), "\n");
  }
  // A quoted word ends the document: nothing in it is the shell's.
  absl::StrAppend(&text, "aws sagemaker create-training-job --cli-input-json file:///dev/stdin <<'MILLRACE_JOB'\n",
                  TrainingJob(submission, prefix, *hyperparameters).dump(2), "\nMILLRACE_JOB\n");
  emission.notes.push_back(
      "checkpoints of several hosts meet in one S3 prefix; EnableInterContainerTrafficEncryption "
      "encrypts between hosts");
  return emission;
}

}  // namespace millrace
