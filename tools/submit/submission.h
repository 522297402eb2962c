// What `millrace submit` was asked to launch, checked: a value that every launcher's writer reads.
#ifndef TOOLS_SUBMIT_SUBMISSION_H_
#define TOOLS_SUBMIT_SUBMISSION_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace millrace {

struct Submission {
  // What to train.
  std::string plan_path, job_path;       // as given; job_path may be empty
  std::string plan_bytes, job_bytes;     // their contents
  int64_t ranks = 1;                     // of the plan
  std::vector<std::string> train_flags;  // more of `millrace train`'s, handed on as they are
  std::string program = "millrace";      // how machines call it

  // How.
  std::string name = "millrace";  // of the job and of everything made for it; a DNS label
  std::string comm;               // gloo, mpi; empty: what the launcher brings
  int64_t ranks_per_node = 0;     // 0: one where a node is a pod or a container; all of them for commands
  int64_t nodes = 0;              // follows from the two
  int64_t max_restarts = 3;
  int64_t grace_seconds = 60;  // between SIGTERM and SIGKILL: a step and a checkpoint
  bool insecure = false;       // more than one machine, without TLS
  std::string coordinator;     // host:port for torchrun over several machines
  int64_t port = 29500;        // where ranks meet

  // Of containers.
  std::string image = "millrace:latest";
  std::string name_space = "default";
  std::string volume, mount = "/data";  // a claim, and where pods see it
  std::string plan_at;                  // where machines find the plan; empty: it travels with the manifest
  std::string tls_secret;               // of type kubernetes.io/tls
  std::string cpus = "1", memory = "2Gi";
  std::string token;  // of the job (runtime/rendezvous/token.h)
  std::string kind;   // kubeflow: TrainJob, PyTorchJob, MPIJob

  // Of batch systems and clouds.
  std::string partition, time_limit = "24:00:00", hostfile;
  std::string role, bucket, instance = "ml.c5.2xlarge";
};

// What a launcher's writer makes.
struct Emission {
  std::string file;                // its usual name: "job.yaml"
  std::string text;                // its content; empty: only a command
  std::vector<std::string> argv;   // the one command; {file} stands for where the file was written
  bool secret = false;             // the text holds the job's token
  bool can_run = false;            // submit runs argv itself where its program is installed
  std::vector<std::string> notes;  // for stderr: what the reader must know
};

// Fills in what follows (nodes, ranks_per_node) and checks every value that ends in a manifest or a script.
// INVALID_ARGUMENT names the flag.
absl::Status CheckSubmission(bool nodes_are_containers, Submission* submission);

// `millrace train ...` on the machine that runs it: the plan and the job at these paths.
std::vector<std::string> TrainCommand(const Submission& submission, absl::string_view plan, absl::string_view job,
                                      absl::string_view comm);

// Whether `millrace train` is given --flag or --flag=...
bool HasTrainFlag(const Submission& submission, absl::string_view flag);

// A label as Kubernetes names things: lower-case letters, digits and '-', at most 50 bytes, so that "-<index>" fits.
bool IsDnsLabel(absl::string_view name);

}  // namespace millrace

#endif  // TOOLS_SUBMIT_SUBMISSION_H_
