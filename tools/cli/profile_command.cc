// millrace profile: what the kernel calls of a plan cost on this machine.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "partitioner/cost/fit_rates.h"
#include "partitioner/graph/catalogue.h"
#include "proto/status_macros.h"
#include "proto/text_proto.h"
#include "runtime/log/log.h"
#include "runtime/profile/cost_cache.h"
#include "runtime/profile/profile.h"
#include "tools/cli/commands.h"
#include "tools/cli/plan_flags.h"
#include "tools/cli/report_flags.h"
#include "tools/cli/version.h"
#include "tools/report/units.h"

namespace millrace {
namespace {

double Now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

std::string RateText(double per_second, const char* unit) {
  if (per_second <= 0) return "not known";
  char text[64];
  std::snprintf(text, sizeof(text), "%.1f %s", per_second * 1e-9, unit);
  return text;
}

nlohmann::ordered_json RatesJson(const proto::FittedRates& rates) {
  return {{"matmul_flops_per_second", rates.matmul_flops_per_second()},
          {"attention_flops_per_second", rates.attention_flops_per_second()},
          {"other_flops_per_second", rates.other_flops_per_second()},
          {"bytes_per_second", rates.bytes_per_second()},
          {"call_seconds", rates.call_seconds()},
          {"kernels", rates.kernels()}};
}

class ProfileCommand : public Command {
 public:
  std::string name() const override { return "profile"; }
  std::string summary() const override { return "measure what a model's kernels, links and collectives cost here"; }
  std::string usage() const override {
    return "GRAPH [FLAGS of partition] --out=COSTS\n       millrace profile PLAN --out=COSTS";
  }
  std::vector<std::string> examples() const override {
    return {"profile gpt.pb --devices=cpu:2 --micro-batch=4 --micro-batches=4 --out=costs.pb",
            "profile gpt.plan --out=costs.textproto --no-cache",
            "partition gpt.pb --devices=cpu:2 --micro-batch=4 --micro-batches=4 --costs=costs.pb --out=gpt.plan"};
  }
  void Declare(FlagSet* flags) override {
    plan_flags_.Declare(flags);
    flags->String("out", &out_, "costs to write; text form when it ends in .textproto, else binary");
    flags->Double("budget", &budget_, "seconds for measuring kernels, roughly; large models need more at least");
    flags->Bool("cache", &cache_, "take over what was measured before on this machine, and keep what is measured now");
    flags->String("run", &run_, "report on this run's folder instead; millrace report has more forms of it");
    flags->Bool("json", &json_, "print the summary as JSON");
  }
  absl::Status Run(const FlagSet& flags, const std::vector<std::string>& arguments) override {
    if (!run_.empty()) return ReportRun(flags, arguments);
    MR_ASSIGN_OR_RETURN(const std::string path, OnlyArgument(arguments, "the model graph or the plan"));
    if (out_.empty()) return UsageError("--out=COSTS is missing");
    if (!(budget_ > 0))
      return UsageError(absl::StrCat("--budget=", budget_, ": a number of seconds above 0 is needed"));
    if (!plan_flags_.dump.empty()) return UsageError("--dump belongs to millrace partition");
    MR_ASSIGN_OR_RETURN(const proto::ExecutionPlan plan, PlanOf(flags, path));
    ProfileOptions options;
    options.budget_seconds = budget_;
    options.flops = [](const OpDesc& desc) { return Flops(desc); };
    options.bytes = [](const OpDesc& desc) { return Bytes(desc); };
    const double begin = Now();
    MR_ASSIGN_OR_RETURN(Profiled profiled, Measure(plan, options));
    FitRates(&profiled.table);
    MR_RETURN_IF_ERROR(WriteMessage(out_, profiled.table));
    Print(profiled, Now() - begin);
    return absl::OkStatus();
  }

 private:
  // A run has measured itself: its stage balance, as `millrace report` tells it.
  absl::Status ReportRun(const FlagSet& flags, const std::vector<std::string>& arguments) const {
    if (!arguments.empty() || !out_.empty()) {
      return UsageError("--run=DIR reports on a run that has been made; it takes no graph and no --out");
    }
    ReportFlags wanted;
    wanted.json = json_;
    return TellReport(run_, wanted, flags);
  }

