// millrace schedule: a schedule by name or from a file, proven, timed and drawn before there is a model.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "partitioner/schedule/make_schedule.h"
#include "partitioner/schedule/place_recompute.h"
#include "proto/status_macros.h"
#include "proto/text_proto.h"
#include "runtime/plan/pytorch_csv.h"
#include "runtime/plan/schedule.h"
#include "runtime/plan/schedule_picture.h"
#include "tools/cli/commands.h"
#include "tools/cli/schedule_resources.h"
#include "tools/cli/terminal.h"

namespace millrace {
namespace {

constexpr uint64_t kLargestFile = 256 << 20;
constexpr int64_t kMost = 1 << 20;  // stages, chunks, micro-batches

absl::Status CheckWord(absl::string_view flag, const std::string& word, const std::vector<std::string>& words) {
  if (std::find(words.begin(), words.end(), word) != words.end()) return absl::OkStatus();
  const std::string nearest = Nearest(word, words);
  return UsageError(absl::StrCat("--", flag, "=", word, ": there are ", absl::StrJoin(words, ", "),
                                 nearest.empty() ? "" : absl::StrCat("; did you mean ", nearest, "?")));
}

absl::StatusOr<std::vector<double>> Times(absl::string_view flag, const std::vector<std::string>& words) {
  std::vector<double> times;
  for (const std::string& word : words) {
    double& time = times.emplace_back();
    if (absl::SimpleAtod(word, &time) && std::isfinite(time) && time >= 0) continue;
    return UsageError(
        absl::StrCat("--", flag, "=", absl::StrJoin(words, ","), ": '", word,
                     "' is not a time; numbers from 0 up are needed, one, or one for each device or stage"));
  }
  return times;
}

class ScheduleCommand : public Command {
 public:
  std::string name() const override { return "schedule"; }
  std::string summary() const override { return "prove, time and draw a schedule before there is a model"; }
  std::string usage() const override {
    return absl::StrCat("KIND --stages=P --micro-batches=M, or: file --file=X.csv; KIND is one of ",
                        absl::StrJoin(ScheduleKinds(), ", "));
  }
  std::vector<std::string> examples() const override {
    return {"schedule 1f1b --stages=4 --micro-batches=8",
            "schedule zb-h1 --stages=8 --micro-batches=24 --forward=18.5 --backward-input=18.1 --backward-weight=9.3 "
            "--communication=0.6 --json",
            "schedule gpipe --stages=4 --micro-batches=6 --format=svg > gpipe.svg",
            "schedule file --file=mine.csv --csv=pytorch --format=csv"};
  }
  void Declare(FlagSet* flags) override {
    flags->Int("stages", &stages_, "devices; a file says itself how many");
    flags->Int("micro-batches", &micro_batches_, "micro-batches of one step; a file says itself how many");
    flags->Int("chunks", &chunks_, "pieces of each device's layers (interleaved)");
    flags->Strings("forward", &forward_,
                   "time of one micro-batch's forward pass over all layers of a device; one, one for each "
                   "device, or one for each stage");
    flags->Strings("backward-input", &backward_input_, "the same of the gradient for the input");
    flags->Strings("backward-weight", &backward_weight_, "the same of the gradient for the weights");
    flags->String("recompute", &recompute_, "of all stages: none, inside (B takes longer) or placed (actions R)");
    flags->Strings("recompute-time", &recompute_time_, "the time of one; default: the forward pass's");
    flags->Strings("communication", &communication_,
                   "time of one transfer from a device to the next; with --bandwidth, its latency");
    resources_.Declare(flags);
    flags->Double("memory-limit", &memory_limit_, "micro-batches a device may hold (zb-auto); 0: no limit");
    flags->String("file", &file_, "the schedule of kind file");
    flags->String("csv", &csv_, "dialect of --file; for other kinds, of --format=csv: millrace or pytorch");
    flags->String("format", &format_, "grid, csv, json or svg");
    flags->Bool("json", &json_, "the same as --format=json");
    flags->Int("width", &width_, "columns of the grid; 0: as the terminal");
  }

