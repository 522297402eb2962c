#include "tools/cli/search.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "partitioner/graph/build_graph.h"
#include "partitioner/local.h"
#include "partitioner/search/machine_of.h"
#include "partitioner/search/plan_search.h"
#include "partitioner/search/recognise.h"
#include "partitioner/search/replica_plan.h"
#include "partitioner/search/search.h"
#include "proto/status_macros.h"
#include "proto/text_proto.h"
#include "runtime/plan/simulate.h"
#include "runtime/plan/verify.h"
#include "tools/cli/command.h"
#include "tools/cli/search_text.h"
#include "tools/report/units.h"

namespace millrace {
namespace {

using Json = nlohmann::ordered_json;

class SearchPrinter {
 public:
  SearchPrinter(const proto::Model& model, const SearchFlags& search, const PlanFlags& plan, const FlagSet& flags,
                const std::string& out, bool json)
      : model_(model), own_(search), plan_(plan), flags_(flags), out_(out), json_(json) {}

  absl::Status Run() {
    MR_RETURN_IF_ERROR(CheckFlags());
    MR_ASSIGN_OR_RETURN(cluster_, ClusterOf(plan_));
    MR_ASSIGN_OR_RETURN(const Graph graph, BuildGraph(model_, 1));
    absl::StatusOr<PaperMachine> machine = MachineOf(cluster_);
    if (!machine.ok()) return WithExit(machine.status(), kExitBadConfig);
    machine_ = *machine;
    absl::StatusOr<KernelNeedsFn> needs = NeedsOf(cluster_.devices(0).kind());
    MR_RETURN_IF_ERROR(OnPaper(RecogniseTransformer(graph), needs.ok()));
    MR_RETURN_IF_ERROR(needs.ok() ? ToRun(*needs) : NotHere(needs.status()));
    if (json_) std::printf("%s\n", values_.dump(1, ' ', true, Json::error_handler_t::replace).c_str());
    return absl::OkStatus();
  }

 private:
  absl::Status CheckFlags() const {
    if (plan_.cluster.empty() && plan_.devices.empty()) {
      return UsageError("--global-batch needs to know the devices: give --cluster=FILE or --devices=KIND:COUNT");
    }
    for (const char* name : {"micro-batches", "memory-limit", "cut-after", "cut", "dump", "recompute-as",
                             "recompute-segments", "dp", "shard-optimizer"}) {
      if (flags_.WasGiven(name)) {
        return UsageError(absl::StrCat("--", name, " has no meaning with --global-batch, which chooses by itself"));
      }
    }
    if (own_.global_batch < 1) {
      return UsageError(absl::StrCat("--global-batch=", own_.global_batch, ": at least 1 sample is needed"));
    }
    for (const auto& [name, value] :
         {std::pair("tensor-parallel", own_.tensor_parallel), std::pair("replicas", own_.replicas),
          std::pair("pp", plan_.pp), std::pair("micro-batch", plan_.micro_batch), std::pair("chunks", plan_.chunks)}) {
      if (value < 0 || (flags_.WasGiven(name) && value == 0)) {
        return UsageError(absl::StrCat("--", name, "=", value, ": at least 1 is needed to fix it"));
      }
    }
    if (own_.sharding < -1 || own_.sharding > 3) {
      return UsageError(absl::StrCat("--sharding=", own_.sharding, ": there are levels 0 to 3, and -1 for any"));
    }
    return absl::OkStatus();
  }

  int64_t Fixed(const char* name, int64_t value) const { return flags_.WasGiven(name) ? value : 0; }

  absl::StatusOr<SearchQuestion> QuestionOf(const Transformer& model) const {
    SearchQuestion q;
    q.model = model;
    q.machine = machine_;
    q.global_batch = own_.global_batch;
    q.tensor_parallel = own_.tensor_parallel;
    q.replicas = own_.replicas;
    q.pipeline = Fixed("pp", plan_.pp);
    q.micro_batch = Fixed("micro-batch", plan_.micro_batch);
    q.chunks = Fixed("chunks", plan_.chunks);
    if (own_.sharding >= 0) q.sharding = static_cast<int>(own_.sharding);
    if (flags_.WasGiven("schedule")) {
      for (SearchedSchedule schedule : {SearchedSchedule::k1F1B, SearchedSchedule::kInterleaved,
                                        SearchedSchedule::kZbH1, SearchedSchedule::kZbH2}) {
        if (plan_.schedule == NameOf(schedule)) q.schedule = schedule;
      }
      if (!q.schedule.has_value() && plan_.schedule != "auto") {
        return UsageError(absl::StrCat("--schedule=", plan_.schedule,
                                       ": the search on paper knows 1f1b, interleaved, zb-h1, zb-h2 and auto"));
      }
    }
    if (flags_.WasGiven("recompute")) {
      if (plan_.recompute != "none" && plan_.recompute != "all") {
        return UsageError(
            absl::StrCat("--recompute=", plan_.recompute, ": with --global-batch there are none and all"));
      }
      q.recompute = plan_.recompute == "all" ? ActivationRecompute::kFull : ActivationRecompute::kNone;
    }
    return q;
  }

  void Say(const std::string& text) const {
    if (!json_) std::printf("%s", text.c_str());
  }

