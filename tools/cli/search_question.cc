#include "tools/cli/search_question.h"

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "partitioner/search/graph_chain.h"
#include "proto/status_macros.h"
#include "tools/cli/command.h"

namespace millrace {
namespace {

int64_t Fixed(const FlagSet& flags, const char* name, int64_t value) { return flags.WasGiven(name) ? value : 0; }

// --recompute=none|all; nothing where it was not given.
absl::StatusOr<std::optional<ActivationRecompute>> RecomputeOf(const PlanFlags& plan, const FlagSet& flags) {
  if (!flags.WasGiven("recompute")) return std::optional<ActivationRecompute>();
  if (plan.recompute != "none" && plan.recompute != "all") {
    return UsageError(absl::StrCat("--recompute=", plan.recompute, ": with --global-batch there are none and all"));
  }
  return std::optional(plan.recompute == "all" ? ActivationRecompute::kFull : ActivationRecompute::kNone);
}

}  // namespace

void SearchFlags::Declare(FlagSet* flags) {
  flags->Int("global-batch", &global_batch, "samples in a step: search how to train, on --cluster or --devices");
  flags->Int("tensor-parallel", &tensor_parallel, "of the search: fixed degree t; 0: any");
  flags->String("replicas", &replicas, "of the search: fixed number d of replicas; 3-1: of each stage; 0: any");
  flags->Int("sharding", &sharding, "of the search: fixed level 0 to 3 of optimizer sharding; -1: any");
}

absl::Status CheckSearchFlags(const SearchFlags& search, const PlanFlags& plan, const FlagSet& flags) {
  if (plan.cluster.empty() && plan.devices.empty()) {
    return UsageError("--global-batch needs to know the devices: give --cluster=FILE or --devices=KIND:COUNT");
  }
  for (const char* name :
       {"micro-batches", "memory-limit", "cut-after", "cut", "dump", "recompute-as", "recompute-segments",
        "dp", "shard-optimizer"}) {
    if (flags.WasGiven(name)) {
      return UsageError(absl::StrCat("--", name, " has no meaning with --global-batch, which chooses by itself"));
    }
  }
  if (search.global_batch < 1) {
    return UsageError(absl::StrCat("--global-batch=", search.global_batch, ": at least 1 sample is needed"));
  }
  for (const auto& [name, value] : {std::pair("tensor-parallel", search.tensor_parallel), std::pair("pp", plan.pp),
                                    std::pair("micro-batch", plan.micro_batch), std::pair("chunks", plan.chunks)}) {
    if (value < 0 || (flags.WasGiven(name) && value == 0)) {
      return UsageError(absl::StrCat("--", name, "=", value, ": at least 1 is needed to fix it"));
    }
  }
  if (search.sharding < -1 || search.sharding > 3) {
    return UsageError(absl::StrCat("--sharding=", search.sharding, ": there are levels 0 to 3, and -1 for any"));
  }
  return ReplicasOf(search).status();
}

absl::StatusOr<std::vector<int64_t>> ReplicasOf(const SearchFlags& search) {
  std::vector<int64_t> replicas;
  if (search.replicas.empty() || search.replicas == "0") return replicas;
  for (absl::string_view text : absl::StrSplit(search.replicas, '-')) {
    int64_t number = 0;
    if (!absl::SimpleAtoi(text, &number) || number < 1) {
      return UsageError(absl::StrCat("--replicas=", absl::CHexEscape(search.replicas),
                                     ": at least 1 is needed to fix it: 4 for all stages, or 3-1 for each of two"));
    }
    replicas.push_back(number);
  }
  return replicas;
}

absl::StatusOr<SearchQuestion> TransformerQuestion(const SearchFlags& search, const PlanFlags& plan,
                                                   const FlagSet& flags, const PaperMachine& machine,
                                                   const Transformer& model) {
  SearchQuestion q;
  q.model = model;
  q.machine = machine;
  q.global_batch = search.global_batch;
  q.tensor_parallel = search.tensor_parallel;
  MR_ASSIGN_OR_RETURN(const std::vector<int64_t> replicas, ReplicasOf(search));
  if (replicas.size() == 1) q.replicas = replicas[0];
  q.pipeline = Fixed(flags, "pp", plan.pp);
  q.micro_batch = Fixed(flags, "micro-batch", plan.micro_batch);
  q.chunks = Fixed(flags, "chunks", plan.chunks);
  if (search.sharding >= 0) q.sharding = static_cast<int>(search.sharding);
  if (flags.WasGiven("schedule")) {
    for (SearchedSchedule schedule :
         {SearchedSchedule::k1F1B, SearchedSchedule::kInterleaved, SearchedSchedule::kZbH1, SearchedSchedule::kZbH2}) {
      if (plan.schedule == NameOf(schedule)) q.schedule = schedule;
    }
    if (!q.schedule.has_value() && plan.schedule != "auto") {
      return UsageError(absl::StrCat("--schedule=", plan.schedule,
                                     ": the search on paper knows 1f1b, interleaved, zb-h1, zb-h2 and auto"));
    }
  }
  MR_ASSIGN_OR_RETURN(q.recompute, RecomputeOf(plan, flags));
  return q;
}

absl::StatusOr<ReplicaQuestion> GraphQuestion(const SearchFlags& search, const PlanFlags& plan, const FlagSet& flags,
                                              const PaperMachine& machine, const proto::Model& model) {
  ReplicaQuestion q;
  q.chain = [&model, device = machine.device](int64_t micro_batch, ActivationRecompute recompute) {
    return ChainOf(model, device, micro_batch, recompute);
  };
  q.machine = machine;
  q.global_batch = search.global_batch;
  q.micro_batch = Fixed(flags, "micro-batch", plan.micro_batch);
  q.pipeline = Fixed(flags, "pp", plan.pp);
  MR_ASSIGN_OR_RETURN(q.replicas, ReplicasOf(search));
  MR_ASSIGN_OR_RETURN(const std::optional<ActivationRecompute> recompute, RecomputeOf(plan, flags));
  q.recompute = {ActivationRecompute::kNone, ActivationRecompute::kFull};
  if (recompute.has_value()) q.recompute = {*recompute};
  if (search.tensor_parallel > 1) {
    return UsageError(absl::StrCat("--tensor-parallel=", search.tensor_parallel,
                                   ": nobody says how to divide the nodes of a graph that is no transformer"));
  }
  const bool other_schedule = flags.WasGiven("schedule") && plan.schedule != "1f1b" && plan.schedule != "auto";
  if (other_schedule || plan.chunks > 1 || search.sharding > 1) {
    return UsageError("on paper a graph that is no transformer has the schedule 1f1b, one chunk, and sharding 0 or 1");
  }
  if (search.sharding >= 0) q.sharding = static_cast<int>(search.sharding);
  return q;
}

}  // namespace millrace
