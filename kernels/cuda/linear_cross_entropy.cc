// LinearCrossEntropy: a chunk of rows at a time. The chunk's scores are one product; they become losses and, in place,
// their own gradient; two more products turn that into the gradients of the input and of the weight. Scores of all rows
// never exist. They are kept in the type of the input, as is usual with 16-bit training; every sum is float32 or wider.
#include "kernels/cuda/linear_cross_entropy.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kernels/cuda/cuda_kernel.h"
#include "kernels/cuda/element_types.h"
#include "kernels/cuda/families.h"
#include "kernels/cuda/product.h"
#include "kernels/cuda/softmax_chunk.h"

namespace millrace::cuda {

LinearCrossEntropySizes SizesOf(const OpDesc& desc) {
  LinearCrossEntropySizes s;
  s.type = ElementOf(desc.input(0));
  s.trans_b = desc.attributes.Int("transB", 1) != 0;
  s.rows = desc.input(2).elements();  // also where there are no columns
  s.width = desc.input(0).columns();
  s.classes = desc.input(1).dims[s.trans_b ? 0 : 1];
  s.ld = RoundUp(s.classes, kAccessBytes / SizeOf(s.type));
  s.input_gradient = desc.output(2).present();
  s.weight_gradient = desc.output(3).present();
  const int64_t most =
      std::max(kScoresPerChunk / std::max<int64_t>(1, s.classes) / kChunkUnit, int64_t{1}) * kChunkUnit;
  const int64_t chunks = CeilDiv(s.rows, most);
  s.chunk = chunks == 0 ? kChunkUnit : RoundUp(CeilDiv(s.rows, chunks), kChunkUnit);
  return s;
}

Product ScoresProduct(const LinearCrossEntropySizes& s, int64_t rows) {
  Product p = {.m = rows, .n = s.classes, .k = s.width, .trans_b = s.trans_b, .lda = s.width};
  p.ldb = s.trans_b ? s.width : s.classes;
  p.ldd = s.ld;
  p.in = p.out = s.type;
  return p;
}

Product InputGradientProduct(const LinearCrossEntropySizes& s, int64_t rows) {
  Product p = {.m = rows, .n = s.width, .k = s.classes, .trans_b = !s.trans_b, .lda = s.ld};
  p.ldb = s.trans_b ? s.width : s.classes;
  p.ldd = s.width;
  p.in = p.out = s.type;
  return p;
}

Product WeightGradientProduct(const LinearCrossEntropySizes& s, int64_t rows) {
  Product p = {.m = s.classes, .n = s.width, .k = rows, .trans_a = true, .lda = s.ld, .ldb = s.width, .ldd = s.width};
  if (!s.trans_b) {
    p.m = s.width;
    p.n = s.classes;
    p.lda = s.width;
    p.ldb = s.ld;
    p.ldd = s.classes;
  }
  p.in = s.type;
  p.out = Element::kF32;
  p.beta = 1;
  return p;
}

LinearCrossEntropyScratch::LinearCrossEntropyScratch(const LinearCrossEntropySizes& s) {
  const int64_t rows = std::min(s.chunk, s.rows);
  uint64_t at = 0;
  const auto take = [&at](uint64_t bytes) { return std::exchange(at, at + RoundUp(bytes, 256)); };
  scores = take(rows * s.ld * SizeOf(s.type));
  losses = take(s.rows * sizeof(double));
  uint64_t most = WorkspaceBytes(ScoresProduct(s, rows));
  if (s.input_gradient) most = std::max(most, WorkspaceBytes(InputGradientProduct(s, rows)));
  if (s.weight_gradient) most = std::max(most, WorkspaceBytes(WeightGradientProduct(s, rows)));
  workspace = take(most);
  total = at;
}

namespace {

// Products of a chunk of some number of rows.
struct ChunkProducts {
  std::unique_ptr<PreparedProduct> scores, input_gradient, weight_gradient;

