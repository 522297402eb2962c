// The graph is the pattern that cuDNN's attention engines know: product, scale, causal mask by comparing indices,
// softmax in its steps, product. Only its inputs, its outputs and the log-sum-exp are ever in memory.
//
// The backward pass stays with our own kernels: on Hopper the library's deterministic gradient keeps dP of all heads in
// memory, two bytes per score.
#include "kernels/cuda/cudnn_attention.h"

#include <map>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "kernels/cuda/cuda_kernel.h"
#include "kernels/cuda/cudnn_graph.h"
#include "kernels/cuda/cudnn_library.h"
#include "proto/status_macros.h"

namespace millrace::cuda {
namespace {

constexpr float kNothing = -__builtin_huge_valf();

}  // namespace

CudnnForward DescribeForward(const AttentionShape& s, bool has_lse, CudnnGraph* into) {
  CudnnGraph& graph = *into;
  const cudnnDataType_t type = s.type == Element::kBF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_HALF;
  const CudnnGraph::Dims scores_dims = {s.batch, s.q_heads, s.queries, s.keys};
  const CudnnGraph::Dims row_dims = {s.batch, s.q_heads, s.queries, 1};
  const int64_t width = s.width;
  const auto scores = [&](cudnnDataType_t t = CUDNN_DATA_FLOAT) { return graph.Virtual(t, scores_dims); };
  const auto row = [&] { return graph.Virtual(CUDNN_DATA_FLOAT, row_dims); };

  CudnnForward f;
  f.q = graph.Tensor(type, {s.batch, s.q_heads, s.queries, width}, {s.queries * s.q_row, width, s.q_row, 1});
  f.k = graph.Tensor(type, {s.batch, s.kv_heads, width, s.keys}, {s.keys * s.kv_row, width, 1, s.kv_row});  // K'
  f.v = graph.Tensor(type, {s.batch, s.kv_heads, s.keys, width}, {s.keys * s.kv_row, width, s.kv_row, 1});
  f.y = graph.Tensor(type, {s.batch, s.q_heads, s.queries, width}, {s.queries * s.y_row(), width, s.y_row(), 1});
  f.scale = graph.Scalar();

  const auto product = scores();
  graph.Matmul(f.q, f.k, product);
  auto last = scores();
  graph.Pointwise(CUDNN_POINTWISE_MUL, product, last, f.scale);
  if (s.causal) {
    f.nothing = graph.Scalar();
    const auto query = scores(CUDNN_DATA_INT32), key = scores(CUDNN_DATA_INT32), visible = scores(CUDNN_DATA_BOOLEAN);
    graph.Index(2, last, query);
    graph.Index(3, last, key);
    graph.Pointwise(CUDNN_POINTWISE_CMP_GE, query, visible, key, 0, CUDNN_DATA_BOOLEAN);
    const auto masked = scores();
    graph.Pointwise(CUDNN_POINTWISE_BINARY_SELECT, last, masked, f.nothing, visible);
    last = masked;
  }
  const auto most = row(), total = row(), shifted = scores(), weights = scores();
  graph.Reduce(CUDNN_REDUCE_TENSOR_MAX, last, most);
  graph.Pointwise(CUDNN_POINTWISE_SUB, last, shifted, most);
  graph.Pointwise(CUDNN_POINTWISE_EXP, shifted, weights);
  graph.Reduce(CUDNN_REDUCE_TENSOR_ADD, weights, total);
  if (has_lse) {
    f.lse = graph.Tensor(CUDNN_DATA_FLOAT, row_dims, {s.q_heads * s.queries, s.queries, 1, 1});
    const auto log_total = row();
    graph.Pointwise(CUDNN_POINTWISE_LOG, total, log_total);
    graph.Pointwise(CUDNN_POINTWISE_ADD, most, f.lse, log_total);
  }
  const auto chances = scores(type);
  graph.Pointwise(CUDNN_POINTWISE_DIV, weights, chances, total);
  graph.Matmul(chances, f.v, f.y);
  return f;
}

namespace {

// One handle per stream: a handle remembers its stream and may keep memory for it.
class Handles {
 public:
  Handles(const CudnnLibrary& cudnn, Target target) : cudnn_(cudnn), target_(target) {}
  ~Handles() {
    for (const auto& [stream, handle] : handles_) cudnn_.Destroy(handle);
  }

