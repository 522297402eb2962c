#include "kernels/cpu/cpu.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "dnnl.h"
#include "kernels/cpu/cpu_stream.h"
#include "kernels/cpu/families.h"
#include "kernels/op_rules.h"
#include "proto/status_macros.h"

namespace millrace {
namespace {

constexpr int kMostThreads = 1024;

struct OpFamily {
  absl::string_view op;
  cpu::KernelOr (*make)(const OpDesc&);
};

constexpr OpFamily kFamilies[] = {
    {"MatMul", cpu::NewMatMul},
    {"Gemm", cpu::NewMatMul},
    {"FusedMatMul", cpu::NewMatMul},
    {"MatMulWeightGrad", cpu::NewMatMulWeightGrad},
    {"Add", cpu::NewElementwise},
    {"Sub", cpu::NewElementwise},
    {"Mul", cpu::NewElementwise},
    {"Div", cpu::NewElementwise},
    {"Neg", cpu::NewElementwise},
    {"Relu", cpu::NewElementwise},
    {"Tanh", cpu::NewElementwise},
    {"Sigmoid", cpu::NewElementwise},
    {"Silu", cpu::NewElementwise},
    {"Identity", cpu::NewElementwise},
    {"Gelu", cpu::NewElementwise},
    {"ReluGrad", cpu::NewElementwise},
    {"SiluGrad", cpu::NewElementwise},
    {"GeluGrad", cpu::NewElementwise},
    {"TanhGrad", cpu::NewElementwise},
    {"SigmoidGrad", cpu::NewElementwise},
    {"Dropout", cpu::NewElementwise},
    {"Cast", cpu::NewElementwise},
    {"Accumulate", cpu::NewElementwise},
    {"LayerNormalization", cpu::NewNormalization},
    {"LayerNormalizationGrad", cpu::NewNormalization},
    {"RMSNormalization", cpu::NewNormalization},
    {"RMSNormalizationGrad", cpu::NewNormalization},
    {"RotaryEmbedding", cpu::NewRotaryEmbedding},
    {"Attention", cpu::NewAttention},
    {"AttentionGrad", cpu::NewAttention},
    {"Gather", cpu::NewGather},
    {"GatherGrad", cpu::NewGather},
    {"SoftmaxCrossEntropyLoss", cpu::NewSoftmax},
    {"SoftmaxCrossEntropyLossGrad", cpu::NewSoftmax},
    {"LinearCrossEntropy", cpu::NewLinearCrossEntropy},
    {"Reshape", cpu::NewShape},
    {"Transpose", cpu::NewShape},
    {"Split", cpu::NewShape},
    {"Concat", cpu::NewShape},
    {"Softmax", cpu::NewSoftmax},
    {"SoftmaxGrad", cpu::NewSoftmax},
    {"ReduceSum", cpu::NewReduce},
    {"ReduceMean", cpu::NewReduce},
    {"ReduceSumTo", cpu::NewReduce},
    {"Expand", cpu::NewShape},
    {"Fork", cpu::NewShape},
    {"AdamW", cpu::NewOptimizer},
    {"SgdMomentum", cpu::NewOptimizer},
    {"SquaredSums", cpu::NewOptimizer},
};

// The first "model name" of /proc/cpuinfo.
std::string ProcessorName() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    absl::string_view rest = line;
    const size_t colon = rest.find(": ");
    if (absl::ConsumePrefix(&rest, "model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown processor";
}

uint64_t PhysicalBytes() {
  return static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGE_SIZE));
}

// All work is done when a stream's call returns, so there is never anything to wait for.
class CpuEvent : public Event {
 public:
  bool Ready() const override { return true; }
  absl::Status Wait() override { return absl::OkStatus(); }
};

class CpuDevice : public Device {
 public:
  explicit CpuDevice(int threads) : threads_(threads), name_(ProcessorName()) {}

  std::string kind() const override { return "cpu"; }
  std::string name() const override { return name_; }

  absl::StatusOr<Buffer> Allocate(uint64_t bytes) override {
    if (bytes == 0) return Buffer();
    // Linux promises more than there is and kills later; what can never fit is refused here.
    if (bytes > PhysicalBytes()) {
      return absl::ResourceExhaustedError(absl::StrCat("the cpu device was asked for ", bytes,
                                                       " bytes; this machine has ", PhysicalBytes(),
                                                       ": use more ranks on more machines or a smaller micro-batch"));
    }
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
      return absl::ResourceExhaustedError(
          absl::StrCat("the cpu device was asked for ", bytes, " bytes: mmap: ", std::strerror(errno)));
    }
    madvise(memory, bytes, MADV_HUGEPAGE);  // only a wish: fewer TLB misses
    return Buffer(this, memory, bytes);
  }

  absl::StatusOr<std::unique_ptr<Stream>> NewStream() override { return std::make_unique<CpuStream>(threads_); }
  absl::StatusOr<std::unique_ptr<Event>> NewEvent() override { return std::make_unique<CpuEvent>(); }

  absl::StatusOr<std::unique_ptr<Kernel>> NewKernel(const OpDesc& desc) override {
    MR_RETURN_IF_ERROR(CheckOp(desc));
    for (const OpFamily& family : kFamilies) {
      if (family.op == desc.op) return family.make(desc);
    }
    return absl::UnimplementedError(absl::StrCat("the cpu backend has no kernel for operator '", desc.op, "'"));
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
  void Free(void* memory, uint64_t bytes) override { munmap(memory, bytes); }

  const int threads_;
  const std::string name_;
};

}  // namespace

bool CpuIsLinked() { return true; }

absl::StatusOr<std::unique_ptr<Device>> OpenCpu(const DeviceOptions& options) {
  if (options.threads < 1 || options.threads > kMostThreads) {
    return absl::InvalidArgumentError(
        absl::StrCat("a cpu device was asked for ", options.threads, " threads; it takes 1 to ", kMostThreads));
  }
  return std::make_unique<CpuDevice>(options.threads);
}

std::string CpuLibraryVersions() {
  const dnnl_version_t* version = dnnl_version();
  return absl::StrCat("oneDNN ", version->major, ".", version->minor, ".", version->patch);
}

}  // namespace millrace
