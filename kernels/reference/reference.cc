#include "kernels/reference/reference.h"

#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kernels/op_rules.h"
#include "kernels/reference/call.h"
#include "proto/status_macros.h"

namespace millrace {
namespace {

using reference::Function;
using reference::Operator;

constexpr uint64_t kAlignment = 256;

const absl::flat_hash_map<std::string, Function>& AllOperators() {
  static const auto* const operators = [] {
    auto* all = new absl::flat_hash_map<std::string, Function>();
    for (const auto* family :
         {&reference::MatMulOperators(), &reference::LossOperators(), &reference::ElementwiseOperators(),
          &reference::NormalizationOperators(), &reference::AttentionOperators(), &reference::EmbeddingOperators(),
          &reference::ShapeOperators(), &reference::ReductionOperators(), &reference::OptimizerOperators()}) {
      for (const Operator& op : *family) all->emplace(op.name, op.run);
    }
    return all;
  }();
  return *operators;
}

class ReferenceKernel : public Kernel {
 public:
  ReferenceKernel(OpDesc desc, Function run) : Kernel(KernelNeeds()), desc_(std::move(desc)), run_(run) {}

  absl::Status Run(Stream&, const KernelArgs& args) const override { return run_(reference::Call(desc_, args)); }

 private:
  const OpDesc desc_;
  const Function run_;
};

// All work is done when a call on a stream returns, so there is never anything to wait for.
class ReferenceEvent : public Event {
 public:
  bool Ready() const override { return true; }
  absl::Status Wait() override { return absl::OkStatus(); }
};

class ReferenceStream : public Stream {
 public:
  absl::Status Record(Event*) override { return absl::OkStatus(); }
  absl::Status WaitFor(Event* event) override { return event->Wait(); }
  absl::Status Synchronize() override { return absl::OkStatus(); }
  absl::Status Copy(void* to, const void* from, uint64_t bytes) override {
    if (bytes > 0) std::memmove(to, from, bytes);
    return absl::OkStatus();
  }
  absl::Status Zero(void* to, uint64_t bytes) override {
    if (bytes > 0) std::memset(to, 0, bytes);
    return absl::OkStatus();
  }
};

uint64_t PhysicalBytes() {
  return static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGE_SIZE));
}

// Integers are moved, but not computed with.
absl::Status CheckTypes(const OpDesc& desc) {
  const bool binary = desc.op == "Add" || desc.op == "Sub" || desc.op == "Mul" || desc.op == "Div";
  if (binary && !IsFloat(desc.input(0).dtype)) {
    return absl::UnimplementedError(
        absl::StrCat(desc.op, " on the reference backend: ", desc.input(0).ToString(), "; only floats are supported"));
  }
  return absl::OkStatus();
}

class ReferenceDevice : public Device {
 public:
  std::string kind() const override { return "reference"; }
  std::string name() const override { return "reference (plain loops, double accumulators)"; }

  absl::StatusOr<Buffer> Allocate(uint64_t bytes) override {
    if (bytes == 0) return Buffer();
    // Linux promises more than there is and kills later; what can never fit is refused here.
    void* memory = nullptr;
    if (bytes <= PhysicalBytes()) {
      memory = std::aligned_alloc(kAlignment, (bytes + kAlignment - 1) / kAlignment * kAlignment);
    }
    if (memory == nullptr) {
      return absl::ResourceExhaustedError(
          absl::StrCat("the reference device was asked for ", bytes, " bytes; this machine has ", PhysicalBytes(),
                       " in all: use more ranks on more machines or smaller ", "micro-batches"));
    }
    std::memset(memory, 0, bytes);
    return Buffer(this, memory, bytes);
  }

  absl::StatusOr<std::unique_ptr<Stream>> NewStream() override { return std::make_unique<ReferenceStream>(); }
  absl::StatusOr<std::unique_ptr<Event>> NewEvent() override { return std::make_unique<ReferenceEvent>(); }

  absl::StatusOr<std::unique_ptr<Kernel>> NewKernel(const OpDesc& desc) override {
    MR_RETURN_IF_ERROR(CheckOp(desc));
    MR_RETURN_IF_ERROR(CheckTypes(desc));
    const auto op = AllOperators().find(desc.op);
    if (op == AllOperators().end()) {
      return absl::UnimplementedError(absl::StrCat("the reference backend has no kernel for operator '", desc.op, "'"));
    }
    return std::make_unique<ReferenceKernel>(desc, op->second);
  }

  absl::Status CopyIn(void* device_memory, const void* host, uint64_t bytes) override {
    if (bytes > 0) std::memcpy(device_memory, host, bytes);
    return absl::OkStatus();
  }
  absl::Status CopyOut(void* host, const void* device_memory, uint64_t bytes) override {
    if (bytes > 0) std::memcpy(host, device_memory, bytes);
    return absl::OkStatus();
  }

 private:
  void Free(void* memory, uint64_t) override { std::free(memory); }
};

}  // namespace

absl::StatusOr<std::unique_ptr<Device>> OpenReference(const DeviceOptions& options) {
  if (options.threads < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("a reference device was asked for ", options.threads, " threads; it takes 1 or more and uses 1"));
  }
  return std::make_unique<ReferenceDevice>();
}

}  // namespace millrace
