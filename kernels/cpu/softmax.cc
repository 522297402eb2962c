#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kernels/cpu/blocks.h"
#include "kernels/cpu/families.h"
#include "kernels/cpu/only_dtype.h"
#include "kernels/cpu/softmax_rows.h"
#include "proto/status_macros.h"

namespace millrace::cpu {
namespace {

class SoftmaxKernel : public Kernel {
 public:
  explicit SoftmaxKernel(const OpDesc& desc)
      : Kernel({}), rows_(desc.input(0).rows()), columns_(desc.input(0).columns()), grad_(desc.op == "SoftmaxGrad") {}

  absl::Status Run(Stream& stream, const KernelArgs& args) const override {
    const float* a = static_cast<const float*>(args.inputs[0]);
    const float* b = grad_ ? static_cast<const float*>(args.inputs[1]) : nullptr;
    float* out = static_cast<float*>(args.outputs[0]);
    ForBlocks(stream, rows_, RowsPerTask(columns_), [&](int64_t begin, int64_t end) {
      for (int64_t at = begin * columns_; at < end * columns_; at += columns_) {
        if (grad_) {
          SoftmaxRowGrad(a + at, b + at, out + at, columns_);
        } else {
          SoftmaxRow(a + at, out + at, columns_);
        }
      }
    });
    return absl::OkStatus();
  }

 private:
  const int64_t rows_, columns_;
  const bool grad_;
};

struct Scores {
  int64_t rows, classes, ignore_index;

  explicit Scores(const OpDesc& desc)
      : rows(desc.input(0).rows()),
        classes(desc.input(0).columns()),
        ignore_index(desc.attributes.Int("ignore_index", -100)) {}

  absl::Status CheckLabels(const char* op, const int64_t* labels) const {
    for (int64_t r = 0; r < rows; ++r) {
      if (labels[r] != ignore_index && (labels[r] < 0 || labels[r] >= classes)) {
        return absl::InvalidArgumentError(absl::StrCat(op, ": label ", labels[r], " of row ", r, " is not in [0, ",
                                                       classes, ") nor ignore_index ", ignore_index,
                                                       ": check the data and the vocabulary"));
      }
    }
    return absl::OkStatus();
  }
};

// Each row's loss goes to scratch; they are added in the order of the rows.
class CrossEntropyKernel : public Kernel {
 public:
  CrossEntropyKernel(Scores scores, bool has_count, KernelNeeds needs)
      : Kernel(std::move(needs)), scores_(scores), has_count_(has_count) {}

  absl::Status Run(Stream& stream, const KernelArgs& args) const override {
    const Scores& s = scores_;
    const float* x = static_cast<const float*>(args.inputs[0]);
    const int64_t* labels = static_cast<const int64_t*>(args.inputs[1]);
    double* losses = static_cast<double*>(args.scratch);
    MR_RETURN_IF_ERROR(s.CheckLabels("SoftmaxCrossEntropyLoss", labels));
    ForBlocks(stream, s.rows, RowsPerTask(s.classes), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        if (labels[r] == s.ignore_index) continue;
        const float* row = x + r * s.classes;
        losses[r] = LogSumExpRow(row, s.classes) - row[labels[r]];
      }
    });
    double sum = 0, count = 0;
    for (int64_t r = 0; r < s.rows; ++r) {
      if (labels[r] == s.ignore_index) continue;
      sum += losses[r];
      ++count;
    }
    *static_cast<double*>(args.outputs[0]) = sum;
    if (has_count_) *static_cast<double*>(args.outputs[1]) = count;
    return absl::OkStatus();
  }

 private:
  const Scores scores_;
  const bool has_count_;
};

class CrossEntropyGradKernel : public Kernel {
 public:
  explicit CrossEntropyGradKernel(Scores scores) : Kernel({}), scores_(scores) {}

  absl::Status Run(Stream& stream, const KernelArgs& args) const override {
    const Scores& s = scores_;
    const float* x = static_cast<const float*>(args.inputs[0]);
    const int64_t* labels = static_cast<const int64_t*>(args.inputs[1]);
    float* dx = static_cast<float*>(args.outputs[0]);
    MR_RETURN_IF_ERROR(s.CheckLabels("SoftmaxCrossEntropyLossGrad", labels));
    ForBlocks(stream, s.rows, RowsPerTask(s.classes), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        float* row = dx + r * s.classes;
        if (labels[r] == s.ignore_index) {
          std::fill_n(row, s.classes, 0.0f);
        } else {
          SoftmaxRow(x + r * s.classes, row, s.classes);
          row[labels[r]] -= 1.0f;
        }
      }
    });
    return absl::OkStatus();
  }

 private:
  const Scores scores_;
};

}  // namespace

KernelOr NewSoftmax(const OpDesc& desc) {
  const bool loss = desc.op == "SoftmaxCrossEntropyLoss";
  MR_RETURN_IF_ERROR(OnlyDtype(desc, proto::F32, /*skip_outputs=*/loss));
  if (loss) {
    const Scores scores(desc);
    return std::make_unique<CrossEntropyKernel>(
        scores, desc.output(1).present(), KernelNeeds{static_cast<uint64_t>(scores.rows) * sizeof(double), 0, ""});
  }
  if (desc.op == "SoftmaxCrossEntropyLossGrad") return std::make_unique<CrossEntropyGradKernel>(Scores(desc));
  return std::make_unique<SoftmaxKernel>(desc);
}

}  // namespace millrace::cpu
