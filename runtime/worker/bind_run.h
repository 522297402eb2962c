// Binding of kernel calls: addresses of values in slots, kernels, scratch and packed weights.
#ifndef RUNTIME_WORKER_BIND_RUN_H_
#define RUNTIME_WORKER_BIND_RUN_H_

#include <map>
#include <memory>
#include <string>

#include "runtime/worker/bind.h"

namespace millrace {

class RunBinder {
 public:
  // `chunks`: stages take turns in the bytes of weights and packings.
  RunBinder(const Arena& arena, BoundProgram* out, Binding* binding, bool chunks)
      : arena_(arena), out_(out), binding_(binding), chunks_(chunks) {}

  // Address of a value of a stage in the slot that the instruction names for its pool.
  absl::StatusOr<char*> Address(const proto::StageProgram& stage, int64_t value,
                                const proto::Instruction& instruction) const;
  absl::StatusOr<const BoundRun*> Run(const proto::Instruction& instruction);
  // Fills out->stage_packs[stage] and adds to binding->packs. Before any Run.
  absl::Status Packs(const proto::StageProgram& stage);

 private:
  int ChunkOf(const proto::StageProgram& stage) const { return chunks_ ? static_cast<int>(stage.stage()) : -1; }
  absl::StatusOr<const Kernel*> KernelFor(const proto::StageProgram& stage, const proto::KernelCall& call);
  absl::Status BindCall(const proto::StageProgram& stage, const proto::KernelCall& call,
                        const proto::Instruction& instruction, BoundRun* run);

  const Arena& arena_;
  BoundProgram* out_;
  Binding* binding_;
  const bool chunks_;
  std::map<std::string, const BoundRun*> runs_;  // by stage, phase and slots
};

}  // namespace millrace

#endif  // RUNTIME_WORKER_BIND_RUN_H_
