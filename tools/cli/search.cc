#include "tools/cli/search.h"

#include <algorithm>
#include <cstdio>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "partitioner/graph/build_graph.h"
#include "partitioner/local.h"
#include "partitioner/search/machine_of.h"
#include "partitioner/search/plan_search.h"
#include "partitioner/search/recognise.h"
#include "partitioner/search/replica_plan.h"
#include "partitioner/search/search.h"
#include "partitioner/search/transformer_replicas.h"
#include "proto/status_macros.h"
#include "proto/text_proto.h"
#include "runtime/plan/simulate.h"
#include "runtime/plan/verify.h"
#include "tools/cli/command.h"
#include "tools/cli/replica_text.h"
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
    MR_RETURN_IF_ERROR(CheckSearchFlags(own_, plan_, flags_));
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
  void Say(const std::string& text) const {
    if (!json_) std::printf("%s", text.c_str());
  }

  absl::Status OnPaper(const absl::StatusOr<Transformer>& transformer, bool has_backend) {
    Say(absl::StrFormat("%d devices, %d in a host, %.1f TFLOP/s each; global batch %d\n", machine_.devices,
                        machine_.devices_per_host, machine_.device.peak_flops / 1e12, own_.global_batch));
    MR_ASSIGN_OR_RETURN(const std::vector<int64_t> replicas, ReplicasOf(own_));
    const absl::Status status = !transformer.ok()     ? ByNodes(transformer.status())
                                : replicas.size() > 1 ? ByStage(*transformer, replicas)
                                                      : Equal(*transformer);
    if (status.ok() || ExitCodeOf(status) == kExitUsage) return status;
    if (!has_backend) return WithExit(status, kExitBadConfig);
    Say(absl::StrCat("On paper: ", status.message(), "\n"));
    values_["paper"] = {{"none", std::string(status.message())}};
    return absl::OkStatus();
  }

  // Any graph that is no transformer.
  absl::Status ByNodes(const absl::Status& why) {
    Say(absl::StrCat("t 1 only, by the costs of the graph's own nodes: ", why.message(), "\n"));
    MR_ASSIGN_OR_RETURN(const ReplicaQuestion question, GraphQuestion(own_, plan_, flags_, machine_, model_));
    MR_ASSIGN_OR_RETURN(const ReplicaAnswer answer, SearchReplicas(question));
    Say(ReplicaText("Answer on paper, modelled and played:", answer, machine_));
    values_["paper"] = ToJson(answer);
    values_["paper"]["by_nodes"] = std::string(why.message());
    const ReplicatedPipeline& best = answer.ranked[0].pipeline;
    Configuration equal;
    equal.pipeline = static_cast<int64_t>(best.stages.size());
    equal.replicas = best.stages[0].replicas;
    equal.micro_batch = best.micro_batch;
    equal.micro_batches = best.micro_batches / equal.replicas;
    equal.recompute = best.recompute;
    const bool are_equal = std::all_of(best.stages.begin(), best.stages.end(),
                                       [&](const ReplicatedStage& stage) { return stage.replicas == equal.replicas; });
    if (are_equal && best.micro_batches % equal.replicas == 0) paper_ = equal;
    return absl::OkStatus();
  }

  void SayTransformer(const Transformer& t) const {
    Say(absl::StrFormat(
        "%s, a %s: %d layers, hidden %d, %d heads, sequence %d, vocabulary %d: %.1f million parameters\n",
        absl::CHexEscape(model_.name()), NameOf(t.family), t.layers, t.hidden, t.heads, t.sequence, t.vocabulary,
        Parameters(t) / 1e6));
  }

  // A transformer with the numbers of replicas that were asked for.
  absl::Status ByStage(const Transformer& transformer, const std::vector<int64_t>& replicas) {
    SayTransformer(transformer);
    MR_ASSIGN_OR_RETURN(const SearchQuestion question, TransformerQuestion(own_, plan_, flags_, machine_, transformer));
    MR_ASSIGN_OR_RETURN(const ReplicaAnswer answer,
                        SearchReplicasOf(question, replicas, std::numeric_limits<double>::infinity()));
    if (answer.ranked.empty()) {
      return absl::InvalidArgumentError(
          "stages with replicas of their own number have the schedule 1f1b, one chunk, and sharding 0 or 1");
    }
    Say(ReplicaText("Answer on paper, modelled and played:", answer, machine_));
    values_["paper"] = ToJson(answer);
    return absl::OkStatus();
  }

  // A transformer: equal replicas, and what is faster with others.
  absl::Status Equal(const Transformer& transformer) {
    SayTransformer(transformer);
    MR_ASSIGN_OR_RETURN(const SearchQuestion question, TransformerQuestion(own_, plan_, flags_, machine_, transformer));
    MR_ASSIGN_OR_RETURN(const SearchAnswer answer, Search(question));
    MR_ASSIGN_OR_RETURN(const ReplicaAnswer unequal, SearchReplicasOf(question, {}, answer.ranked[0].seconds()));
    Say(PaperText(question, answer));
    values_["paper"] = ToJson(question, answer);
    paper_ = answer.ranked[0].configuration;
    values_["paper"]["unequal_replicas"] = ToJson(unequal);
    if (!unequal.ranked.empty()) {
      const double faster = 100 * (1 - unequal.ranked[0].step.seconds.step / answer.ranked[0].seconds());
      Say(ReplicaText(
          absl::StrFormat("%.1f %% faster still, each stage with its own cut and replicas (on paper):", faster),
          unequal, machine_));
    }
    return absl::OkStatus();
  }

  // What was fixed may be possible on paper only. Empty: nothing was.
  static std::string OnPaperAlone(const std::vector<int64_t>& replicas) {
    if (replicas.size() < 2) return "";
    return absl::StrCat("the search plans stages with numbers of replicas of their own on paper only; make a plan with "
                        "millrace partition --stage-replicas=",
                        absl::StrJoin(replicas, ","));
  }

  absl::Status ToRun(const KernelNeedsFn& needs) {
    MR_ASSIGN_OR_RETURN(const std::vector<int64_t> replicas, ReplicasOf(own_));
    if (const std::string why = OnPaperAlone(replicas); !why.empty()) {
      if (!out_.empty()) return ConfigError(absl::StrCat(why, ": nothing was written"));
      Say(absl::StrCat("No plan to run: ", why, "\n"));
      values_["plan"] = {{"none", why}};
      return absl::OkStatus();
    }
    PlanQuestion question;
    MR_ASSIGN_OR_RETURN(question.options, PlanOptionsOf(plan_));
    question.global_batch = own_.global_batch;
    question.fixed_pp = flags_.WasGiven("pp");
    question.fixed_micro_batch = flags_.WasGiven("micro-batch");
    question.fixed_schedule = flags_.WasGiven("schedule");
    question.fixed_recompute = flags_.WasGiven("recompute");
    question.fixed_sharding = own_.sharding >= 0;
    question.options.shard_optimizer = static_cast<int>(std::max<int64_t>(own_.sharding, 0));
    question.fixed_replicas = replicas.empty() ? 0 : static_cast<int>(replicas[0]);
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
    if (out_.empty()) return absl::OkStatus();
    if (!paper_.has_value()) {
      return ConfigError("a plan holds equal replicas only, and those of the answer are not: nothing was written");
    }
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

absl::Status PartitionSearch(const proto::Model& model, const SearchFlags& search, const PlanFlags& plan_flags,
                             const FlagSet& flags, const std::string& out, bool json) {
  return SearchPrinter(model, search, plan_flags, flags, out, json).Run();
}

}  // namespace millrace
