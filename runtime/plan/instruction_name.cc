#include "runtime/plan/instruction_name.h"

#include "absl/strings/str_cat.h"
#include "runtime/plan/action.h"

namespace millrace {

std::string InstructionName(const proto::Program& program, const proto::Instruction& instruction) {
  using proto::Instruction;
  const std::string kind = Instruction::Kind_Name(instruction.kind());
  switch (instruction.kind()) {
    case Instruction::RUN:
      return absl::StrCat(instruction.stage(), PhaseName(instruction.phase()), instruction.micro_batch());
    case Instruction::LOAD:
      return absl::StrCat(instruction.stage(), kind, instruction.micro_batch());
    case Instruction::PREPARE:
      return absl::StrCat(instruction.stage(), kind);
    case Instruction::SEND:
    case Instruction::RECV: {
      if (instruction.edge() >= program.edges_size()) return kind;
      const proto::Edge& edge = program.edges(static_cast<int>(instruction.edge()));
      const uint32_t stage = instruction.kind() == Instruction::SEND ? edge.from_stage() : edge.to_stage();
      return absl::StrCat(stage, kind, edge.backward() ? "_B" : "_F", instruction.micro_batch());
    }
    case Instruction::REDUCE:
    case Instruction::STEP:
    case Instruction::GATHER:
    case Instruction::RELEASE:
      return absl::StrCat(kind, "_", instruction.bucket());
    default:
      return kind;
  }
}

}  // namespace millrace
