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

// Where stages have replicas of their own, these meet to add up the gradients that a RUN of each has written.
enum class RunMeetings {
  kNone,
  kLast,  // after the last micro-batches
  kAll,   // after each; none begins the RUN of its next one before
};

// Such a meeting on one rank: in front of step `before` of its list.
struct RunReduce {
  int stage = 0;
  proto::Phase phase = proto::F;
  int micro_batch = 0;
  int before = 0;
};

struct CommLists {
  std::vector<std::vector<Step>> steps;         // by rank
  std::vector<std::vector<RunReduce>> reduces;  // by rank, in order; of stages with several replicas
};

// Seconds of a transfer.
using TransferSecondsFn = std::function<double(const Transfer&)>;

// In a program that does not train, a RUN also waits until its readers have begun the micro-batch before last, so that
// a fast stage does not fill the memory of a slow one. Meetings of replicas have their places in the total order, too:
// when the last of them has ended its RUN. INVALID_ARGUMENT when the schedule deadlocks: names where each stuck rank
// stands and what it waits for.
absl::StatusOr<CommLists> CommOrder(const Flow& flow, const TransferSecondsFn& transfer_seconds, RunMeetings meetings);

}  // namespace millrace

#endif  // PARTITIONER_LOWER_COMM_ORDER_H_