  absl::Status Run(const FlagSet& flags, const std::vector<std::string>& arguments) override {
    MR_ASSIGN_OR_RETURN(const std::string kind, OnlyArgument(arguments, "the kind of schedule"));
    std::vector<std::string> kinds = ScheduleKinds();
    kinds.push_back("file");
    if (std::find(kinds.begin(), kinds.end(), kind) == kinds.end()) {
      const std::string nearest = Nearest(kind, kinds);
      return UsageError(absl::StrCat("there is no schedule '", kind, "'; there are ", absl::StrJoin(kinds, ", "),
                                     nearest.empty() ? "" : absl::StrCat("; did you mean ", nearest, "?")));
    }
    MR_RETURN_IF_ERROR(CheckWord("format", format_, {"grid", "csv", "json", "svg"}));
    MR_RETURN_IF_ERROR(CheckWord("recompute", recompute_, {"none", "inside", "placed"}));
    if (flags.WasGiven("recompute-time") && recompute_ == "none") {
      return UsageError("--recompute-time needs --recompute=inside or --recompute=placed");
    }
    MR_RETURN_IF_ERROR(CheckWord("csv", csv_, {"millrace", "pytorch"}));
    if (json_ && flags.WasGiven("format") && format_ != "json") {
      return UsageError(absl::StrCat("--json and --format=", format_, " ask for different things"));
    }
    if (json_) format_ = "json";
    if (width_ < 0 || width_ > 10000) return UsageError("--width must be from 0 to 10000");
    MR_ASSIGN_OR_RETURN(const ScheduleRequest request, Request(kind));
    return kind == "file" ? RunFile(flags, request) : RunKind(flags, request);
  }

 private:
  absl::StatusOr<ScheduleRequest> Request(const std::string& kind) const {
    ScheduleRequest request;
    request.kind = kind;
    for (int64_t count : {stages_, chunks_, micro_batches_}) {
      if (count < 0 || count > kMost) {
        return UsageError(absl::StrCat(count, ": counts must be from 1 to ", kMost));
      }
    }
    request.ranks = static_cast<int>(stages_);
    request.chunks = static_cast<int>(chunks_);
    request.micro_batches = static_cast<int>(micro_batches_);
    request.memory_limit = memory_limit_;
    MR_ASSIGN_OR_RETURN(request.forward, Times("forward", forward_));
    MR_ASSIGN_OR_RETURN(request.backward_input, Times("backward-input", backward_input_));
    MR_ASSIGN_OR_RETURN(request.backward_weight, Times("backward-weight", backward_weight_));
    MR_ASSIGN_OR_RETURN(request.communication, Times("communication", communication_));
    return request;
  }

  absl::Status RunKind(const FlagSet& flags, const ScheduleRequest& request) const {
    if (flags.WasGiven("file")) return UsageError("--file goes with the kind file: millrace schedule file --file=...");
    if (!flags.WasGiven("stages")) return UsageError("--stages=P is missing");
    if (!flags.WasGiven("micro-batches")) return UsageError("--micro-batches=M is missing");
    absl::StatusOr<Schedule> schedule = MakeSchedule(request);
    if (absl::IsInvalidArgument(schedule.status())) return UsageError(schedule.status().message());
    MR_RETURN_IF_ERROR(schedule.status());
    MR_ASSIGN_OR_RETURN(const ScheduleCosts costs, CostsOfRequest(request));
    MR_ASSIGN_OR_RETURN(const ScheduleResources resources, resources_.For(*schedule));
    if (!resources.bandwidth.empty()) {
      // A generator knows one time of a transfer: all that it takes when nothing else is on its wire.
      ScheduleRequest whole = request;
      whole.communication = costs.communication;
      const std::vector<double> busy = BusyTimes(resources, schedule->stages);
      for (int s = 0; s < schedule->stages; ++s) whole.communication[s] += busy[s];
      schedule = MakeSchedule(whole);
      if (!schedule.ok()) return UsageError(schedule.status().message());
    }
    return Recompute(*schedule, costs, resources, request.kind, csv_ == "pytorch");
  }

