// From spans to figures: bubble, idle time, exposed communication, micro-batches in flight.
#ifndef RUNTIME_PLAN_FIGURES_H_
#define RUNTIME_PLAN_FIGURES_H_

#include "absl/status/statusor.h"
#include "runtime/plan/simulate.h"

namespace millrace {

// All fields of Simulation from its trace. INVALID_ARGUMENT when a span names a rank or an instruction that the program
// has not, or its times are not finite or go backwards.
absl::StatusOr<Simulation> FiguresOf(const proto::Program& program, proto::StepTrace trace);

}  // namespace millrace

#endif  // RUNTIME_PLAN_FIGURES_H_
