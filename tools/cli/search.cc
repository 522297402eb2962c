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
#include "partitioner/search/links.h"
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

namespace millrace {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kRunnersUp = 8, kOnPaper = 3, kOfOneShape = 2;

std::string Gigabytes(double bytes) { return absl::StrFormat("%.1f GB", bytes / 1e9); }

double BatchOf(const Configuration& c) { return static_cast<double>(c.replicas * c.micro_batch * c.micro_batches); }

double Utilisation(const Candidate& candidate, const SearchQuestion& q) {
  const double peak = q.machine.device.peak_flops * static_cast<double>(q.machine.devices);
  return ModelFlops(q.model, BatchOf(candidate.configuration)) / (peak * candidate.seconds());
}

// At most two of one (t, p, d), so that the list shows other ways too.
std::vector<const Candidate*> RunnersUp(const SearchAnswer& answer) {
  std::vector<const Candidate*> shown;
  for (size_t i = 1; i < answer.ranked.size() && shown.size() < kRunnersUp; ++i) {
    const Configuration& own = answer.ranked[i].configuration;
    size_t like_it = 0;
    for (size_t j = 0; j < i; ++j) {
      const Configuration& other = answer.ranked[j].configuration;
      like_it += own.tensor_parallel == other.tensor_parallel && own.pipeline == other.pipeline &&
                 own.replicas == other.replicas;
    }
    if (like_it < kOfOneShape) shown.push_back(&answer.ranked[i]);
  }
  return shown;
}

std::string OnPaperOnly(const Configuration& c) {
  if (c.tensor_parallel > 1 || c.replicas > 1) {
    return "on paper: this build's runtime runs one replica (d 1) without tensor parallelism (t 1)";
  }
  return "on paper: modelled, not measured";
}

std::string PaperText(const SearchQuestion& q, const SearchAnswer& answer) {
  const Candidate& best = answer.ranked[0];
  const SimulatedStep& step = *best.simulated;
  const StepSeconds& s = step.seconds;
  std::string text = absl::StrFormat(
      "Answer, verified and simulated (%s):\n  %s\n  step %.3f s, %.2f sequences/s, MFU %.1f %%, bubble rate %.1f %%\n",
      OnPaperOnly(best.configuration), best.configuration.ToString(), s.step, BatchOf(best.configuration) / s.step,
      100 * Utilisation(best, q), 100 * step.bubble_rate);
  absl::StrAppendFormat(&text,
                        "  of it compute %.3f s, all-reduces of tensor parallelism %.3f s, bubble %.3f s, reduction "
                        "over replicas %.3f s, optimizer %.3f s\n",
                        s.compute, s.tensor_parallel, s.bubble, s.reduction, s.optimizer);
  absl::StrAppend(&text, "  memory ", Gigabytes(step.memory_bytes), " on the fullest device",
                  q.machine.device.memory_bytes > 0 ? " of " + Gigabytes(q.machine.device.memory_bytes) : "", ", ",
                  Gigabytes(best.estimate.state_bytes),
                  " of it parameters, gradients and optimizer\n  links: ", LinksText(best.configuration, q.machine),
                  "\n");
  absl::StrAppend(&text, "Runners-up:\n");
  for (const Candidate* candidate : RunnersUp(answer)) {
    absl::StrAppendFormat(&text, "  %9.3f s  %s\n               %s\n", candidate->seconds(),
                          candidate->configuration.ToString(), candidate->lost);
  }
  if (!answer.too_large.empty()) absl::StrAppend(&text, "Faster, but too large (estimates):\n");
  for (const Candidate& candidate : answer.too_large) {
    absl::StrAppendFormat(&text, "  %9.3f s  %s\n               %s\n", candidate.seconds(),
                          candidate.configuration.ToString(), candidate.lost);
  }
  absl::StrAppend(&text, "Of ", answer.shapes, " shapes ", answer.shapes_pruned, " are beyond the bound; of ",
                  answer.estimated, " configurations ", answer.over_memory, " do not fit, ", answer.ranked.size(),
                  " were simulated. ",
                  answer.proven ? "Nothing left out is faster in this model.\n"
                                : "Some of those left out have a bound below the answer: it is not proven.\n");
  return text;
}

Json ToJson(const Candidate& candidate) {
  const Configuration& c = candidate.configuration;
  const StepSeconds& s = candidate.simulated.has_value() ? candidate.simulated->seconds : candidate.estimate.seconds;
  Json json = {{"tensor_parallel", c.tensor_parallel},
               {"pipeline", c.pipeline},
               {"replicas", c.replicas},
               {"micro_batch", c.micro_batch},
               {"micro_batches", c.micro_batches},
               {"schedule", NameOf(c.schedule)},
               {"chunks", c.chunks},
               {"recompute", NameOf(c.recompute)},
               {"sharding", c.sharding},
               {"sequence_parallel", c.sequence_parallel},
               {"placement", c.placement == Placement::kReplicasTogether ? "replicas together" : "stages together"},
               {"simulated", candidate.simulated.has_value()},
               {"seconds", s.step},
               {"compute_seconds", s.compute},
               {"tensor_parallel_seconds", s.tensor_parallel},
               {"bubble_seconds", s.bubble},
               {"reduction_seconds", s.reduction},
               {"optimizer_seconds", s.optimizer},
               {"memory_bytes",
                candidate.simulated.has_value() ? candidate.simulated->memory_bytes : candidate.estimate.memory_bytes}};
  if (!candidate.lost.empty()) json["lost"] = candidate.lost;
  return json;
}

Json ToJson(const SearchQuestion& q, const SearchAnswer& answer) {
  Json json = {{"answer", ToJson(answer.ranked[0])},
               {"mfu", Utilisation(answer.ranked[0], q)},
               {"links", LinksText(answer.ranked[0].configuration, q.machine)},
               {"runs_in_this_build", false},
               {"runners_up", Json::array()},
               {"too_large", Json::array()},
               {"shapes", answer.shapes},
               {"shapes_pruned", answer.shapes_pruned},
               {"estimated", answer.estimated},
               {"over_memory", answer.over_memory},
               {"proven", answer.proven}};
  for (const Candidate* candidate : RunnersUp(answer)) json["runners_up"].push_back(ToJson(*candidate));
  for (const Candidate& candidate : answer.too_large) json["too_large"].push_back(ToJson(candidate));
  return json;
}

std::string Line(const PlanCandidate& candidate) {
  return absl::StrFormat("  %9.3f ms  %s, largest arena %.1f MB%s\n", 1e3 * candidate.seconds, candidate.ToString(),
                         1e-6 * static_cast<double>(candidate.largest_arena),
                         candidate.lost.empty() ? "" : "\n                " + candidate.lost);
}

std::string PlansText(const PlanSearchAnswer& answer) {
  std::string text = "Best plan that this build can run (one replica, t 1), lowered, verified and simulated:\n";
  for (size_t i = 0; i < answer.ranked.size() && i <= kRunnersUp; ++i) {
    if (i == 1) absl::StrAppend(&text, "Runners-up:\n");
    absl::StrAppend(&text, Line(answer.ranked[i]));
  }
  if (!answer.on_paper.empty()) {
    absl::StrAppend(&text, "With more replicas, on paper (this build's runtime runs one):\n");
    for (size_t i = 0; i < answer.on_paper.size() && i < kOnPaper; ++i)
      absl::StrAppend(&text, Line(answer.on_paper[i]));
  }
  if (!answer.refused.empty()) {
    absl::StrAppend(&text, answer.refused.size(), " could not be planned, the first: ", answer.refused[0].ToString(),
                    ": ", answer.refused[0].lost, "\n");
  }
  return text;
}

Json ToJson(const PlanCandidate& candidate) {
  Json json = {{"pp", candidate.pp},
               {"replicas", candidate.replicas},
               {"micro_batch", candidate.micro_batch},
               {"micro_batches", candidate.micro_batches},
               {"schedule", candidate.schedule},
               {"recompute", candidate.recompute},
               {"seconds", candidate.seconds},
               {"largest_arena_bytes", candidate.largest_arena}};
  if (!candidate.lost.empty()) json["lost"] = candidate.lost;
  return json;
}

Json ToJson(const PlanSearchAnswer& answer) {
  Json json = {{"answer", ToJson(answer.ranked[0])}, {"runners_up", Json::array()}, {"on_paper", Json::array()}};
  for (size_t i = 1; i < answer.ranked.size() && i <= kRunnersUp; ++i) {
    json["runners_up"].push_back(ToJson(answer.ranked[i]));
  }
  for (size_t i = 0; i < answer.on_paper.size() && i < kOnPaper; ++i) {
    json["on_paper"].push_back(ToJson(answer.on_paper[i]));
  }
  return json;
}

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
    for (const char* name :
         {"micro-batches", "memory-limit", "cut-after", "cut", "dump", "recompute-as", "recompute-segments"}) {
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
        absl::StrFormat("%s: one of %d replicas, %d ranks, each for a group of %d devices; verified, simulated %.3f s "
                        "(float32, without all-reduces), %.1f MB. A plan on paper: it does not run.\n",
                        out_, paper_->replicas, paper_->pipeline, paper_->tensor_parallel, simulation.seconds,
                        1e-6 * static_cast<double>(plan->ByteSizeLong())));
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