  absl::StatusOr<proto::ExecutionPlan> PlanOf(const FlagSet& flags, const std::string& path) const {
    proto::ExecutionPlan perhaps;
    if (!ReadMessage(path, &perhaps).ok() || perhaps.programs().empty()) {
      MR_ASSIGN_OR_RETURN(const proto::Model model, ReadModel(path));
      return MakePlan(model, plan_flags_);
    }
    for (const std::string& name : PlanFlags::Names()) {
      if (flags.WasGiven(name)) {
        return UsageError(absl::StrCat("--", name, " is decided in the plan; leave it out, or give a model graph"));
      }
    }
    return ReadPlan(path);
  }

  absl::StatusOr<Profiled> Measure(const proto::ExecutionPlan& plan, const ProfileOptions& options) const {
    proto::CostTable machine;
    const absl::Status identified = IdentifyMachine(plan, options, &machine);
    if (!identified.ok()) return WithExit(identified, kExitBadConfig);
    const std::string folder = cache_ ? CostCacheFolder() : "";
    if (folder.empty()) return Profile(plan, proto::CostTable(), options);
    const std::string file = CostCacheFile(folder, machine, kVersion);
    MR_ASSIGN_OR_RETURN(Profiled profiled, Profile(plan, ReadCostCache(file, machine), options));
    // What could not be kept costs time, not the result.
    const absl::Status kept = profiled.measured > 0 ? WriteCostCache(file, profiled.table) : absl::OkStatus();
    if (!kept.ok()) Log(LogLevel::kWarning, absl::StrCat("the measured costs are not cached: ", kept.message()));
    return profiled;
  }

  void Print(const Profiled& profiled, double seconds) const {
    const proto::CostTable& table = profiled.table;
    if (json_) {
      nlohmann::ordered_json out;
      out["device"] = table.device_name();
      out["versions"] = table.versions();
      out["threads"] = table.threads();
      out["sharing"] = table.sharing();
      out["measured"] = profiled.measured;
      out["from_cache"] = profiled.known;
      out["seconds"] = seconds;
      out["alone"] = RatesJson(table.alone());
      out["shared"] = RatesJson(table.shared());
      out["file"] = out_;
      std::printf("%s\n", out.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace).c_str());
      return;
    }
    std::printf("%d kinds of kernel calls measured, %d from the cache, in %s; %s, %s, %u thread%s a rank\n",
                profiled.measured, profiled.known, SecondsText(seconds).c_str(), table.device_name().c_str(),
                table.versions().empty() ? "no libraries" : table.versions().c_str(), table.threads(),
                table.threads() == 1 ? "" : "s");
    const auto line = [](const char* name, const proto::FittedRates& rates) {
      std::printf("%s: matrix products %s, attention %s, other arithmetic %s, memory %s, a call %s\n", name,
                  RateText(rates.matmul_flops_per_second(), "GFLOP/s").c_str(),
                  RateText(rates.attention_flops_per_second(), "GFLOP/s").c_str(),
                  RateText(rates.other_flops_per_second(), "GFLOP/s").c_str(),
                  RateText(rates.bytes_per_second(), "GB/s").c_str(), SecondsText(rates.call_seconds()).c_str());
    };
    line("alone", table.alone());
    if (table.sharing() > 1) line(absl::StrCat(table.sharing(), " ranks busy").c_str(), table.shared());
    for (const proto::LinkCost& link : table.links()) {
      std::printf("a transfer between ranks: %s and %s\n", SecondsText(link.latency_seconds()).c_str(),
                  RateText(link.bytes_per_second(), "GB/s").c_str());
    }
    std::printf("written to %s; use it with: millrace partition ... --costs=%s\n", out_.c_str(), out_.c_str());
  }

  PlanFlags plan_flags_;
  std::string out_, run_;
  double budget_ = 10;
  bool cache_ = true;
  bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> MakeProfileCommand() { return std::make_unique<ProfileCommand>(); }

}  // namespace millrace
