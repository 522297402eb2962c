// From a plan to addresses: every instruction of a rank with its kernels, argument arrays, transfers and waits
// resolved, so that the loop looks up nothing.
#ifndef RUNTIME_WORKER_BIND_H_
#define RUNTIME_WORKER_BIND_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/device.h"
#include "proto/plan.pb.h"
#include "runtime/comm/communicator.h"
#include "runtime/worker/arena.h"
#include "runtime/worker/kernel_cache.h"
#include "runtime/worker/tags.h"

namespace millrace {

class ReplicaWork;

// A kernel call with its addresses. `args.inputs` and `args.outputs` point into the BoundRun's pointers.
struct BoundCall {
  const Kernel* kernel = nullptr;
  KernelArgs args;
  const proto::KernelCall* source = nullptr;
};

// The calls of one phase of one stage in one choice of slots; shared by all micro-batches that use those slots.
struct BoundRun {
  std::vector<BoundCall> calls;
  bool random = false;  // has calls that depend on the RunKey
  std::vector<void*> pointers;
};

struct BoundLoad {
  const proto::Input* input = nullptr;
  void* memory = nullptr;
  uint64_t bytes = 0;
};

// One packed copy of a weight. Stale when `version` is not the binding's.
struct BoundPack {
  const Kernel* kernel = nullptr;
  std::vector<void*> inputs;  // values with a fixed address; the others are null
  std::vector<void*> outputs;
  void* scratch = nullptr;
  void* packed = nullptr;
  const proto::KernelCall* source = nullptr;
  uint64_t version = 0;
  int chunk = -1;  // where chunks take turns in the same bytes: the stage
};

// Wait until the instructions of `channel` up to and including the one at `position` have finished.
struct Through {
  int channel = 0;
  int position = 0;
};

struct BoundInstruction {
  const proto::Instruction* source = nullptr;
  std::vector<Through> waits;
  const BoundRun* run = nullptr;    // RUN
  std::vector<BoundLoad> loads;     // LOAD
  std::vector<Transfer> transfers;  // SEND, RECV, GROUP
  ReplicaWork* work = nullptr;      // REDUCE, GATHER (set by the program runner)
  // RUN: instructions that begin behind so many of its calls, ascending.
  struct Beginning {
    uint32_t calls = 0;
    int instruction = -1;
  };
  std::vector<Beginning> beginnings;
  int channel = 0;
  int position = -1;  // of what goes on by itself: place in its channel; -1: done when its turn is over
};

// Does it go on by itself, beside the RUNs? Transfers do, and REDUCE and GATHER on channels of their own.
bool InBackground(const proto::Instruction& instruction);

struct ByteRange {
  uint64_t begin = 0;
  uint64_t end = 0;
};

struct BoundProgram {
  const proto::Program* program = nullptr;
  const proto::RankProgram* rank = nullptr;
  std::vector<BoundInstruction> instructions;
  std::vector<std::unique_ptr<BoundRun>> runs;
  std::vector<std::vector<int>> channels;     // per channel: what goes on by itself there, in order
  std::vector<int> used_packs;                // indices of packs that its calls read, whoever lists their PREPARE;
                                              // without those of chunks
  std::vector<std::vector<int>> stage_packs;  // per stage: indices of packs
  bool trains = false;                        // has a NORM
  void* loss_sum = nullptr;                   // null where the loss is not computed
  void* loss_count = nullptr;
  std::vector<ByteRange> transient;  // pools and scratch
  std::vector<ByteRange> gaps;       // bytes of `transient` that belong to no value and no call
  uint64_t largest_load = 0;
};

// What binding all programs of a rank yields together: kernels and packings are shared among programs.
struct Binding {
  explicit Binding(Device* device) : kernels(device) {}

  KernelCache kernels;
  std::vector<BoundPack> packs;
  uint64_t weights_version = 1;                         // raised whenever weights change
  std::vector<std::unique_ptr<BoundProgram>> programs;  // parallel to plan.programs
};

// FAILED_PRECONDITION names rank, program, instruction, node and numbers where a kernel needs more than the plan gives
// or an address lies outside the arena. `rank` is one of any replica. `plan`, `arena` and `binding` must outlive the
// result.
absl::Status BindPrograms(const proto::ExecutionPlan& plan, int rank, const Arena& arena, Binding* binding);

// OpDesc of a call: shapes from the stage's values.
absl::StatusOr<OpDesc> DescOf(const proto::StageProgram& stage, const proto::KernelCall& call);

}  // namespace millrace

#endif  // RUNTIME_WORKER_BIND_H_
