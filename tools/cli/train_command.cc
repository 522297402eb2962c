// millrace train: runs a plan, or partitions a model and runs it in one go.
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <iostream>
#include <memory>

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "runtime/checkpoint/find.h"
#include "runtime/job/job_config.h"
#include "runtime/job/results.h"
#include "runtime/job/trainer.h"
#include "runtime/launch/detect.h"
#include "runtime/log/log.h"
#include "runtime/membership/membership.h"
#include "runtime/plan/plan.h"
#include "runtime/plan/verify.h"
#include "tools/cli/commands.h"
#include "tools/cli/explain.h"
#include "tools/cli/job_flags.h"
#include "tools/cli/plan_flags.h"
#include "tools/cli/process_flags.h"

namespace millrace {
namespace {

std::atomic<bool> stop_requested{false};
std::atomic<int> stop_signal{0};

// The first signal asks for a clean stop after the step; the second one, of the same kind or another, ends at once.
void OnSignal(int signal) {
  if (stop_requested.exchange(true)) _exit(128 + signal);
  stop_signal = signal;
  const char message[] = "\nstopping after this step, with a checkpoint; once more to stop at once\n";
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, message, sizeof(message) - 1);
}

class TrainCommand : public Command {
 public:
  std::string name() const override { return "train"; }
  std::string summary() const override { return "train: run a plan, or cut a model and run it"; }
  std::string usage() const override {
    return "--plan=PLAN --data=FILE --out=DIR [FLAGS]\n       millrace train --model=GRAPH --pp=N --data=FILE "
           "--out=DIR [FLAGS]";
  }
  std::vector<std::string> examples() const override {
    return {
        "train --plan=gpt.plan --data=book.txt --steps=200 --out=run",
        "train --model=gpt.textproto --pp=2 --micro-batch=4 --micro-batches=8 --data=book.txt --steps=200 --out=run",
        "train --plan=gpt.plan --data=book.txt --steps=400 --out=run --resume=auto",
        "train --plan=gpt.plan --data=book.txt --steps=200 --out=run --comm=gloo --max-restarts=3"};
  }
  void Declare(FlagSet* flags) override {
    flags->String("plan", &plan_path_, "the plan to run");
    flags->String("model", &model_path_,
                  "a model graph: partitioned first (without --plan), or kept beside the results");
    job_flags_.Declare(flags);
    plan_flags_.Declare(flags);
    process_flags_.Declare(flags);
    flags->String("log-level", &log_level_, "error, warning, info or debug");
    flags->Bool("json", &json_, "print the results as JSON");
  }
  absl::Status Run(const FlagSet& flags, const std::vector<std::string>& arguments) override {
    if (!arguments.empty()) return UsageError(absl::StrCat("unexpected argument '", arguments[0], "'"));
    const absl::StatusOr<LogLevel> level = ParseLogLevel(log_level_);
    if (!level.ok()) return WithExit(level.status(), kExitUsage);
    SetLogLevel(*level);
    MR_RETURN_IF_ERROR(CheckForms(flags));
    MR_ASSIGN_OR_RETURN(proto::JobConfig config, job_flags_.Config(flags));
    // Who is started again goes on.
    if (config.resume().empty() && RestartsSoFar() > 0) config.set_resume("auto");
    MR_ASSIGN_OR_RETURN(const LaunchContract contract, process_flags_.Contract());
    proto::Model model;
    if (!model_path_.empty()) {
      MR_ASSIGN_OR_RETURN(model, ReadModel(model_path_));
    }
    MR_ASSIGN_OR_RETURN(const proto::ExecutionPlan plan, PlanToRun(model));
    const absl::Status checked = CheckJobConfig(config, plan);
    if (!checked.ok()) return WithExit(checked, flags.WasGiven("job") ? kExitBadConfig : kExitUsage);
    MR_ASSIGN_OR_RETURN(const bool supervises, process_flags_.Supervises(contract));
    if (!supervises) return Train(plan, model, config, contract);
    const absl::Status ended = process_flags_.Supervise(plan, /*prefix=*/!json_);
    RemoveAbandoned(absl::StrCat(config.out_dir(), "/checkpoint")).IgnoreError();
    return ended;
  }

