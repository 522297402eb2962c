// What a rank says of where it stands, made once for each instruction of a program.
#ifndef RUNTIME_WORKER_STANDPOINT_H_
#define RUNTIME_WORKER_STANDPOINT_H_

#include <vector>

#include "runtime/worker/bind.h"
#include "runtime/worker/worker.h"

namespace millrace {

// By instruction: the standpoint of a wait for its transfer. Of a group it is the first transfer's; of what moves
// nothing, the standpoint without a peer.
std::vector<Standpoint> StandpointsOf(const BoundProgram& program);

}  // namespace millrace

#endif  // RUNTIME_WORKER_STANDPOINT_H_