  absl::Status OnPaper(const absl::StatusOr<Transformer>& transformer, bool has_backend) {
    if (!transformer.ok()) {
      if (!has_backend) {
        return ConfigError(absl::StrCat("the model on paper knows GPTs only, and ", transformer.status().message(),
                                        "; this build has no backend '", absl::CHexEscape(cluster_.devices(0).kind()),
                                        "' to plan for either"));
      }
      Say(absl::StrCat("t 1 only: ", transformer.status().message(), "\n"));
      values_["paper"] = {{"none", std::string(transformer.status().message())}};
      return absl::OkStatus();
    }
    MR_ASSIGN_OR_RETURN(const SearchQuestion question, QuestionOf(*transformer));
    Say(absl::StrFormat(
        "%s: %d layers, hidden %d, %d heads, sequence %d, vocabulary %d: %.1f million parameters\n"
        "%d devices, %d in a host, %.1f TFLOP/s each; global batch %d\n",
        absl::CHexEscape(model_.name()), transformer->layers, transformer->hidden, transformer->heads,
        transformer->sequence, transformer->vocabulary, Parameters(*transformer) / 1e6, machine_.devices,
        machine_.devices_per_host, machine_.device.peak_flops / 1e12, own_.global_batch));
    absl::StatusOr<SearchAnswer> answer = Search(question);
    if (!answer.ok()) {
      if (!has_backend) return WithExit(answer.status(), kExitBadConfig);
      Say(absl::StrCat("On paper: ", answer.status().message(), "\n"));
      values_["paper"] = {{"none", std::string(answer.status().message())}};
      return absl::OkStatus();
    }
    Say(PaperText(question, *answer));
    values_["paper"] = ToJson(question, *answer);
    paper_ = answer->ranked[0].configuration;
    return absl::OkStatus();
  }

  absl::Status ToRun(const KernelNeedsFn& needs) {
    PlanQuestion question;
    MR_ASSIGN_OR_RETURN(question.options, PlanOptionsOf(plan_));
    question.global_batch = own_.global_batch;
    question.fixed_pp = flags_.WasGiven("pp");
    question.fixed_micro_batch = flags_.WasGiven("micro-batch");
    question.fixed_schedule = flags_.WasGiven("schedule");
    question.fixed_recompute = flags_.WasGiven("recompute");
    question.fixed_sharding = own_.sharding >= 0;
    question.options.shard_optimizer = static_cast<int>(std::clamp<int64_t>(own_.sharding, 0, 1));
    question.fixed_replicas = static_cast<int>(own_.replicas);
    absl::StatusOr<PlanSearchAnswer> answer = SearchPlans(model_, question, needs);
    if (!answer.ok()) return WithExit(answer.status(), kExitBadConfig);
    MR_RETURN_IF_ERROR(VerifyPlan(answer->plan));
    Say(PlansText(*answer));
    values_["plan"] = ToJson(*answer);
    if (out_.empty()) return absl::OkStatus();
    MR_RETURN_IF_ERROR(WriteMessage(out_, answer->plan));
    Say(absl::StrCat("written to ", out_, "; see it with: millrace explain ", out_, "\n"));
    return absl::OkStatus();
  }

  // No backend for these devices: the answer on paper may be written as one replica.
  absl::Status NotHere(const absl::Status& why) {
    Say(absl::StrCat("Nothing here to run it: ", why.message(), "\n"));
    values_["plan"] = {{"none", std::string(why.message())}};
    if (out_.empty() || !paper_.has_value()) return absl::OkStatus();
    absl::StatusOr<proto::ExecutionPlan> plan = MakeReplicaPlan(model_, *paper_, machine_);
    if (!plan.ok()) return WithExit(plan.status(), kExitBadConfig);
    MR_RETURN_IF_ERROR(VerifyPlan(*plan));
    MR_ASSIGN_OR_RETURN(const Simulation simulation, Simulate(*plan, "train"));
    MR_RETURN_IF_ERROR(WriteMessage(out_, *plan));
    Say(
        absl::StrFormat("%s: one of %d replicas, %d ranks, each for a group of %d devices; verified, simulated %s "
                        "(float32, without all-reduces), %s. A plan on paper: it does not run.\n",
                        out_, paper_->replicas, paper_->pipeline, paper_->tensor_parallel,
                        SecondsText(simulation.seconds), BytesText(static_cast<double>(plan->ByteSizeLong()))));
    values_["plan"]["written"] = {{"file", out_},
                                  {"replicas", paper_->replicas},
                                  {"seconds", simulation.seconds},
                                  {"bytes", plan->ByteSizeLong()}};
    return absl::OkStatus();
  }

  const proto::Model& model_;
  const SearchFlags& own_;
  const PlanFlags& plan_;
  const FlagSet& flags_;
  const std::string out_;
  const bool json_;
  proto::Cluster cluster_;
  PaperMachine machine_;
  std::optional<Configuration> paper_;
  Json values_ = Json::object();
};

}  // namespace

void SearchFlags::Declare(FlagSet* flags) {
  flags->Int("global-batch", &global_batch, "samples in a step: search how to train, on --cluster or --devices");
  flags->Int("tensor-parallel", &tensor_parallel, "of the search: fixed degree t; 0: any");
  flags->Int("replicas", &replicas, "of the search: fixed number d of replicas; 0: any");
  flags->Int("sharding", &sharding, "of the search: fixed level 0 to 3 of optimizer sharding; -1: any");
}

absl::Status PartitionSearch(const proto::Model& model, const SearchFlags& search, const PlanFlags& plan_flags,
                             const FlagSet& flags, const std::string& out, bool json) {
  return SearchPrinter(model, search, plan_flags, flags, out, json).Run();
}

}  // namespace millrace
