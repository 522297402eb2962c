#include "runtime/launch/detect.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "proto/status_macros.h"
#include "runtime/launch/disagreement.h"

namespace millrace {
namespace {

constexpr LaunchSource kSources[] = {
    {"flags", "the command line", "--rank, --size, --coordinator", ClaimOfFlags},
    {"millrace", "MILLRACE_*", "MILLRACE_RANK, MILLRACE_SIZE, MILLRACE_COORDINATOR", ClaimOfMillrace},
    {"torchrun", "torchrun or env://", "TORCHELASTIC_RUN_ID; RANK and WORLD_SIZE; MASTER_ADDR", ClaimOfTorchrun},
    {"pet", "PET_*", "PET_NNODES, PET_NPROC_PER_NODE, PET_NODE_RANK", ClaimOfTorchrunArguments},
    {"mpi", "MPI", "OMPI_COMM_WORLD_RANK; PMI_RANK; PMIX_RANK and PMIX_NAMESPACE", ClaimOfMpi},
    {"slurm", "Slurm", "SLURM_JOB_ID and SLURM_PROCID in a step", ClaimOfSlurm},
    {"horovod", "Horovod", "HOROVOD_RANK", ClaimOfHorovod},
    {"sagemaker", "SageMaker", "/opt/ml/input/config/resourceconfig.json; SM_HOSTS", ClaimOfSageMaker},
    {"kubernetes", "Kubernetes", "JOB_COMPLETION_INDEX and KUBERNETES_SERVICE_HOST", ClaimOfKubernetes},
    {"tf_config", "TF_CONFIG", "TF_CONFIG", ClaimOfTfConfig},
    {"tpu", "Cloud TPU", "TPU_WORKER_ID and TPU_WORKER_HOSTNAMES; the metadata server", ClaimOfTpu},
};

bool IsOwn(const LaunchSource& source) { return source.ask == ClaimOfFlags || source.ask == ClaimOfMillrace; }

// A claim that says something, and whose it is.
struct Voice {
  const LaunchSource* source;
  const Claim* claim;
};

// Facts of all voices, each from the first that says it.
class Whole {
 public:
  explicit Whole(const std::vector<Voice>& voices) {
    for (const Voice& voice : voices) {
      const Claim& claim = *voice.claim;
      Take(claim.rank, &all_.rank, voice, "rank");
      if (claim.rank && rank_from_ == nullptr) rank_from_ = voice.source;
      Take(claim.size, &all_.size, voice, "ranks");
      Take(claim.local_rank, &all_.local_rank, voice, "local rank");
      Take(claim.local_size, &all_.local_size, voice, "ranks on this machine");
      Take(claim.node_rank, &all_.node_rank, voice, "machine");
      if (claim.node_rank && machine_from_ == nullptr) machine_from_ = voice.source;
      Take(claim.nodes, &all_.nodes, voice, "machines");
      if (all_.ranks_here == 1 && (!all_.rank || rank_from_ == voice.source)) all_.ranks_here = claim.ranks_here;
    }
    for (const bool derived : {false, true}) {
      for (const Voice& voice : voices) {
        if (!voice.claim->coordinator || voice.claim->coordinator_derived != derived || all_.coordinator) continue;
        all_.coordinator = voice.claim->coordinator;
        own_coordinator_ = IsOwn(*voice.source);
        Say(absl::StrCat("coordinator ", ToString(all_.coordinator->value)), all_.coordinator->from, voice);
      }
    }
  }

  absl::StatusOr<LaunchContract> Contract() {
    if (!all_.rank && all_.node_rank && all_.size) {
      all_.rank = {all_.node_rank->value * all_.ranks_here, all_.node_rank->from};
      rank_from_ = machine_from_;
    }
    if (!all_.rank && all_.size && all_.size->value == 1) all_.rank = {0, all_.size->from};
    if (!all_.rank && !all_.size && !all_.node_rank) {
      LaunchContract single;
      single.evidence = std::move(evidence_);
      single.evidence.push_back("no launcher gives this process a rank: rank 0 of 1");
      return single;
    }
    MR_RETURN_IF_ERROR(CheckWhole());
    MeetOnLoopback();
    return Filled();
  }

