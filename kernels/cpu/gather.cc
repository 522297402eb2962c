#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kernels/cpu/blocks.h"
#include "kernels/cpu/families.h"
#include "kernels/cpu/only_dtype.h"
#include "kernels/cpu/simd_targets.h"
#include "proto/status_macros.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/gather.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace millrace::cpu::HWY_NAMESPACE {
namespace {

// table[indices[i]][begin, end) += rows[i][begin, end), in the order of i.
void AddRows(const float* rows, const int64_t* indices, int64_t count, int64_t columns, int64_t begin, int64_t end,
             float* table) {
  const FloatTag d;
  for (int64_t i = 0; i < count; ++i) {
    const float* from = rows + i * columns;
    float* to = table + indices[i] * columns;
    for (int64_t c = begin; c < end; c += hn::Lanes(d)) {
      StoreUpTo(hn::Add(LoadUpTo(d, to + c, end - c), LoadUpTo(d, from + c, end - c)), d, to + c, end - c);
    }
  }
}

}  // namespace
}  // namespace millrace::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace millrace::cpu {

HWY_EXPORT(AddRows);

namespace {

constexpr int64_t kColumnsPerTask = 128;

absl::Status CheckIndices(const char* op, const int64_t* indices, int64_t count, int64_t rows) {
  for (int64_t i = 0; i < count; ++i) {
    if (indices[i] < 0 || indices[i] >= rows) {
      return absl::InvalidArgumentError(absl::StrCat(op, ": index ", indices[i], " at position ", i, " is not in [0, ",
                                                     rows, "): check the data and the vocabulary"));
    }
  }
  return absl::OkStatus();
}

class GatherKernel : public Kernel {
 public:
  explicit GatherKernel(const OpDesc& desc)
      : Kernel({}),
        rows_(desc.input(0).dims[0]),
        row_bytes_(rows_ == 0 ? 0 : desc.input(0).bytes() / rows_),
        count_(desc.input(1).elements()) {}

  absl::Status Run(Stream& stream, const KernelArgs& args) const override {
    const char* table = static_cast<const char*>(args.inputs[0]);
    const int64_t* indices = static_cast<const int64_t*>(args.inputs[1]);
    char* y = static_cast<char*>(args.outputs[0]);
    MR_RETURN_IF_ERROR(CheckIndices("Gather", indices, count_, rows_));
    ForBlocks(stream, count_, RowsPerTask(row_bytes_ / 4), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        std::memcpy(y + i * row_bytes_, table + indices[i] * row_bytes_, row_bytes_);
      }
    });
    return absl::OkStatus();
  }

 private:
  const int64_t rows_, row_bytes_, count_;
};

// Divided by columns, so that every task adds its part of all rows in the order of the indices.
class GatherGradKernel : public Kernel {
 public:
  explicit GatherGradKernel(const OpDesc& desc)
      : Kernel({}),
        rows_(desc.output(0).dims[0]),
        columns_(rows_ == 0 ? 0 : desc.output(0).elements() / rows_),
        count_(desc.input(1).elements()) {}

  absl::Status Run(Stream& stream, const KernelArgs& args) const override {
    const float* dy = static_cast<const float*>(args.inputs[0]);
    const int64_t* indices = static_cast<const int64_t*>(args.inputs[1]);
    float* table = static_cast<float*>(args.outputs[0]);
    MR_RETURN_IF_ERROR(CheckIndices("GatherGrad", indices, count_, rows_));
    ForBlocks(stream, columns_, kColumnsPerTask, [&](int64_t begin, int64_t end) {
      HWY_DYNAMIC_DISPATCH(AddRows)(dy, indices, count_, columns_, begin, end, table);
    });
    return absl::OkStatus();
  }

 private:
  const int64_t rows_, columns_, count_;
};

}  // namespace

KernelOr NewGather(const OpDesc& desc) {
  if (desc.op == "Gather") return std::make_unique<GatherKernel>(desc);
  MR_RETURN_IF_ERROR(OnlyDtype(desc, proto::F32));
  return std::make_unique<GatherGradKernel>(desc);
}

}  // namespace millrace::cpu
#endif  // HWY_ONCE
