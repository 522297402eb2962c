// A graph of operations for cuDNN, built through its backend API, and the plan that runs it as one kernel.
#ifndef KERNELS_CUDA_CUDNN_GRAPH_H_
#define KERNELS_CUDA_CUDNN_GRAPH_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/cuda/cudnn_library.h"

namespace millrace::cuda {

// Owns one backend descriptor. Movable.
class CudnnDescriptor {
 public:
  CudnnDescriptor() = default;
  CudnnDescriptor(const CudnnLibrary& cudnn, cudnnBackendDescriptor_t handle) : cudnn_(&cudnn), handle_(handle) {}
  CudnnDescriptor(CudnnDescriptor&& other) noexcept { *this = std::move(other); }
  CudnnDescriptor& operator=(CudnnDescriptor&& other) noexcept {
    std::swap(cudnn_, other.cudnn_);
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~CudnnDescriptor() {
    if (handle_ != nullptr) cudnn_->DestroyDescriptor(handle_);
  }
  cudnnBackendDescriptor_t get() const { return handle_; }

 private:
  const CudnnLibrary* cudnn_ = nullptr;
  cudnnBackendDescriptor_t handle_ = nullptr;
};

// Calls of the library, with the first error kept; after one, the others do nothing.
class CudnnCalls {
 public:
  explicit CudnnCalls(const CudnnLibrary& cudnn) : cudnn_(cudnn) {}

  CudnnDescriptor Make(cudnnBackendDescriptorType_t type);
  template <typename T>
  void Set(const CudnnDescriptor& descriptor, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
           const T& value) {
    SetAll(descriptor, name, type, 1, &value);
  }
  void SetAll(const CudnnDescriptor& descriptor, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
              int64_t count, const void* values);
  void Finalize(const CudnnDescriptor& descriptor, const char* what);
  void Note(cudnnStatus_t status, const char* what);
  // UNIMPLEMENTED when the library supports no such thing, else INTERNAL.
  absl::Status status() const { return status_; }

 private:
  const CudnnLibrary& cudnn_;
  absl::Status status_;
};

// A plan, and the scratch it needs.
struct CudnnPlan {
  CudnnDescriptor plan;
  int64_t workspace_bytes = 0;
};

// Tensors are four-dimensional and named by numbers that the graph gives out.
class CudnnGraph {
 public:
  using Dims = std::vector<int64_t>;
  using Id = int64_t;

  explicit CudnnGraph(const CudnnLibrary& cudnn) : cudnn_(cudnn), calls_(cudnn) {}

  Id Tensor(cudnnDataType_t type, const Dims& dims, const Dims& strides);  // in device memory
  Id Scalar();                                         // a float in host memory, given with the call
  Id Virtual(cudnnDataType_t type, const Dims& dims);  // never in memory; dense

  void Matmul(Id a, Id b, Id c);
  void Reduce(cudnnReduceTensorOp_t op, Id x, Id y);
  // y = op(x), or op(x, b); with `select`, y = select ? x : b.
  void Pointwise(cudnnPointwiseMode_t mode, Id x, Id y, Id b = 0, Id select = 0,
                 cudnnDataType_t compute = CUDNN_DATA_FLOAT);
  void Index(int64_t axis, Id like, Id y);  // y = the element's index along the axis

  // How the description has gone so far; no GPU is needed for it.
  absl::Status status() const { return calls_.status(); }

  // The first engine of the heuristic that is deterministic and accepts the graph. UNIMPLEMENTED: none.
  absl::StatusOr<CudnnPlan> Plan(cudnnHandle_t handle);

 private:
  Id Add(cudnnDataType_t type, const Dims& dims, const Dims& strides, bool is_virtual, bool by_value);
  void Operation(CudnnDescriptor what, CudnnDescriptor operation);
  void Point(const CudnnDescriptor& operation, cudnnBackendAttributeName_t name, const CudnnDescriptor& to);
  const CudnnDescriptor& Of(Id id) const { return tensors_[id - 1]; }
  bool IsDeterministic(const CudnnDescriptor& config) const;

  const CudnnLibrary& cudnn_;
  CudnnCalls calls_;
  std::vector<CudnnDescriptor> tensors_, parts_, operations_;
};

// What one run reads and writes: tensors by their numbers, scratch.
struct CudnnMemory {
  std::vector<int64_t> ids;
  std::vector<void*> addresses;
  void* workspace = nullptr;

  void Give(int64_t id, const void* address) {
    ids.push_back(id);
    addresses.push_back(const_cast<void*>(address));
  }
};
absl::Status RunPlan(const CudnnLibrary& cudnn, cudnnHandle_t handle, const CudnnPlan& plan, const CudnnMemory& memory);

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_CUDNN_GRAPH_H_
