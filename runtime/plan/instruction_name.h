// Short names of instructions, as pictures and tables use them.
#ifndef RUNTIME_PLAN_INSTRUCTION_NAME_H_
#define RUNTIME_PLAN_INSTRUCTION_NAME_H_

#include <string>

#include "proto/plan.pb.h"

namespace millrace {

// Stage, kind and micro-batch: "2F0", "1BW3", "0LOAD2", "3SEND_F1" (stage 3 sends an activation), "2RECV_B0" (stage 2
// receives a gradient), "1PREPARE"; buckets by number: "REDUCE_4", "STEP_4", "GATHER_4"; "NORM", "GROUP".
std::string InstructionName(const proto::Program& program, const proto::Instruction& instruction);

}  // namespace millrace

#endif  // RUNTIME_PLAN_INSTRUCTION_NAME_H_
