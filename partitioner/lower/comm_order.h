// One total order of everything all ranks do, and from it each rank's list.
//
// A simulation with the predicted costs plays the schedule: a RUN is listed when it starts, a tensor's SEND and RECV,
// on both ranks, when the RUN that made it ends. Every list is a part of the same total order, so ranks that execute
// their lists as queues and meet at SEND and RECV can never wait for each other in a circle.
#ifndef PARTITIONER_LOWER_COMM_ORDER_H_
#define PARTITIONER_LOWER_COMM_ORDER_H_

#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "partitioner/lower/flow.h"

namespace millrace {

struct Step {
  proto::Instruction::Kind kind = proto::Instruction::RUN;  // LOAD, RUN, SEND, RECV
  int index = 0;                                            // LOAD: stage; RUN: run; SEND and RECV: transfer
  int micro_batch = 0;
};

// Seconds of a transfer.
using TransferSecondsFn = std::function<double(const Transfer&)>;

// By rank. In a program that does not train, a RUN also waits until its readers have begun the micro-batch before last,
// so that a fast stage does not fill the memory of a slow one. INVALID_ARGUMENT when the schedule deadlocks: names
// where each stuck rank stands and what it waits for.
absl::StatusOr<std::vector<std::vector<Step>>> CommOrder(const Flow& flow, const TransferSecondsFn& transfer_seconds);

}  // namespace millrace

#endif  // PARTITIONER_LOWER_COMM_ORDER_H_
