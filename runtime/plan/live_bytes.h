// How many bytes of a rank's arena hold something, over a step.
#ifndef RUNTIME_PLAN_LIVE_BYTES_H_
#define RUNTIME_PLAN_LIVE_BYTES_H_

#include <cstdint>
#include <vector>

#include "proto/plan.pb.h"
#include "proto/trace.pb.h"

namespace millrace {

// From `seconds` on, until the next point.
struct LivePoint {
  double seconds = 0;
  uint64_t bytes = 0;
};

// By rank, from a trace of the program. Persistent regions always count. A slot of a pool counts whole, from the start
// of the first instruction that names it for a micro-batch to the end of the last one before another micro-batch takes
// it; the rank's scratch counts while a RUN works. The plan must have passed VerifyPlan; spans that the trace leaves
// out are taken as never run.
std::vector<std::vector<LivePoint>> LiveBytes(const proto::ExecutionPlan& plan, const proto::Program& program,
                                              const proto::StepTrace& trace);

}  // namespace millrace

#endif  // RUNTIME_PLAN_LIVE_BYTES_H_
