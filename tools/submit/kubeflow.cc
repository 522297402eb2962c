// Kubeflow: a TrainJob with a runtime of its own (Trainer v2), or the first operator's PyTorchJob and MPIJob.
//
// A TrainJob takes image and command by itself, but volumes only through fields whose names have changed from version
// to version; a TrainingRuntime says all of it in fields that have not.
#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "tools/submit/launchers.h"
#include "tools/submit/pod.h"
#include "tools/submit/yaml.h"

namespace millrace {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kTrainerVersion[] = "trainer.kubeflow.org/v1alpha1";

// The controller gives the pods of this template PET_*, by the name of the job and of the container.
Json Runtime(const Submission& s) {
  Json runtime = {{"apiVersion", kTrainerVersion}, {"kind", "TrainingRuntime"}, {"metadata", ObjectMetadata(s)}};
  const Json pod = PodSpec(s, "node", PodTrainCommand(s, s.comm.empty() ? "gloo" : s.comm), Json::array());
  const Json job = {{"backoffLimit", s.max_restarts * s.nodes}, {"template", {{"spec", pod}}}};
  runtime["spec"] = {{"mlPolicy", {{"numNodes", s.nodes}, {"torch", Json::object()}}},
                     {"template",
                      {{"spec",
                        {{"replicatedJobs",
                          {{{"name", "node"},
                            {"template",
                             {{"metadata", {{"labels", {{"trainer.kubeflow.org/trainjob-ancestor-step", "trainer"}}}}},
                              {"spec", job}}}}}}}}}}};
  return runtime;
}

Json TrainJob(const Submission& s) {
  Json job = {{"apiVersion", kTrainerVersion}, {"kind", "TrainJob"}, {"metadata", ObjectMetadata(s)}};
  job["spec"] = {{"runtimeRef", {{"apiGroup", "trainer.kubeflow.org"}, {"kind", "TrainingRuntime"}, {"name", s.name}}},
                 {"trainer", {{"numNodes", s.nodes}, {"numProcPerNode", s.ranks_per_node}}}};
  return job;
}

// The operator names container and port: "pytorch", "pytorchjob-port".
Json PyTorchJob(const Submission& s) {
  Json pod = PodSpec(s, "pytorch", PodTrainCommand(s, s.comm.empty() ? "gloo" : s.comm), Json::array());
  pod["containers"][0]["ports"][0]["name"] = "pytorchjob-port";
  pod.erase("restartPolicy");  // the operator's, below
  const auto replicas = [&](int64_t count) {
    return Json{{"replicas", count}, {"restartPolicy", "OnFailure"}, {"template", {{"spec", pod}}}};
  };
  Json job = {{"apiVersion", "kubeflow.org/v1"}, {"kind", "PyTorchJob"}, {"metadata", ObjectMetadata(s)}};
  Json specs = {{"Master", replicas(1)}};
  if (s.nodes > 1) specs["Worker"] = replicas(s.nodes - 1);
  job["spec"] = {{"nprocPerNode", absl::StrCat(s.ranks_per_node)},
                 {"runPolicy", {{"backoffLimit", s.max_restarts}, {"cleanPodPolicy", "None"}}},
                 {"pytorchReplicaSpecs", specs}};
  return job;
}

// mpirun in the launcher's pod reaches the workers by ssh; the operator mounts the keys and the host file.
Json MpiJob(const Submission& s) {
  std::vector<std::string> argv = {"mpirun", "-np", absl::StrCat(s.ranks)};
  const std::vector<std::string> train = PodTrainCommand(s, s.comm.empty() ? "mpi" : s.comm);
  argv.insert(argv.end(), train.begin(), train.end());
  Json launcher = PodSpec(s, "launcher", argv, Json::array());
  Json worker = PodSpec(s, "worker", {"/usr/sbin/sshd", "-De", "-f", "/tmp/.sshd_config"}, Json::array());
  for (Json* pod : {&launcher, &worker}) {
    pod->erase("restartPolicy");
    (*pod)["containers"][0]["securityContext"]["readOnlyRootFilesystem"] = false;  // sshd writes
  }
  Json job = {{"apiVersion", "kubeflow.org/v2beta1"}, {"kind", "MPIJob"}, {"metadata", ObjectMetadata(s)}};
  job["spec"] = {{"slotsPerWorker", s.ranks_per_node},
                 {"sshAuthMountPath", "/tmp/.ssh"},
                 {"runPolicy", {{"backoffLimit", s.max_restarts}, {"cleanPodPolicy", "Running"}}},
                 {"mpiReplicaSpecs",
                  {{"Launcher", {{"replicas", 1}, {"restartPolicy", "Never"}, {"template", {{"spec", launcher}}}}},
                   {"Worker", {{"replicas", s.nodes}, {"restartPolicy", "Never"}, {"template", {{"spec", worker}}}}}}}};
  return job;
}

}  // namespace

absl::StatusOr<Emission> EmitKubeflow(const Submission& submission) {
  Emission emission;
  MR_ASSIGN_OR_RETURN(std::vector<Json> objects, PodObjects(submission));
  if (submission.kind.empty() || submission.kind == "TrainJob") {
    objects.push_back(Runtime(submission));
    objects.push_back(TrainJob(submission));
  } else if (submission.kind == "PyTorchJob") {
    objects.push_back(PyTorchJob(submission));
  } else if (submission.kind == "MPIJob") {
    objects.push_back(MpiJob(submission));
    emission.notes.push_back("the image of an MPIJob needs openmpi-bin and openssh-server, set up for user 10001");
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat("--kind=", submission.kind, ": there are TrainJob, PyTorchJob and MPIJob"));
  }
  emission.text = YamlDocuments(objects);
  emission.file = absl::StrCat(submission.name, ".yaml");
  emission.argv = {"kubectl", "apply", "--server-side", "-f", "{file}"};
  emission.secret = true;
  if (submission.volume.empty()) {
    emission.notes.push_back("without --volume=CLAIM the run's folder ends with its pod, checkpoints and weights too");
  }
  return emission;
}

}  // namespace millrace
