#include "tools/cli/process_flags.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "proto/status_macros.h"
#include "runtime/launch/launch_environment.h"
#include "runtime/supervise/supervisor.h"
#include "tools/cli/command.h"
#include "tools/cli/version.h"

namespace millrace {
namespace {

// The words that started this program; its own file first.
absl::StatusOr<std::vector<std::string>> OwnCommandLine() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  std::vector<std::string> words = absl::StrSplit(bytes, '\0');
  words.pop_back();  // each word ends with a zero byte
  std::error_code error;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
  if (words.empty() || error) {
    return absl::InternalError("/proc/self does not say how this program was started, so no rank can be");
  }
  words[0] = program.string();
  return words;
}

// Also for ranks that run no coordinator: all are started with the same flags.
absl::Status CheckTls(const TlsFiles& tls) {
  if (tls.certificate.empty() != tls.key.empty()) {
    return UsageError("--tls-certificate and --tls-key go together: give both, or none");
  }
  if (!tls.certificate.empty() && tls.authority.empty()) {
    return UsageError(
        "--tls-certificate needs --tls-authority, by which ranks know the coordinator; a certificate that "
        "is signed by itself is its own authority");
  }
  return absl::OkStatus();
}

}  // namespace

void ProcessFlags::Declare(FlagSet* flags) {
  flags->String("comm", &comm_, "in_process, gloo, mpi or nccl; default: what the launcher brings, alone in_process");
  flags->String("nccl-communicators", &nccl_communicators_, "split: one for each direction of each stage pair; or one");
  flags->Int("rank", &rank_, "of this process, where no launcher says it");
  flags->Int("size", &size_, "ranks of the job, where no launcher says it");
  flags->Int("local-rank", &local_rank_, "among the ranks of this machine");
  flags->String("coordinator", &coordinator_, "host:port where ranks meet");
  flags->String("token-file", &token_file_, "secret that the job's processes share; one machine needs none");
  flags->String("host", &host_, "this machine's address for tensors; default: the one that leads to the coordinator");
  flags->String("interface", &interface_, "network interface for tensors, instead of --host");
  flags->Bool("insecure", &insecure_, "ranks on several machines may meet in plain text");
  flags->String("tls-certificate", &tls_certificate_, "of the coordinator, PEM");
  flags->String("tls-key", &tls_key_, "of the coordinator, PEM");
  flags->String("tls-authority", &tls_authority_, "that signed the coordinator's certificate, PEM");
  flags->Uint("join-timeout", &join_seconds_, "seconds to wait for all ranks to come");
  flags->Uint("heartbeat-timeout", &heartbeat_seconds_, "seconds of silence after which a rank has hung");
  flags->Uint("warn-after", &warn_seconds_,
              "seconds of a wait after which it is reported, with where every rank stands");
  flags->Uint("wait-limit", &limit_seconds_, "seconds after which a wait is given up, and the run with it");
  flags->Uint("max-restarts", &max_restarts_, "--comm=gloo without a launcher: starts after a failure");
}

absl::StatusOr<LaunchContract> ProcessFlags::Contract() const {
  LaunchFlags flags;
  flags.rank = rank_;
  flags.size = size_;
  flags.local_rank = local_rank_;
  flags.coordinator = coordinator_;
  return DetectLaunch(ThisProcessEnvironment(flags));
}

absl::StatusOr<bool> ProcessFlags::Supervises(const LaunchContract& contract) const {
  const absl::StatusOr<TransportKind> transport = ChooseTransport(comm_, contract);
  if (absl::IsInvalidArgument(transport.status())) return WithExit(transport.status(), kExitUsage);
  MR_RETURN_IF_ERROR(transport.status());
  const bool processes = *transport == TransportKind::kGloo || *transport == TransportKind::kNccl;
  return processes && !contract.launched();
}

absl::Status ProcessFlags::Supervise(const proto::ExecutionPlan& plan, bool prefix) const {
  SuperviseOptions options;
  MR_ASSIGN_OR_RETURN(options.command, OwnCommandLine());
  options.ranks = plan.ranks_size();
  options.plan_hash = plan.hash();
  options.version = kVersion;
  options.max_restarts = static_cast<int>(max_restarts_);
  options.heartbeat_timeout = absl::Seconds(heartbeat_seconds_);
  options.prefix = prefix;
  MR_ASSIGN_OR_RETURN(const SuperviseResult result, millrace::Supervise(options));
  if (result.exit_code == 0) return absl::OkStatus();
  return WithExit(absl::AbortedError(result.message), static_cast<ExitCode>(result.exit_code));
}

absl::StatusOr<std::unique_ptr<Membership>> ProcessFlags::Join(const LaunchContract& contract,
                                                               const proto::ExecutionPlan& plan) const {
  MembershipOptions options;
  MR_ASSIGN_OR_RETURN(options.transport, ChooseTransport(comm_, contract));
  options.contract = contract;
  options.ranks = plan.ranks_size();
  options.plan_hash = plan.hash();
  options.version = kVersion;
  if (nccl_communicators_ != "split" && nccl_communicators_ != "one") {
    return WithExit(absl::InvalidArgumentError("--nccl-communicators is split or one"), kExitUsage);
  }
  if (options.transport == TransportKind::kNccl) options.nccl_groups = GroupsOf(plan);
  options.one_nccl_communicator = nccl_communicators_ == "one";
  options.token_file = token_file_;
  options.host = host_;
  options.interface = interface_;
  options.insecure = insecure_;
  options.waits = Waits();
  options.tls = {tls_certificate_, tls_key_, tls_authority_};
  MR_RETURN_IF_ERROR(CheckTls(options.tls));
  options.join_within = absl::Seconds(join_seconds_);
  options.heartbeat_timeout = absl::Seconds(heartbeat_seconds_);
  return Membership::Make(options);
}

CommunicatorOptions ProcessFlags::Waits() const {
  CommunicatorOptions waits;
  waits.warn_after = absl::Seconds(warn_seconds_);
  waits.terminate_after = absl::Seconds(limit_seconds_);
  return waits;
}

std::string FaultsFromEnvironment() {
  const char* const value = std::getenv("MILLRACE_FAULT");
  return value != nullptr && RestartsSoFar() == 0 ? value : "";
}

int RestartsSoFar() {
  for (const char* name : {"MILLRACE_RESTART", "TORCHELASTIC_RESTART_COUNT"}) {
    const char* const value = std::getenv(name);
    int restarts = 0;
    if (value != nullptr && absl::SimpleAtoi(value, &restarts)) return restarts;
  }
  return 0;
}

}  // namespace millrace