  absl::Status RunFile(const FlagSet& flags, const ScheduleRequest& request) const {
    if (file_.empty()) return UsageError("--file=X.csv is missing");
    if (flags.WasGiven("chunks")) return UsageError("--chunks means nothing for a file: its lines say it");
    if (flags.WasGiven("memory-limit")) return UsageError("--memory-limit means nothing for a file");
    MR_ASSIGN_OR_RETURN(const std::string text, ReadFile(file_, kLargestFile));
    const absl::StatusOr<Schedule> schedule = csv_ == "pytorch" ? ParsePytorchCsv(text) : Schedule::ParseCsv(text);
    if (!schedule.ok()) return Invalid(schedule.status());
    if (flags.WasGiven("stages") && stages_ != static_cast<int64_t>(schedule->ranks.size())) {
      return UsageError(absl::StrCat("--stages=", stages_, ", but ", file_, " has ", schedule->ranks.size(), " lines"));
    }
    if (flags.WasGiven("micro-batches") && micro_batches_ != schedule->micro_batches) {
      return UsageError(absl::StrCat("--micro-batches=", micro_batches_, ", but ", file_, " has ",
                                     schedule->micro_batches, " micro-batches"));
    }
    const absl::StatusOr<ScheduleCosts> costs = CostsOfStages(request, schedule->rank_of_stage);
    if (!costs.ok()) return UsageError(costs.status().message());
    MR_ASSIGN_OR_RETURN(const ScheduleResources resources, resources_.For(*schedule));
    return Recompute(*schedule, *costs, resources, file_, false);
  }

  // Prints the schedule with the recomputation that is asked for, and what that costs.
  absl::Status Recompute(const Schedule& schedule, ScheduleCosts costs, const ScheduleResources& resources,
                         const std::string& title, bool pytorch) const {
    if (recompute_ == "none") return Print(schedule, costs, resources, title, pytorch);
    if (const absl::Status valid = VerifySchedule(schedule); !valid.ok()) return Invalid(valid);
    for (const std::vector<Action>& rank : schedule.ranks) {
      for (const Action& action : rank) {
        if (action.phase != proto::R) continue;
        return UsageError(absl::StrCat("--recompute=", recompute_, ", but the schedule has actions R of its own"));
      }
    }
    MR_ASSIGN_OR_RETURN(costs.recompute, RecomputeTimes(schedule));
    const std::vector<bool> all(schedule.stages, true);
    MR_RETURN_IF_ERROR(recompute_ == "inside"
                           ? Print(schedule, RecomputeInside(costs, all), resources, title, pytorch)
                           : Print(PlaceRecompute(schedule, costs, all), costs, resources, title, pytorch));
    if (format_ != "grid") return absl::OkStatus();
    const RecomputeSpans spans = SpansOfRecompute(schedule, costs, all);
    std::printf("recomputation: longest span %.6g without, %.6g inside B, %.6g placed; placing hides %.1f %%\n",
                spans.without, spans.inside, spans.placed, 100 * spans.hidden);
    return absl::OkStatus();
  }

  // By stage; empty: as forward.
  absl::StatusOr<std::vector<double>> RecomputeTimes(const Schedule& schedule) const {
    if (recompute_time_.empty()) return std::vector<double>();
    ScheduleRequest request;
    request.kind = "recompute-time";
    MR_ASSIGN_OR_RETURN(request.forward, Times("recompute-time", recompute_time_));
    const absl::StatusOr<ScheduleCosts> costs = CostsOfStages(request, schedule.rank_of_stage);
    if (!costs.ok()) return UsageError(costs.status().message());
    return costs->forward;
  }