 private:
  void Say(absl::string_view fact, absl::string_view from, const Voice& voice) {
    evidence_.push_back(absl::StrCat(fact, ": ", from, " (", voice.source->name, ")"));
  }

  void Take(const SaidNumber& from, SaidNumber* to, const Voice& voice, absl::string_view what) {
    if (!from || *to) return;
    *to = from;
    Say(absl::StrCat(what, " ", from->value), from->from, voice);
  }

  // Launchers name their machine as others see it, also where nobody else looks. What never leaves the machine need not
  // be open to the network. A coordinator in our own words is meant as it stands.
  void MeetOnLoopback() {
    const bool one_machine =
        all_.nodes ? all_.nodes->value == 1 : all_.local_size && all_.local_size->value == all_.size->value;
    if (!one_machine || !all_.coordinator || own_coordinator_ || all_.size->value == 1) return;
    std::string& host = all_.coordinator->value.host;
    if (host == "127.0.0.1" || host == "localhost" || host == "::1") return;
    host = "127.0.0.1";
    evidence_.push_back(absl::StrCat("coordinator ", ToString(all_.coordinator->value),
                                     ": all ranks are on this machine, so they meet on its loopback"));
  }

  absl::Status CheckWhole() const {
    if (!all_.size) {
      const Said<int64_t>& place = all_.rank ? *all_.rank : *all_.node_rank;
      return absl::FailedPreconditionError(
          absl::StrCat(place.from,
                       " gives this process a place, but nothing says among how many. Set WORLD_SIZE or "
                       "MILLRACE_SIZE to the number of ranks, or MILLRACE_LAUNCH=single for a process of its own"));
    }
    if (!all_.rank) {
      return absl::FailedPreconditionError(absl::StrCat(all_.size->from, " says ", all_.size->value,
                                                        " ranks, but nothing says which one this process is. "
                                                        "Set MILLRACE_RANK or --rank, from 0 to ",
                                                        all_.size->value - 1));
    }
    const int64_t last = all_.rank->value + all_.ranks_here - 1;
    if (last >= all_.size->value) {
      return absl::FailedPreconditionError(absl::StrCat("rank ", last, " (", all_.rank->from, ") of ", all_.size->value,
                                                        " (", all_.size->from, "): ranks count from 0"));
    }
    if (all_.local_size && all_.local_size->value > all_.size->value) {
      return absl::FailedPreconditionError(absl::StrCat(all_.local_size->from, " ranks on this machine, of ",
                                                        all_.size->value, " (", all_.size->from, ")"));
    }
    MR_RETURN_IF_ERROR(CheckBelow(all_.local_rank, all_.local_size, "local ranks"));
    MR_RETURN_IF_ERROR(CheckBelow(all_.local_rank, all_.size, "local ranks"));
    return CheckBelow(all_.node_rank, all_.nodes, "machines");
  }

  static absl::Status CheckBelow(const SaidNumber& place, const SaidNumber& count, absl::string_view what) {
    if (!place || !count || place->value < count->value) return absl::OkStatus();
    return absl::FailedPreconditionError(
        absl::StrCat(place->from, " is not below ", count->from, ": ", what, " count from 0"));
  }

