#include "runtime/plan/figures.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "runtime/plan/broken.h"

namespace millrace {
namespace {

using proto::Instruction;

double WorkBegins(const proto::Span& span) { return span.start_seconds() + span.wait_seconds(); }

bool Communicates(const Instruction& instruction) {
  switch (instruction.kind()) {
    case Instruction::SEND:
    case Instruction::RECV:
    case Instruction::GROUP:
    case Instruction::REDUCE:
    case Instruction::NORM:
    case Instruction::GATHER:
      return true;
    default:
      return false;
  }
}

absl::Status CheckSpan(const proto::Program& program, const proto::Span& span) {
  if (span.rank() >= program.ranks_size() || span.instruction() >= program.ranks(span.rank()).instructions_size()) {
    return absl::InvalidArgumentError(absl::StrCat("trace: instruction ", span.instruction(), " of rank ", span.rank(),
                                                   " is not in program ", Quoted(program.name())));
  }
  const bool finite =
      std::isfinite(span.start_seconds()) && std::isfinite(span.end_seconds()) && std::isfinite(span.wait_seconds());
  if (!finite || span.wait_seconds() < 0 || span.end_seconds() < span.start_seconds()) {
    return absl::InvalidArgumentError(
        absl::StrCat("trace: ", Place({&program, static_cast<int>(span.rank()), static_cast<int>(span.instruction())}),
                     ": its times are no numbers or go backwards"));
  }
  return absl::OkStatus();
}

// Time that the compute channel spent on communication: collectives in their work, and for the others the part of the
// wait during which the last transfer waited for was on its way (the rest is the bubble).
double ExposedSeconds(const Instruction& instruction, const proto::Span& span,
                      const std::vector<const proto::Span*>& spans) {
  if (instruction.channel() != 0) return 0;
  if (Communicates(instruction)) return span.end_seconds() - WorkBegins(span);
  const proto::Span* last = nullptr;
  for (uint32_t earlier : instruction.after()) {
    const proto::Span* other = earlier < spans.size() ? spans[earlier] : nullptr;
    if (other != nullptr && (last == nullptr || other->end_seconds() > last->end_seconds())) last = other;
  }
  if (last == nullptr) return 0;
  return std::clamp(last->end_seconds() - WorkBegins(*last), 0.0, span.wait_seconds());
}

SimulatedRank FiguresOfRank(const proto::RankProgram& list, const std::vector<const proto::Span*>& spans, double step) {
  SimulatedRank figures;
  double first = std::numeric_limits<double>::infinity(), last = 0;
  for (int i = 0; i < list.instructions_size(); ++i) {
    if (spans[i] == nullptr) continue;
    figures.communication_seconds += ExposedSeconds(list.instructions(i), *spans[i], spans);
    if (list.instructions(i).kind() != Instruction::RUN) continue;
    const double seconds = std::max(0.0, spans[i]->end_seconds() - WorkBegins(*spans[i]));
    figures.busy_seconds += seconds;
    const proto::Phase phase = list.instructions(i).phase();
    if (phase == proto::F) figures.forward_seconds += seconds;
    if (phase == proto::B || phase == proto::BW) figures.backward_seconds += seconds;
    if (phase == proto::W) figures.weight_seconds += seconds;
    first = std::min(first, WorkBegins(*spans[i]));
    last = std::max(last, spans[i]->end_seconds());
  }
  figures.idle_seconds = step - figures.busy_seconds;
  figures.span_seconds = std::max(0.0, last - first);
  return figures;
}

// What a rank works on instructions that are no RUN and no transfer.
OutsideRuns PartsOfRank(const proto::RankProgram& list, const std::vector<const proto::Span*>& spans) {
  OutsideRuns parts;
  for (int i = 0; i < list.instructions_size(); ++i) {
    if (spans[i] == nullptr || list.instructions(i).channel() != 0) continue;  // what goes on beside the RUNs
    const double seconds = std::max(0.0, spans[i]->end_seconds() - WorkBegins(*spans[i]));
    const Instruction::Kind kind = list.instructions(i).kind();
    if (kind == Instruction::LOAD) parts.load += seconds;
    if (kind == Instruction::REDUCE) parts.reduce += seconds;
    if (kind == Instruction::NORM) parts.norm += seconds;
    if (kind == Instruction::STEP) parts.step += seconds;
    if (kind == Instruction::GATHER) parts.gather += seconds;
    if (kind == Instruction::PREPARE) parts.prepare += seconds;
  }
  return parts;
}

void RaiseTo(const OutsideRuns& other, OutsideRuns* most) {
  for (double OutsideRuns::*part : {&OutsideRuns::load, &OutsideRuns::reduce, &OutsideRuns::norm, &OutsideRuns::step,
                                  &OutsideRuns::gather, &OutsideRuns::prepare}) {
    most->*part = std::max(most->*part, other.*part);
  }
}

// From the start of the first RUN of any rank to the end of the last.
double PipelineSeconds(const proto::Program& program, const std::vector<std::vector<const proto::Span*>>& spans) {
  double first = std::numeric_limits<double>::infinity(), last = 0;
  for (int rank = 0; rank < program.ranks_size(); ++rank) {
    for (int i = 0; i < program.ranks(rank).instructions_size(); ++i) {
      if (spans[rank][i] == nullptr || program.ranks(rank).instructions(i).kind() != Instruction::RUN) continue;
      first = std::min(first, WorkBegins(*spans[rank][i]));
      last = std::max(last, spans[rank][i]->end_seconds());
    }
  }
  return std::max(0.0, last - first);
}

// A micro-batch is in flight on a stage from the start of its F to the end of its B or BW, or of its F where the
// program has no backward phase.
std::vector<int> PeakInFlight(const proto::Program& program,
                              const std::vector<std::vector<const proto::Span*>>& spans) {
  struct Change {
    double at;
    int by;
  };
  std::vector<std::vector<Change>> changes(program.stages_size());
  std::vector<bool> backward(program.stages_size(), false);
  for (int s = 0; s < program.stages_size(); ++s) {
    for (const proto::PhaseProgram& phase : program.stages(s).phases()) {
      backward[s] = backward[s] || phase.phase() == proto::B || phase.phase() == proto::BW;
    }
  }
  for (int rank = 0; rank < program.ranks_size(); ++rank) {
    for (int i = 0; i < program.ranks(rank).instructions_size(); ++i) {
      const Instruction& run = program.ranks(rank).instructions(i);
      const proto::Span* span = spans[rank][i];
      if (run.kind() != Instruction::RUN || span == nullptr || run.stage() >= changes.size()) continue;
      if (run.phase() == proto::F) changes[run.stage()].push_back({WorkBegins(*span), +1});
      const proto::Phase ends = backward[run.stage()] ? proto::B : proto::F;
      const bool ends_here = run.phase() == ends || (backward[run.stage()] && run.phase() == proto::BW);
      if (ends_here) changes[run.stage()].push_back({span->end_seconds(), -1});
    }
  }
  std::vector<int> peaks;
  for (std::vector<Change>& stage : changes) {
    // What ends at the moment that another begins has left before.
    std::sort(stage.begin(), stage.end(),
              [](const Change& a, const Change& b) { return std::tie(a.at, a.by) < std::tie(b.at, b.by); });
    int now = 0, peak = 0;
    for (const Change& change : stage) peak = std::max(peak, now += change.by);
    peaks.push_back(peak);
  }
  return peaks;
}

}  // namespace

absl::StatusOr<Simulation> FiguresOf(const proto::Program& program, proto::StepTrace trace) {
  Simulation result;
  std::vector<std::vector<const proto::Span*>> spans;
  for (const proto::RankProgram& rank : program.ranks()) spans.emplace_back(rank.instructions_size(), nullptr);
  for (const proto::Span& span : trace.spans()) {
    MR_RETURN_IF_ERROR(CheckSpan(program, span));
    spans[span.rank()][span.instruction()] = &span;
    result.seconds = std::max(result.seconds, span.end_seconds());
  }
  double busy = 0, busiest = 0, longest = 0;
  for (int rank = 0; rank < program.ranks_size(); ++rank) {
    result.ranks.push_back(FiguresOfRank(program.ranks(rank), spans[rank], result.seconds));
    RaiseTo(PartsOfRank(program.ranks(rank), spans[rank]), &result.parts);
    busy += result.ranks.back().busy_seconds;
    busiest = std::max(busiest, result.ranks.back().busy_seconds);
    longest = std::max(longest, result.ranks.back().span_seconds);
  }
  if (longest > 0) result.bubble_rate = 1 - busy / program.ranks_size() / longest;
  if (busiest > 0) result.bubble_over_ideal = (longest - busiest) / busiest;
  result.pipeline_seconds = PipelineSeconds(program, spans);
  result.peak_in_flight = PeakInFlight(program, spans);
  result.trace = std::move(trace);
  return result;
}

}  // namespace millrace