  // A file whose content is not a schedule. Machines read the same on stdout.
  absl::Status Invalid(const absl::Status& status) const {
    const std::string reason = absl::StrCat(file_.empty() ? "" : absl::StrCat(file_, ": "), status.message());
    if (format_ == "json") {
      const nlohmann::ordered_json json = {{"valid", false}, {"reason", reason}};
      std::printf("%s\n", json.dump(1, ' ', true, nlohmann::json::error_handler_t::replace).c_str());
    }
    return WithExit(absl::InvalidArgumentError(reason), kExitBadInput);
  }

  absl::Status Print(const Schedule& schedule, const ScheduleCosts& costs, const ScheduleResources& resources,
                     const std::string& title, bool pytorch) const {
    if (const absl::Status valid = VerifySchedule(schedule); !valid.ok()) return Invalid(valid);
    // What the flags say was checked, so what is refused here are too few slots, or times that add up to too much.
    const absl::StatusOr<ScheduleSimulation> simulated = SimulateSchedule(schedule, costs, resources);
    if (!simulated.ok()) return Invalid(simulated.status());
    const ScheduleSimulation& simulation = *simulated;
    std::string text;
    if (format_ == "csv" && pytorch) {
      MR_ASSIGN_OR_RETURN(text, ToPytorchCsv(schedule));
    } else if (format_ == "csv") {
      text = schedule.ToCsv();
    } else if (format_ == "json") {
      text = ScheduleJson(schedule, simulation, title);
    } else if (format_ == "svg") {
      text = ScheduleSvg(schedule, simulation,
                         absl::StrFormat("%s: p = %d, m = %d", title, schedule.ranks.size(), schedule.micro_batches));
    } else {
      DrawOptions options = DrawingForStdout();
      if (width_ > 0) options.width = static_cast<int>(width_);
      text = absl::StrCat(DrawScheduleGrid(schedule, simulation, title, options), Summary(simulation));
    }
    if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) {
      return WithExit(absl::UnavailableError("stdout cannot be written"), kExitIo);
    }
    return absl::OkStatus();
  }

  static std::string Summary(const ScheduleSimulation& simulation) {
    const auto& flight = simulation.peak_in_flight;
    const auto& memory = simulation.peak_memory;
    const auto fullest = std::max_element(flight.begin(), flight.end());
    const auto largest = std::max_element(memory.begin(), memory.end());
    ScheduleIdle idle;  // of all ranks, inside their spans
    double spans = 0;
    for (size_t rank = 0; rank < simulation.idle.size(); ++rank) {
      idle.data += simulation.idle[rank].data;
      idle.link += simulation.idle[rank].link;
      idle.slot += simulation.idle[rank].slot;
      spans += simulation.busy[rank];
    }
    spans = std::max(spans + idle.data + idle.link + idle.slot, 1e-300);
    return absl::StrFormat(
        "valid; bubble %.2f %% of the longest span, %.2f %% over the ideal\n"
        "waiting in %% of all spans: %.2f for data, %.2f for a link, %.2f for a slot\n"
        "in flight: %d at most, on stage %d; held: %.4g micro-batches at most, on rank %d\n",
        100 * simulation.bubble_rate, 100 * simulation.bubble_over_ideal, 100 * idle.data / spans,
        100 * idle.link / spans, 100 * idle.slot / spans, *fullest, fullest - flight.begin(), *largest,
        largest - memory.begin());
  }

  int64_t stages_ = 0, micro_batches_ = 0, chunks_ = 1, width_ = 0;
  std::vector<std::string> forward_, backward_input_, backward_weight_, communication_;
  ScheduleResourceFlags resources_;
  std::vector<std::string> recompute_time_;
  double memory_limit_ = 0;
  std::string file_, csv_ = "millrace", format_ = "grid", recompute_ = "none";
  bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> MakeScheduleCommand() { return std::make_unique<ScheduleCommand>(); }

}  // namespace millrace