  std::string choice() const {
    if (scores == nullptr) return "";  // no rows
    std::string text = scores->choice();
    if (input_gradient != nullptr) absl::StrAppend(&text, "; dX ", input_gradient->choice());
    if (weight_gradient != nullptr) absl::StrAppend(&text, "; dW ", weight_gradient->choice());
    return text;
  }
};

absl::StatusOr<ChunkProducts> PrepareChunk(const Machine& machine, const LinearCrossEntropySizes& s, int64_t rows) {
  ChunkProducts made;
  MR_ASSIGN_OR_RETURN(made.scores, PrepareProduct(machine, ScoresProduct(s, rows)));
  if (s.input_gradient) {
    MR_ASSIGN_OR_RETURN(made.input_gradient, PrepareProduct(machine, InputGradientProduct(s, rows)));
  }
  if (s.weight_gradient) {
    MR_ASSIGN_OR_RETURN(made.weight_gradient, PrepareProduct(machine, WeightGradientProduct(s, rows)));
  }
  return made;
}

class LinearCrossEntropyKernel : public CudaKernel {
 public:
  LinearCrossEntropyKernel(const LinearCrossEntropySizes& sizes, int64_t ignore, ChunkProducts whole,
                           ChunkProducts last)
      : CudaKernel("LinearCrossEntropy",
                   {.scratch_bytes = LinearCrossEntropyScratch(sizes).total,
                    .algorithm = (whole.scores != nullptr ? whole : last).choice()}),
        s_(sizes),
        at_(sizes),
        ignore_(ignore),
        whole_(std::move(whole)),
        last_(std::move(last)) {}

 protected:
  absl::Status Launch(CudaStream& stream, const KernelArgs& args) const override {
    for (int64_t first = 0; first < s_.rows; first += s_.chunk) {
      MR_RETURN_IF_ERROR(RunChunk(stream, args, first, std::min(s_.chunk, s_.rows - first)));
    }
    SumLossesCall sum = {.rows = s_.rows, .ignore = ignore_};
    sum.losses = Scratch<double>(args, at_.losses);
    sum.labels = In<int64_t>(args, 2);
    sum.loss = Out<double>(args, 0);
    sum.count = Out<double>(args, 1);
    return Launched(stream, LaunchSumLosses(sum, stream.handle()));
  }

 private:
  template <typename T>
  static T* Scratch(const KernelArgs& args, uint64_t offset) {
    return reinterpret_cast<T*>(static_cast<char*>(args.scratch) + offset);
  }

  absl::Status RunChunk(CudaStream& stream, const KernelArgs& args, int64_t first, int64_t rows) const {
    const ChunkProducts& products = rows == s_.chunk ? whole_ : last_;
    const int64_t begin = first * s_.width * SizeOf(s_.type);
    const char* x = In<char>(args, 0) + begin;
    void* const scores = Scratch<void>(args, at_.scores);
    void* const workspace = Scratch<void>(args, at_.workspace);
    MR_RETURN_IF_ERROR(
        products.scores->Run(stream, {.a = x, .b = args.inputs[1], .d = scores, .workspace = workspace}));
    SoftmaxChunkCall softmax = {.type = s_.type, .rows = rows, .classes = s_.classes, .ld = s_.ld, .ignore = ignore_};
    softmax.scores = scores;
    softmax.labels = In<int64_t>(args, 2) + first;
    softmax.losses = Scratch<double>(args, at_.losses) + first;
    softmax.gradient = s_.input_gradient || s_.weight_gradient;
    MR_RETURN_IF_ERROR(Launched(stream, LaunchSoftmaxChunk(softmax, stream.handle())));
    if (s_.weight_gradient) {
      void* const d_weight = args.outputs[3];
      ProductMemory memory = {.a = scores, .b = x, .c = d_weight, .d = d_weight, .workspace = workspace};
      if (!s_.trans_b) std::swap(memory.a, memory.b);
      MR_RETURN_IF_ERROR(products.weight_gradient->Run(stream, memory));
    }
    if (!s_.input_gradient) return absl::OkStatus();
    return products.input_gradient->Run(
        stream, {.a = scores, .b = args.inputs[1], .d = Out<char>(args, 2) + begin, .workspace = workspace});
  }

  const LinearCrossEntropySizes s_;
  const LinearCrossEntropyScratch at_;
  const int64_t ignore_;
  const ChunkProducts whole_, last_;  // of chunks of s_.chunk rows, and of the last one where it has fewer
};

}  // namespace

KernelOr NewLinearCrossEntropy(const Machine& machine, const OpDesc& desc) {
  MR_RETURN_IF_ERROR(OneFloatType(desc, /*skip_outputs=*/true));
  const LinearCrossEntropySizes s = SizesOf(desc);
  if (s.classes < 1) return absl::InvalidArgumentError("LinearCrossEntropy: Weight has no classes");
  ChunkProducts whole, last;
  if (s.rows >= s.chunk) {
    MR_ASSIGN_OR_RETURN(whole, PrepareChunk(machine, s, s.chunk));
  }
  if (s.rows % s.chunk != 0) {
    MR_ASSIGN_OR_RETURN(last, PrepareChunk(machine, s, s.rows % s.chunk));
  }
  return std::make_unique<LinearCrossEntropyKernel>(s, desc.attributes.Int("ignore_index", -100), std::move(whole),
                                                    std::move(last));
}

}  // namespace millrace::cuda
