// millrace partition: a model graph becomes a verified plan.
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "proto/text_proto.h"
#include "tools/cli/commands.h"
#include "tools/cli/cost_graph.h"
#include "tools/cli/explain.h"
#include "tools/cli/plan_flags.h"
#include "tools/cli/search.h"

namespace millrace {
namespace {

class PartitionCommand : public Command {
 public:
  std::string name() const override { return "partition"; }
  std::string summary() const override { return "cut a model graph into stages: a plan"; }
  std::string usage() const override { return "GRAPH [FLAGS] --out=PLAN"; }
  std::vector<std::string> examples() const override {
    return {
        "partition gpt.textproto --devices=cpu:4 --pp=4 --micro-batch=4 --micro-batches=8 --schedule=1f1b "
        "--out=gpt.plan",
        "partition gpt.textproto --pp=2 --cut-after=h.1.mlp.c_proj --micro-batches=8 --out=gpt.plan",
        "partition gpt.textproto --pp=2 --dump=after:cut",
        "partition gpt.textproto --cluster=docs/examples/a100_hosts.textproto --global-batch=512",
        "partition --cost-graph=resnet50_inference.json --devices=6 --cut=exact --json",
        "partition --cost-graph=graph.txt --levels=4x4 --bandwidth=12e9,1.25e9"};
  }
  void Declare(FlagSet* flags) override {
    plan_flags_.Declare(flags);
    search_flags_.Declare(flags);
    cost_graph_flags_.Declare(flags);
    flags->String("out", &out_, "plan to write; text form when it ends in .textproto, else binary");
    flags->Bool("json", &json_, "print the summary as JSON");
  }
  absl::Status Run(const FlagSet& flags, const std::vector<std::string>& arguments) override {
    if (flags.WasGiven("cost-graph")) {
      if (!arguments.empty()) {
        return UsageError(absl::StrCat("--cost-graph stands for the graph, but there is also '", arguments[0], "'"));
      }
      return PartitionCostGraph(cost_graph_flags_, plan_flags_, flags, json_);
    }
    for (const char* name : {"host-devices", "levels", "bandwidth"}) {
      if (flags.WasGiven(name)) return UsageError(absl::StrCat("--", name, " says something of --cost-graph only"));
    }
    MR_ASSIGN_OR_RETURN(const std::string path, OnlyArgument(arguments, "the model graph"));
    if (flags.WasGiven("global-batch")) {
      MR_ASSIGN_OR_RETURN(const proto::Model model, ReadModel(path));
      return PartitionSearch(model, search_flags_, plan_flags_, flags, out_, json_);
    }
    for (const char* name : {"tensor-parallel", "replicas", "sharding"}) {
      if (flags.WasGiven(name)) {
        return UsageError(absl::StrCat("--", name, " says something of a search only: give --global-batch too"));
      }
    }
    if (out_.empty() && plan_flags_.dump.empty()) return UsageError("--out=PLAN is missing");
    MR_ASSIGN_OR_RETURN(const proto::Model model, ReadModel(path));
    absl::StatusOr<proto::ExecutionPlan> plan = MakePlan(model, plan_flags_);
    if (!plan.ok()) return absl::Status(plan.status());
    if (out_.empty()) return absl::OkStatus();
    MR_RETURN_IF_ERROR(WriteMessage(out_, *plan));
    if (json_) {
      MR_ASSIGN_OR_RETURN(const Explanation explanation, Explain(*plan, nullptr));
      std::printf("%s\n", ExplainJson(*plan, explanation).c_str());
    } else {
      std::printf("%s", ExplainSummary(*plan).c_str());
      std::printf("written to %s; see it with: millrace explain %s\n", out_.c_str(), out_.c_str());
    }
    return absl::OkStatus();
  }

 private:
  PlanFlags plan_flags_;
  SearchFlags search_flags_;
  CostGraphFlags cost_graph_flags_;
  std::string out_;
  bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> MakePartitionCommand() { return std::make_unique<PartitionCommand>(); }

}  // namespace millrace
