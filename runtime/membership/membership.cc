#include "runtime/membership/membership.h"

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "runtime/comm/mpi/mpi.h"
#include "runtime/comm/nccl/nccl_api.h"
#include "runtime/membership/kinds.h"

namespace millrace {
namespace {

class Alone : public Membership {
 public:
  std::vector<int> here() const override { return {}; }
  int on_this_host() const override { return 0; }
  MakeCommunicatorFn make_communicator() override { return {}; }
  absl::Status End(const absl::Status& mine) override { return mine; }
};

std::string Launch(const LaunchContract& contract) {
  return absl::StrCat(contract.source, " says rank ", contract.rank, " of ", contract.size);
}

}  // namespace

absl::StatusOr<TransportKind> ParseTransport(absl::string_view name) {
  for (TransportKind transport : {TransportKind::kInProcess, TransportKind::kGloo, TransportKind::kMpi, TransportKind::kNccl}) {
    if (NameOf(transport) == name) return transport;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("there is no transport '", name, "'; there are in_process, gloo, mpi and nccl"));
}

absl::string_view NameOf(TransportKind transport) {
  switch (transport) {
    case TransportKind::kInProcess:
      return "in_process";
    case TransportKind::kGloo:
      return "gloo";
    case TransportKind::kMpi:
      return "mpi";
    case TransportKind::kNccl:
      return "nccl";
  }
  return "";
}

absl::StatusOr<TransportKind> ChooseTransport(absl::string_view name, const LaunchContract& contract) {
  const bool by_mpi = contract.source_key == "mpi";
  if (name.empty()) {
    // One process, whoever started it, runs all ranks of its plan.
    if (!contract.launched() || contract.size == 1) return TransportKind::kInProcess;
    return by_mpi && MpiIsLinked() ? TransportKind::kMpi : TransportKind::kGloo;
  }
  MR_ASSIGN_OR_RETURN(const TransportKind transport, ParseTransport(name));
  if (transport == TransportKind::kInProcess && contract.launched() && contract.size > 1) {
    return absl::FailedPreconditionError(absl::StrCat("--comm=in_process runs all ranks in one process, but ",
                                                      Launch(contract),
                                                      "; leave --comm out, or set MILLRACE_LAUNCH=single to be alone"));
  }
  if (transport == TransportKind::kNccl) MR_RETURN_IF_ERROR(nccl::TheNccl().status());
  if (transport == TransportKind::kMpi && !contract.launched()) {
    return absl::FailedPreconditionError(
        "--comm=mpi: this process was not started by an MPI launcher; mpirun -np RANKS millrace train ... starts all");
  }
  return transport;
}

std::vector<int> RanksOf(const LaunchContract& contract) {
  std::vector<int> ranks;
  for (int i = 0; i < contract.ranks_here; ++i) ranks.push_back(contract.rank + i);
  return ranks;
}

absl::StatusOr<std::unique_ptr<Membership>> Membership::Make(const MembershipOptions& options) {
  if (options.transport == TransportKind::kInProcess) return std::unique_ptr<Membership>(new Alone);
  if (options.contract.size != options.ranks) {
    return absl::FailedPreconditionError(absl::StrCat("the plan has ", options.ranks, " ranks, but ",
                                                      Launch(options.contract), "; start ", options.ranks,
                                                      " processes, or make a plan for ", options.contract.size));
  }
  return options.transport == TransportKind::kMpi ? MakeMpiMembership(options) : MakeGlooMembership(options);
}

}  // namespace millrace