 private:
  absl::Status CheckForms(const FlagSet& flags) const {
    if (plan_path_.empty() && model_path_.empty()) {
      return UsageError("--plan=PLAN or --model=GRAPH is missing");
    }
    if (!plan_flags_.dump.empty()) return UsageError("--dump belongs to millrace partition");
    if (plan_path_.empty()) return absl::OkStatus();
    for (const std::string& name : PlanFlags::Names()) {
      if (flags.WasGiven(name)) {
        return UsageError(
            absl::StrCat("--", name, " is decided in the plan; leave it out, or give --model without --plan"));
      }
    }
    return absl::OkStatus();
  }

  absl::StatusOr<proto::ExecutionPlan> PlanToRun(const proto::Model& model) const {
    if (plan_path_.empty()) return MakePlan(model, plan_flags_);
    MR_ASSIGN_OR_RETURN(const proto::ExecutionPlan plan, ReadPlan(plan_path_));
    if (!model_path_.empty()) MR_RETURN_IF_ERROR(VerifyPlanIsFor(plan, model));
    return plan;
  }

  absl::Status Train(const proto::ExecutionPlan& plan, const proto::Model& model, const proto::JobConfig& config,
                     const LaunchContract& contract) const {
    MR_ASSIGN_OR_RETURN(const std::unique_ptr<Membership> membership, process_flags_.Join(contract, plan));
    const bool speaks = contract.rank == 0;
    if (!speaks) SetLogRank(contract.rank);
    TrainerOptions options;
    options.terminal = isatty(STDERR_FILENO) != 0;
    options.progress = config.quiet() ? nullptr : &std::cerr;
    options.stop = &stop_requested;
    options.here = membership->here();
    options.on_this_host = membership->on_this_host();
    options.local_rank = membership->local_rank();
    options.make_communicator = membership->make_communicator();
    options.make_stand = membership->make_stand();
    options.communication = process_flags_.Waits();
    options.faults = FaultsFromEnvironment();
    if (!config.quiet() && speaks) std::fputs(ExplainSummary(plan).c_str(), stderr);
    std::signal(SIGINT, OnSignal);
    std::signal(SIGTERM, OnSignal);
    const absl::StatusOr<std::unique_ptr<Trainer>> trainer =
        Trainer::Create(plan, model_path_.empty() ? nullptr : &model, config, options);
    const absl::StatusOr<RunResults> results =
        trainer.ok() ? (*trainer)->Run() : absl::StatusOr<RunResults>(trainer.status());
    const absl::Status status = membership->End(results.status());
    if (absl::IsCancelled(status)) {
      // Also where another process was told.
      return WithExit(status, stop_signal == SIGINT ? kExitInterrupted : kExitRetry);
    }
    // Another process is gone: this one did nothing wrong.
    if (absl::IsUnavailable(status) && contract.launched()) return WithExit(status, kExitRetry);
    MR_RETURN_IF_ERROR(status);
    if (speaks) Print(*results, plan, config);
    return absl::OkStatus();
  }

  void Print(const RunResults& r, const proto::ExecutionPlan& plan, const proto::JobConfig& config) const {
    if (json_) {
      std::printf("%s\n", ResultsJson(r, plan).c_str());
      return;
    }
    std::printf("trained %llu steps, %llu tokens; loss %.4f", static_cast<unsigned long long>(r.steps),
                static_cast<unsigned long long>(r.tokens), r.final_loss);
    if (r.held_out_after == r.held_out_after) {
      std::printf("; held-out loss %.4f before, %.4f after", r.held_out_before, r.held_out_after);
    }
    std::printf("\n%.1f ms a step, %.0f tokens/s, bubble %.1f %% (%s, %d thread%s a rank)\n", 1e3 * r.seconds_per_step,
                r.tokens_per_second, 100 * r.bubble, r.device.c_str(), r.threads_per_rank,
                r.threads_per_rank == 1 ? "" : "s");
    std::printf("weights %s/weights.safetensors, SHA-256 %s\n", config.out_dir().c_str(), r.weights_sha256.c_str());
    if (!r.sample.empty()) std::printf("\nsample of text:\n%s\n", r.sample.c_str());
  }

  std::string plan_path_, model_path_, log_level_ = "info";
  JobFlags job_flags_;
  PlanFlags plan_flags_;
  ProcessFlags process_flags_;
  bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> MakeTrainCommand() { return std::make_unique<TrainCommand>(); }

}  // namespace millrace
