// Kubernetes: an Indexed Job, a pod for each node of the job, and a headless Service through which pods find the first.
#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "tools/submit/launchers.h"
#include "tools/submit/pod.h"
#include "tools/submit/yaml.h"

namespace millrace {
namespace {

using Json = nlohmann::ordered_json;

Json Selector(const Submission& s) { return {{"app.kubernetes.io/instance", s.name}}; }

// Pods are found before they are ready: they become ready by finding each other.
Json HeadlessService(const Submission& s) {
  Json service = {{"apiVersion", "v1"}, {"kind", "Service"}, {"metadata", ObjectMetadata(s)}};
  service["spec"] = {{"clusterIP", "None"},
                     {"publishNotReadyAddresses", true},
                     {"selector", Selector(s)},
                     {"ports", {{{"name", "rendezvous"}, {"port", s.port}}}}};
  return service;
}

Json FromAnnotation(const char* variable, const char* annotation) {
  return {{"name", variable},
          {"valueFrom", {{"fieldRef", {{"fieldPath", absl::StrCat("metadata.annotations['", annotation, "']")}}}}}};
}

// One rank a pod: our own words. Several: torchrun's arguments, which say how many a pod stands for.
Json LaunchVariables(const Submission& s) {
  constexpr char kIndex[] = "batch.kubernetes.io/job-completion-index";
  const std::string first = absl::StrCat(s.name, "-0.", s.name, ".", s.name_space, ".svc");
  Json variables = Json::array();
  if (s.ranks_per_node == 1) {
    variables.push_back(FromAnnotation("MILLRACE_RANK", kIndex));
    variables.push_back(Variable("MILLRACE_SIZE", absl::StrCat(s.ranks)));
    variables.push_back(Variable("MILLRACE_COORDINATOR", absl::StrCat(first, ":", s.port)));
    return variables;
  }
  variables.push_back(FromAnnotation("PET_NODE_RANK", kIndex));
  variables.push_back(Variable("PET_NNODES", absl::StrCat(s.nodes)));
  variables.push_back(Variable("PET_NPROC_PER_NODE", absl::StrCat(s.ranks_per_node)));
  variables.push_back(Variable("PET_MASTER_ADDR", first));
  variables.push_back(Variable("PET_MASTER_PORT", absl::StrCat(s.port)));
  return variables;
}

// docs/command-line.md: these codes mean that another try ends the same way. A pod that the cluster itself removed is
// no failure of the job's.
Json FailurePolicy() {
  return {{"rules",
           {{{"action", "FailJob"},
             {"onExitCodes", {{"containerName", "train"}, {"operator", "In"}, {"values", {2, 65, 66, 78, 93}}}}},
            {{"action", "Ignore"}, {"onPodConditions", {{{"type", "DisruptionTarget"}, {"status", "True"}}}}}}}};
}

Json IndexedJob(const Submission& s) {
  Json pod = PodSpec(s, "train", PodTrainCommand(s, s.comm.empty() ? "gloo" : s.comm), LaunchVariables(s));
  pod["subdomain"] = s.name;
  Json job = {{"apiVersion", "batch/v1"}, {"kind", "Job"}, {"metadata", ObjectMetadata(s)}};
  job["spec"] = {{"completionMode", "Indexed"},
                 {"completions", s.nodes},
                 {"parallelism", s.nodes},
                 {"backoffLimit", s.max_restarts * s.nodes},  // one failure ends every pod, and each counts
                 {"podReplacementPolicy", "Failed"},
                 {"podFailurePolicy", FailurePolicy()},
                 {"template", {{"metadata", {{"labels", ObjectMetadata(s)["labels"]}}}, {"spec", pod}}}};
  return job;
}

}  // namespace

absl::StatusOr<Emission> EmitKubernetes(const Submission& submission) {
  Emission emission;
  MR_ASSIGN_OR_RETURN(std::vector<Json> objects, PodObjects(submission));
  objects.push_back(HeadlessService(submission));
  objects.push_back(IndexedJob(submission));
  emission.text = YamlDocuments(objects);
  emission.file = absl::StrCat(submission.name, ".yaml");
  emission.argv = {"kubectl", "apply", "-f", "{file}"};
  emission.secret = true;
  if (submission.volume.empty()) {
    emission.notes.push_back("without --volume=CLAIM the run's folder ends with its pod, checkpoints and weights too");
  }
  return emission;
}

}  // namespace millrace
