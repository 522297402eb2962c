// `millrace submit`: a plan to whatever starts processes where it is to run.
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <memory>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "proto/text_proto.h"
#include "runtime/plan/plan.h"
#include "runtime/rendezvous/token.h"
#include "tools/cli/commands.h"
#include "tools/cli/token_file.h"
#include "tools/submit/launchers.h"
#include "tools/submit/local.h"
#include "tools/submit/quote.h"
#include "tools/submit/run_program.h"

namespace millrace {
namespace {

constexpr uint64_t kPlanBytes = uint64_t{64} << 20;
constexpr uint64_t kJobBytes = 1 << 20;

// A file that only its owner can read, where it holds a secret.
absl::Status WriteEmission(const Emission& emission, const std::string& path) {
  const mode_t before = umask(emission.secret ? 0177 : 0022);
  const absl::Cleanup restore = [before] { umask(before); };
  return WriteFileAtomically(path, emission.text);
}

std::vector<std::string> WithFile(std::vector<std::string> argv, const std::string& file) {
  for (std::string& word : argv) {
    if (word == "{file}") word = file;
  }
  return argv;
}

class SubmitCommand : public Command {
 public:
  std::string name() const override { return "submit"; }
  std::string summary() const override { return "launch a plan: on this machine, by a launcher, on a cluster"; }
  std::string usage() const override { return "PLAN --launcher=NAME [--job=JOB] [FLAGS] [-- FLAGS OF millrace train]"; }
  std::vector<std::string> examples() const override {
    return {"submit gpt.plan --job=job.textproto --launcher=mpirun",
            "submit gpt.plan --job=job.textproto --launcher=kubernetes --volume=runs --insecure --out=job.yaml",
            "submit gpt.plan --launcher=slurm --insecure --dry-run -- --data=/shared/book.txt --out=/shared/run"};
  }
  void Declare(FlagSet* flags) override {
    flags->String("launcher", &launcher_, "local, mpirun, slurm, torchrun, kubernetes, kubeflow, sagemaker or ray");
    flags->String("job", &s_.job_path, "a JobConfig file");
    flags->String("out", &out_, "where the manifest or script goes; default: stdout, or NAME.sbatch for slurm");
    flags->Bool("dry-run", &dry_run_, "print what would be run, run nothing");
    flags->String("name", &s_.name, "of the job and what is made for it");
    flags->String("comm", &s_.comm, "gloo or mpi; default: the launcher's own");
    flags->Int("ranks-per-node", &s_.ranks_per_node, "ranks a machine or pod; 0: one a pod, all on one machine else");
    flags->Int("max-restarts", &s_.max_restarts, "from the last checkpoint");
    flags->Int("grace", &s_.grace_seconds, "seconds between the request to stop and the end");
    flags->Int("port", &s_.port, "where ranks meet");
    flags->Bool("insecure", &s_.insecure, "ranks on several machines talk without encryption");
    flags->String("program", &s_.program, "millrace as machines call it");
    flags->String("image", &s_.image, "kubernetes, kubeflow, sagemaker: the container's");
    flags->String("namespace", &s_.name_space, "kubernetes, kubeflow");
    flags->String("volume", &s_.volume, "kubernetes, kubeflow: a PersistentVolumeClaim for data and results");
    flags->String("mount", &s_.mount, "kubernetes, kubeflow: where the volume is in a pod");
    flags->String("plan-at", &s_.plan_at, "where machines find the plan; default: it travels with the manifest");
    flags->String("tls-secret", &s_.tls_secret, "kubernetes, kubeflow: certificate and key for the rendezvous");
    flags->String("cpus", &s_.cpus, "of a rank's pod or task");
    flags->String("memory", &s_.memory, "of a pod");
    flags->String("kind", &s_.kind, "kubeflow: TrainJob, PyTorchJob or MPIJob [TrainJob]");
    flags->String("hostfile", &s_.hostfile, "mpirun: the hosts");
    flags->String("coordinator", &s_.coordinator, "torchrun over several machines: host:port of the first");
    flags->String("partition", &s_.partition, "slurm");
    flags->String("time", &s_.time_limit, "slurm, sagemaker: the longest it may take");
    flags->String("role", &s_.role, "sagemaker: the execution role's ARN");
    flags->String("bucket", &s_.bucket, "sagemaker: s3://bucket/prefix for plan, data and results");
    flags->String("instance", &s_.instance, "sagemaker: the machine's type");
  }
  absl::Status Run(const FlagSet& flags, const std::vector<std::string>& arguments) override {
    if (arguments.empty()) return UsageError("the plan is missing");
    if (launcher_.empty()) return UsageError("--launcher=NAME is missing");
    s_.plan_path = arguments[0];
    s_.train_flags.assign(arguments.begin() + 1, arguments.end());
    const bool local = launcher_ == "local";
    absl::StatusOr<Launcher> launcher = Launcher{"local", false, nullptr};
    if (!local) launcher = FindLauncher(launcher_);
    if (!launcher.ok()) return WithExit(launcher.status(), kExitUsage);
    MR_RETURN_IF_ERROR(ReadInputs());
    const absl::Status checked = CheckSubmission(launcher->nodes_are_containers, &s_);
    if (!checked.ok()) return WithExit(checked, kExitUsage);
    if (local) return Local();
    s_.token = JobToken::Random().text();
    const absl::StatusOr<Emission> emission = launcher->emit(s_);
    if (!emission.ok()) return WithExit(emission.status(), kExitUsage);
    for (const std::string& note : emission->notes) std::fprintf(stderr, "note: %s\n", note.c_str());
    return emission->can_run && !dry_run_ ? Launch(*emission) : Hand(*emission);
  }