  // What nobody says follows from the rest, as if all machines held equally many ranks, in order.
  LaunchContract Filled() {
    LaunchContract contract;
    contract.rank = static_cast<int>(all_.rank->value);
    contract.size = static_cast<int>(all_.size->value);
    contract.ranks_here = static_cast<int>(all_.ranks_here);
    contract.local_rank = all_.local_rank ? static_cast<int>(all_.local_rank->value) : 0;
    contract.local_size = all_.local_size ? static_cast<int>(all_.local_size->value)
                                          : std::max(contract.ranks_here, contract.local_rank + 1);
    const bool even = contract.size % contract.local_size == 0;
    contract.nodes = all_.nodes ? static_cast<int>(all_.nodes->value) : even ? contract.size / contract.local_size : 1;
    contract.node_rank = all_.node_rank               ? static_cast<int>(all_.node_rank->value)
                         : even && contract.nodes > 1 ? contract.rank / contract.local_size
                                                      : 0;
    if (!all_.nodes) contract.nodes = std::max(contract.nodes, contract.node_rank + 1);
    if (rank_from_ != nullptr) {
      contract.source = rank_from_->name;
      contract.source_key = rank_from_->key;
    } else {
      contract.source = contract.source_key = "single";
    }
    if (all_.coordinator) contract.coordinator = all_.coordinator->value;
    contract.evidence = std::move(evidence_);
    return contract;
  }

  Claim all_;
  const LaunchSource* rank_from_ = nullptr;
  const LaunchSource* machine_from_ = nullptr;
  bool own_coordinator_ = false;
  std::vector<std::string> evidence_;
};

// MILLRACE_LAUNCH, checked; "" when it is not set.
absl::StatusOr<std::string> ChosenSource(const LaunchEnvironment& environment) {
  const std::string* const chosen = environment.Find("MILLRACE_LAUNCH");
  if (chosen == nullptr) return std::string();
  std::vector<std::string> keys = {"single"};
  for (const LaunchSource& source : kSources) keys.push_back(source.key);
  if (std::find(keys.begin(), keys.end(), *chosen) != keys.end()) return *chosen;
  return BadLaunch("MILLRACE_LAUNCH", *chosen, absl::StrCat("one of ", absl::StrJoin(keys, ", ")));
}

}  // namespace

absl::Span<const LaunchSource> LaunchSources() { return kSources; }

std::vector<LaunchFinding> AskLaunchers(const LaunchEnvironment& environment) {
  const absl::StatusOr<std::string> chosen = ChosenSource(environment);
  std::vector<LaunchFinding> findings;
  for (const LaunchSource& source : kSources) {
    LaunchFinding& finding = findings.emplace_back();
    finding.source = &source;
    // Our own words count whoever is chosen; a wrong choice is reported by WeighLaunchers.
    finding.asked = !chosen.ok() || chosen->empty() || *chosen == source.key ||
                    (IsOwn(source) && *chosen != "flags" && *chosen != "single");
    if (finding.asked) finding.claim = source.ask(environment);
  }
  return findings;
}

absl::StatusOr<LaunchContract> WeighLaunchers(const LaunchEnvironment& environment,
                                              const std::vector<LaunchFinding>& findings) {
  MR_RETURN_IF_ERROR(ChosenSource(environment).status());
  std::vector<Voice> voices;
  for (const LaunchFinding& finding : findings) {
    if (!finding.asked) continue;
    if (!finding.claim.ok()) return finding.claim.status();
    if (finding.claim->says_something()) voices.push_back({finding.source, &*finding.claim});
  }
  for (size_t i = 0; i < voices.size(); ++i) {
    for (size_t j = i + 1; j < voices.size(); ++j) {
      const std::string what =
          DisagreementOf(*voices[i].claim, voices[i].source->name, *voices[j].claim, voices[j].source->name);
      if (what.empty()) continue;
      return absl::FailedPreconditionError(absl::StrCat("two launchers disagree about ", what,
                                                        ". Unset what is left over from one of them, or say which "
                                                        "to believe: MILLRACE_LAUNCH=",
                                                        voices[i].source->key,
                                                        " or MILLRACE_LAUNCH=", voices[j].source->key));
    }
  }
  return Whole(voices).Contract();
}

absl::StatusOr<LaunchContract> DetectLaunch(const LaunchEnvironment& environment) {
  return WeighLaunchers(environment, AskLaunchers(environment));
}

}  // namespace millrace