  absl::StatusOr<cudnnHandle_t> Of(StreamHandle stream) {
    absl::MutexLock lock(&mutex_);
    MR_RETURN_IF_ERROR(target_.Enter());
    CudnnCalls calls(cudnn_);
    cudnnHandle_t& handle = handles_[stream];
    if (handle == nullptr) calls.Note(cudnn_.Create(&handle), "opening the device");
    MR_RETURN_IF_ERROR(calls.status());
    // Each time, because another stream may have got the address of one that is gone.
    calls.Note(cudnn_.SetStream(handle, stream), "choosing a stream");
    MR_RETURN_IF_ERROR(calls.status());
    return handle;
  }
  const CudnnLibrary& cudnn() const { return cudnn_; }

 private:
  const CudnnLibrary& cudnn_;
  const Target target_;
  absl::Mutex mutex_;
  std::map<StreamHandle, cudnnHandle_t> handles_ ABSL_GUARDED_BY(mutex_);
};

class FusedForward : public CudaKernel {
 public:
  FusedForward(std::shared_ptr<Handles> handles, const AttentionShape& shape, const CudnnForward& graph, CudnnPlan plan)
      : CudaKernel("Attention by cuDNN", {.scratch_bytes = static_cast<uint64_t>(plan.workspace_bytes)}),
        handles_(std::move(handles)),
        shape_(shape),
        graph_(graph),
        plan_(std::move(plan)) {}

 protected:
  absl::Status Launch(CudaStream& stream, const KernelArgs& args) const override {
    const int64_t size = SizeOf(shape_.type);
    const char* const q = In<char>(args, 0);
    CudnnMemory memory;
    memory.Give(graph_.q, q);
    memory.Give(graph_.k, shape_.packed ? q + shape_.q_heads * shape_.width * size : args.inputs[1]);
    memory.Give(graph_.v,
                shape_.packed ? q + (shape_.q_heads + shape_.kv_heads) * shape_.width * size : args.inputs[2]);
    memory.Give(graph_.y, args.outputs[0]);
    if (graph_.lse != 0) memory.Give(graph_.lse, args.outputs[1]);
    memory.Give(graph_.scale, &shape_.scale);
    if (graph_.nothing != 0) memory.Give(graph_.nothing, &kNothing);
    memory.workspace = args.scratch;
    MR_ASSIGN_OR_RETURN(const cudnnHandle_t handle, handles_->Of(stream.handle()));
    return RunPlan(handles_->cudnn(), handle, plan_, memory);
  }

 private:
  const std::shared_ptr<Handles> handles_;
  const AttentionShape shape_;
  const CudnnForward graph_;
  const CudnnPlan plan_;
};

class CudnnAttention : public AttentionLibrary {
 public:
  explicit CudnnAttention(std::shared_ptr<Handles> handles) : handles_(std::move(handles)) {}

  KernelOr NewForward(const AttentionShape& shape, bool has_lse) override {
    MR_ASSIGN_OR_RETURN(const cudnnHandle_t handle, handles_->Of(nullptr));
    CudnnGraph graph(handles_->cudnn());
    const CudnnForward forward = DescribeForward(shape, has_lse, &graph);
    MR_ASSIGN_OR_RETURN(CudnnPlan plan, graph.Plan(handle));
    return std::make_unique<FusedForward>(handles_, shape, forward, std::move(plan));
  }
  KernelOr NewBackward(const AttentionShape&) override {
    return absl::UnimplementedError("the gradient of attention is computed by our own kernels");
  }

 private:
  const std::shared_ptr<Handles> handles_;
};

}  // namespace

absl::StatusOr<std::shared_ptr<AttentionLibrary>> MakeCudnnAttention(Target target) {
  MR_ASSIGN_OR_RETURN(const CudnnLibrary* const cudnn, CudnnLibrary::Load());
  return std::shared_ptr<AttentionLibrary>(std::make_shared<CudnnAttention>(std::make_shared<Handles>(*cudnn, target)));
}

}  // namespace millrace::cuda
