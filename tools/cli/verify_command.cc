// millrace verify: proves that a plan can run; --parity runs it against one stage, bit by bit.
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "runtime/job/job_config.h"
#include "runtime/job/parity.h"
#include "runtime/plan/plan.h"
#include "runtime/plan/verify.h"
#include "tools/cli/commands.h"
#include "tools/cli/plan_flags.h"

namespace millrace {
namespace {

class VerifyCommand : public Command {
 public:
  std::string name() const override { return "verify"; }
  std::string summary() const override { return "prove that a plan can run, or name the broken rule"; }
  std::string usage() const override { return "PLAN [--model=GRAPH] [--parity]"; }
  std::vector<std::string> examples() const override {
    return {"verify gpt.plan", "verify gpt.plan --model=gpt.textproto",
            "verify gpt.plan --model=gpt.textproto --parity"};
  }
  void Declare(FlagSet* flags) override {
    flags->String("model", &model_path_, "the model graph: refuses a plan that was made for another");
    flags->Bool("parity", &parity_, "train both this plan and one stage, and compare every gradient and weight");
    flags->Int("steps", &steps_, "of --parity");
    flags->Uint("seed", &seed_, "of --parity");
  }
  absl::Status Run(const FlagSet&, const std::vector<std::string>& arguments) override {
    MR_ASSIGN_OR_RETURN(const std::string path, OnlyArgument(arguments, "the plan"));
    if (parity_ && model_path_.empty())
      return UsageError("--parity needs --model=GRAPH to make the one-stage plan from");
    if (steps_ < 1 || steps_ > 1000) return UsageError("--steps must be from 1 to 1000");
    MR_ASSIGN_OR_RETURN(const proto::ExecutionPlan plan, ReadPlan(path));
    std::printf(
        "%s: every rule holds: it cannot deadlock, nothing is read before it is written, no bytes are shared "
        "unordered\n",
        path.c_str());
    for (const proto::Rank& rank : plan.ranks()) {
      std::printf("rank %d needs %llu bytes on %s\n", static_cast<int>(rank.rank()),
                  static_cast<unsigned long long>(rank.arena_bytes()), rank.device().c_str());
    }
    if (model_path_.empty()) return absl::OkStatus();
    MR_ASSIGN_OR_RETURN(const proto::Model model, ReadModel(model_path_));
    MR_RETURN_IF_ERROR(VerifyPlanIsFor(plan, model));
    return parity_ ? Parity(plan, model) : absl::OkStatus();
  }

 private:
  absl::Status Parity(const proto::ExecutionPlan& plan, const proto::Model& model) const {
    const proto::Program* train = FindProgram(plan, "train");
    if (train == nullptr) return ConfigError("the plan has no train program");
    if (plan.dp() < 2 && HasReplicas(plan)) {
      return ConfigError(
          "--parity compares bits with a plan of one stage, and stages with replicas of their own add gradients in an "
          "order that no such plan has; train both for some steps and compare the losses, which agree within 1e-6");
    }
    PlanFlags one;
    one.devices = absl::StrCat(plan.device_kind(), ":", plan.dp());
    one.pp = 1;
    one.dp = plan.dp();
    // Of the same class: what is summed first decides the bits.
    if (plan.dp() > 1 && plan.sum_order() == proto::REPLICAS_FIRST) one.sum_order = "replica-first";
    one.micro_batch = train->micro_batch_size();
    one.micro_batches = train->micro_batches();
    one.optimizer = plan.optimizer();
    MR_ASSIGN_OR_RETURN(const proto::ExecutionPlan one_stage, MakePlan(model, one));
    proto::JobConfig config = DefaultJobConfig();
    config.set_seed(seed_);
    config.mutable_data()->set_format("synthetic");
    ParityOptions options;
    options.steps = static_cast<int>(steps_);
    MR_ASSIGN_OR_RETURN(const ParityReport report, CompareParity(plan, one_stage, config, options));
    if (!report.equal()) {
      return absl::DataLossError(
          absl::StrCat("parity: this plan does not train to what one stage trains to\n", report.ToString()));
    }
    std::printf("parity: %llu tensors, %llu numbers after %d step%s equal those of one stage, bit for bit\n",
                static_cast<unsigned long long>(report.tensors), static_cast<unsigned long long>(report.elements),
                options.steps, options.steps == 1 ? "" : "s");
    return absl::OkStatus();
  }

  std::string model_path_;
  bool parity_ = false;
  int64_t steps_ = 1;
  uint64_t seed_ = 1;
};

}  // namespace

std::unique_ptr<Command> MakeVerifyCommand() { return std::make_unique<VerifyCommand>(); }

}  // namespace millrace
