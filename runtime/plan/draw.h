// Pictures of schedules in plain text.
#ifndef RUNTIME_PLAN_DRAW_H_
#define RUNTIME_PLAN_DRAW_H_

#include <string>

#include "proto/plan.pb.h"
#include "proto/trace.pb.h"

namespace millrace {

struct DrawOptions {
  int width = 100;      // columns of the terminal
  bool color = false;   // ANSI colours; the picture reads well without
};

// Time runs right, one line per rank; each RUN is a cell of its micro-batch's number, forward, backward and weight
// cells told apart by letter case or colour; '.' is idle time. With a legend line.
std::string DrawTimeline(const proto::ExecutionPlan& plan, const proto::StepTrace& trace, const DrawOptions& options);

// The schedule alone, as if every action took one slot of time (BW two) and communication none: one line per rank, one
// cell per slot, '.' where the rank idles. For lists that deadlock or make no sense, the reason instead.
std::string DrawSchedule(const proto::Program& program);

}  // namespace millrace

#endif  // RUNTIME_PLAN_DRAW_H_
