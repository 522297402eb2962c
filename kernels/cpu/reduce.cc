#include <algorithm>
#include <utility>

#include "kernels/axes.h"
#include "kernels/cpu/blocks.h"
#include "kernels/cpu/families.h"
#include "kernels/cpu/only_dtype.h"
#include "kernels/cpu/reduce_rows.h"
#include "proto/status_macros.h"

namespace millrace::cpu {
namespace {

constexpr int64_t kColumnsPerTask = 512;
// Rows added to a sum of their own before that is added to the total: keeps the rounding error of long sums small.
constexpr int64_t kRowsPerSum = 64;

// Axes of the input; b is the output's stride, 0 where it is summed over.
struct Reduction {
  Axes kept, summed;  // the last axis of the input, the row, is in neither
  Axis row;
  double factor;
  bool accumulate;

  Reduction(const std::vector<int64_t>& from, const std::vector<int64_t>& to, double factor_, bool accumulate_)
      : factor(factor_), accumulate(accumulate_) {
    const std::vector<int64_t> a = DenseStrides(from), b = BroadcastStrides(to, from);
    Axes axes;
    for (size_t i = 0; i < from.size(); ++i) axes.push_back({from[i], a[i], b[i]});
    axes = Collapse(axes);
    row = axes.back();
    axes.pop_back();
    for (const Axis& axis : axes) (axis.b != 0 ? kept : summed).push_back(axis);
  }
};

template <typename T>
class ReduceKernel : public Kernel {
 public:
  explicit ReduceKernel(Reduction reduction) : Kernel({}), r_(std::move(reduction)) {}

  absl::Status Run(Stream& stream, const KernelArgs& args) const override {
    const T* x = static_cast<const T*>(args.inputs[0]);
    T* y = static_cast<T*>(args.outputs[0]);
    const int64_t outputs = Steps(r_.kept, r_.kept.size()), sums = Steps(r_.summed, r_.summed.size());
    if (r_.row.b != 0) {
      const int64_t pieces = CeilDiv(r_.row.size, kColumnsPerTask);
      const int64_t block = RowsPerTask(std::min(r_.row.size, kColumnsPerTask) * sums);
      ForBlocks(stream, outputs * pieces, block, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) SumOfRows(x, y, i / pieces, i % pieces * kColumnsPerTask, sums);
      });
    } else {
      ForBlocks(stream, outputs, RowsPerTask(r_.row.size * sums), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) SumWithinRows(x, y, i, sums);
      });
    }
    return absl::OkStatus();
  }

 private:
  // Columns from `column` on of the rows that make output `output`.
  void SumOfRows(const T* x, T* y, int64_t output, int64_t column, int64_t sums) const {
    const Offsets at = OffsetsAt(r_.kept, r_.kept.size(), output);
    const int64_t n = std::min(kColumnsPerTask, r_.row.size - column);
    T total[kColumnsPerTask] = {}, part[kColumnsPerTask];
    for (int64_t s = 0; s < sums; s += kRowsPerSum) {
      std::fill_n(part, n, T{0});
      for (int64_t i = s; i < std::min(sums, s + kRowsPerSum); ++i) {
        AddRow(x + at.a + OffsetsAt(r_.summed, r_.summed.size(), i).a + column, n, part);
      }
      AddRow(part, n, total);
    }
    T* to = y + at.b + column;
    if (r_.accumulate) return AddRow(total, n, to);
    ScaleRow(total, static_cast<T>(r_.factor), n, to);
  }

  void SumWithinRows(const T* x, T* y, int64_t output, int64_t sums) const {
    const Offsets at = OffsetsAt(r_.kept, r_.kept.size(), output);
    double total = 0;
    for (int64_t i = 0; i < sums; ++i) {
      const T* from = x + at.a + OffsetsAt(r_.summed, r_.summed.size(), i).a;
      for (int64_t c = 0; c < r_.row.size; c += kElementsPerTask) {
        total += SumRow(from + c, std::min(kElementsPerTask, r_.row.size - c));
      }
    }
    T& to = y[at.b];
    to = r_.accumulate ? to + static_cast<T>(total) : static_cast<T>(total * r_.factor);
  }

  const Reduction r_;
};

// The input's dims with 1 where it is summed over.
std::vector<int64_t> KeptDims(const OpDesc& desc) {
  std::vector<int64_t> dims = desc.input(0).dims;
  const int64_t rank = static_cast<int64_t>(dims.size());
  const std::vector<int64_t> axes = desc.attributes.Ints("axes");
  if (axes.empty()) return std::vector<int64_t>(rank, 1);
  for (int64_t axis : axes) dims[axis < 0 ? axis + rank : axis] = 1;
  return dims;
}

}  // namespace

KernelOr NewReduce(const OpDesc& desc) {
  const bool doubles = desc.input(0).dtype == proto::F64;
  MR_RETURN_IF_ERROR(OnlyDtype(desc, doubles ? proto::F64 : proto::F32));
  const TensorSpec& x = desc.input(0);
  const std::vector<int64_t> to = desc.op == "ReduceSumTo" ? desc.output(0).dims : KeptDims(desc);
  const double terms = static_cast<double>(x.elements()) / std::max<int64_t>(1, desc.output(0).elements());
  Reduction reduction(x.dims, to, desc.op == "ReduceMean" ? 1.0 / terms : 1.0,
                      desc.op == "ReduceSumTo" && desc.attributes.Int("accumulate", 0) != 0);
  if (doubles) return std::make_unique<ReduceKernel<double>>(std::move(reduction));
  return std::make_unique<ReduceKernel<float>>(std::move(reduction));
}

}  // namespace millrace::cpu
