// The base of every prepared kernel of the CUDA backend.
#ifndef KERNELS_CUDA_CUDA_KERNEL_H_
#define KERNELS_CUDA_CUDA_KERNEL_H_

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "kernels/cuda/cuda_stream.h"
#include "kernels/device.h"
#include "proto/status_macros.h"

namespace millrace::cuda {

class CudaKernel : public Kernel {
 public:
  // `name` stands in messages: the operator and what form of it.
  CudaKernel(std::string name, KernelNeeds needs) : Kernel(std::move(needs)), name_(std::move(name)) {}

  absl::Status Run(Stream& stream, const KernelArgs& args) const final {
    CudaStream& cuda_stream = static_cast<CudaStream&>(stream);
    MR_RETURN_IF_ERROR(cuda_stream.target().Enter());
    return Launch(cuda_stream, args);
  }

 protected:
  // Queues the work and returns; the stream's device is current. Called from any thread, on several streams at once.
  virtual absl::Status Launch(CudaStream& stream, const KernelArgs& args) const = 0;

  // What a LaunchX function returned.
  absl::Status Launched(CudaStream& stream, int code) const {
    if (code == kSuccess) return absl::OkStatus();
    return stream.target().Check(code, "launching " + name_);
  }
  const std::string& name() const { return name_; }

 private:
  const std::string name_;
};

// Addresses of one call, typed.
template <typename T = void>
const T* In(const KernelArgs& args, int i) {
  return static_cast<const T*>(args.inputs[i]);
}
template <typename T = void>
T* Out(const KernelArgs& args, int i) {
  return static_cast<T*>(args.outputs[i]);
}

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_CUDA_KERNEL_H_
