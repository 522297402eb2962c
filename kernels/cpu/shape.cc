#include "kernels/cpu/shape.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kernels/cpu/copy_kernel.h"

namespace millrace::cpu {
namespace {

// A view in a plan; as a call of its own, two copies.
class ForkKernel : public Kernel {
 public:
  explicit ForkKernel(int64_t bytes) : Kernel({}), bytes_(bytes) {}
  absl::Status Run(Stream& stream, const KernelArgs& args) const override {
    for (int i = 0; i < 2; ++i) {
      if (args.outputs[i] == args.inputs[0]) continue;
      if (absl::Status s = stream.Copy(args.outputs[i], args.inputs[0], bytes_); !s.ok()) return s;
    }
    return absl::OkStatus();
  }

 private:
  const int64_t bytes_;
};

}  // namespace

KernelOr NewShape(const OpDesc& desc) {
  if (desc.op == "Reshape") return std::make_unique<CopyKernel>(desc.input(0).bytes());
  if (desc.op == "Fork") return std::make_unique<ForkKernel>(desc.input(0).bytes());
  if (desc.op == "Transpose") return NewTranspose(desc);
  if (desc.op == "Split") return NewSplit(desc);
  if (desc.op == "Concat") return NewConcat(desc);
  if (desc.op == "Expand") return NewExpand(desc);
  return absl::NotFoundError(absl::StrCat("'", desc.op, "' is no shape operator"));
}

}  // namespace millrace::cpu