 private:
  absl::Status ReadInputs() {
    MR_ASSIGN_OR_RETURN(const proto::ExecutionPlan plan, LoadPlan(s_.plan_path));
    s_.ranks = plan.ranks_size();
    MR_ASSIGN_OR_RETURN(s_.plan_bytes, ReadFile(s_.plan_path, kPlanBytes));
    if (!s_.job_path.empty()) {
      MR_ASSIGN_OR_RETURN(s_.job_bytes, ReadFile(s_.job_path, kJobBytes));
    }
    return absl::OkStatus();
  }

  absl::Status Local() const {
    if (dry_run_) {
      std::printf("%s\n", ShellCommand(LocalCommand(s_)).c_str());
      return absl::OkStatus();
    }
    MR_ASSIGN_OR_RETURN(const LocalEnd end, RunLocally(s_));
    if (end.exit_code == 0) return absl::OkStatus();
    return WithExit(absl::UnknownError(end.message), static_cast<ExitCode>(end.exit_code));
  }

  // The file where it was asked for, and the one command to give; without a place, the file on stdout.
  absl::Status Hand(const Emission& emission) const {
    if (emission.text.empty()) {
      std::printf("%s\n", ShellCommand(emission.argv).c_str());
      return absl::OkStatus();
    }
    if (out_.empty()) {
      std::fputs(emission.text.c_str(), stdout);
      std::fprintf(stderr, "run it as: %s\n", ShellCommand(WithFile(emission.argv, emission.file)).c_str());
      return absl::OkStatus();
    }
    MR_RETURN_IF_ERROR(WriteEmission(emission, out_));
    std::printf("%s\n", ShellCommand(WithFile(emission.argv, out_)).c_str());
    return absl::OkStatus();
  }

  // Runs the launcher's program here, with a token for this job that is gone when it has ended.
  absl::Status Launch(const Emission& emission) const {
    const std::string file = out_.empty() ? emission.file : out_;
    if (!emission.text.empty()) MR_RETURN_IF_ERROR(WriteEmission(emission, file));
    const std::vector<std::string> argv = WithFile(emission.argv, file);
    if (FindProgram(argv[0]).empty()) {
      std::printf("%s\n", ShellCommand(argv).c_str());
      return WithExit(absl::UnavailableError(absl::StrCat(argv[0],
                                                          " is not installed here; where it is, give the "
                                                          "command above")),
                      kExitUnavailable);
    }
    std::fprintf(stderr, "running %s\n", ShellCommand(argv).c_str());
    std::vector<std::string> variables;
    std::string token_file;
    const absl::Cleanup remove = [&] {
      if (!token_file.empty()) unlink(token_file.c_str());
    };
    if (emission.text.empty()) {  // a batch script makes its own
      MR_ASSIGN_OR_RETURN(token_file, WriteTokenFile(s_.token));
      variables.push_back(absl::StrCat("MILLRACE_TOKEN_FILE=", token_file));
    }
    MR_ASSIGN_OR_RETURN(const int code, RunProgram(argv, variables));
    if (code == 0) return absl::OkStatus();
    return WithExit(absl::UnknownError(absl::StrCat(argv[0], " ended with code ", code)), static_cast<ExitCode>(code));
  }

  Submission s_;
  std::string launcher_, out_;
  bool dry_run_ = false;
};

}  // namespace

std::unique_ptr<Command> MakeSubmitCommand() { return std::make_unique<SubmitCommand>(); }

}  // namespace millrace
