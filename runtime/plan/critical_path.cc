#include "runtime/plan/critical_path.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "runtime/plan/broken.h"
#include "runtime/plan/plan.h"
#include "runtime/plan/wiring.h"

namespace millrace {
namespace {

class Tracer {
 public:
  Tracer(const proto::Program& program, const Wiring& wiring) : program_(program), wiring_(wiring) {
    for (int rank = 0; rank < program.ranks_size(); ++rank) {
      const int n = program.ranks(rank).instructions_size();
      spans_.emplace_back(n, nullptr);
      previous_.emplace_back(n, -1);
      std::vector<int> last(wiring.ranks[rank].channels, -1);
      for (int i = 0; i < n; ++i) {
        int& before = last[wiring.ranks[rank].channel[i]];
        previous_[rank][i] = before;
        before = i;
      }
    }
  }

  absl::Status Take(const proto::StepTrace& trace) {
    for (const proto::Span& span : trace.spans()) {
      if (span.rank() >= spans_.size() || span.instruction() >= spans_[span.rank()].size()) {
        return absl::InvalidArgumentError(absl::StrCat("trace: instruction ", span.instruction(), " of rank ",
                                                       span.rank(), " is not in program ", Quoted(program_.name())));
      }
      spans_[span.rank()][span.instruction()] = &span;
    }
    return absl::OkStatus();
  }

  std::vector<PathStep> Path() const {
    Place at;
    for (int rank = 0; rank < static_cast<int>(spans_.size()); ++rank) {
      for (int i = 0; i < static_cast<int>(spans_[rank].size()); ++i) Later({rank, i}, &at);
    }
    std::vector<PathStep> path;
    // Every step goes back in the order of dependence, so there are no more steps than instructions.
    size_t most = 0;
    for (const auto& rank : spans_) most += rank.size();
    while (at.instruction >= 0 && path.size() < most) {
      const proto::Span& span = *spans_[at.rank][at.instruction];
      path.push_back({at.rank, at.instruction, span.start_seconds() + span.wait_seconds(), span.end_seconds()});
      Place before;
      Before(at.rank, at.instruction, &before);
      for (int m : wiring_.MeetingsOf(at.rank, at.instruction)) {
        for (const Party& party : wiring_.meetings[m].parties) {
          if (party.rank != at.rank) Before(party.rank, party.instruction, &before);
        }
      }
      at = before;
    }
    std::reverse(path.begin(), path.end());
    return path;
  }

 private:
  struct Place {
    int rank = -1, instruction = -1;
  };

  // Sets `latest` to `place` when that ends later.
  void Later(const Place& place, Place* latest) const {
    const proto::Span* span = spans_[place.rank][place.instruction];
    if (span == nullptr) return;
    if (latest->instruction < 0 || span->end_seconds() > spans_[latest->rank][latest->instruction]->end_seconds()) {
      *latest = place;
    }
  }

  void Before(int rank, int i, Place* latest) const {
    if (previous_[rank][i] >= 0) Later({rank, previous_[rank][i]}, latest);
    for (uint32_t earlier : program_.ranks(rank).instructions(i).after()) {
      Later({rank, static_cast<int>(earlier)}, latest);
    }
    const proto::Instruction& instruction = program_.ranks(rank).instructions(i);
    if (instruction.has_begins()) Later({rank, static_cast<int>(instruction.begins().instruction())}, latest);
  }

  const proto::Program& program_;
  const Wiring& wiring_;
  std::vector<std::vector<const proto::Span*>> spans_;
  std::vector<std::vector<int>> previous_;  // on its channel, -1: none
};

}  // namespace

absl::StatusOr<std::vector<PathStep>> CriticalPath(const proto::ExecutionPlan& plan, const proto::StepTrace& trace) {
  const proto::Program* program = FindProgram(plan, trace.program());
  if (program == nullptr) {
    return absl::NotFoundError(absl::StrCat("the plan has no program ", Quoted(trace.program())));
  }
  MR_ASSIGN_OR_RETURN(const Wiring wiring, Wire(plan, *program));
  Tracer tracer(*program, wiring);
  MR_RETURN_IF_ERROR(tracer.Take(trace));
  return tracer.Path();
}

}  // namespace millrace
