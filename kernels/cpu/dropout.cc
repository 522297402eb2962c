#include <cmath>

#include "kernels/cpu/blocks.h"
#include "kernels/cpu/elementwise.h"
#include "kernels/cpu/only_dtype.h"
#include "kernels/random.h"
#include "proto/status_macros.h"

namespace millrace::cpu {
namespace {

static_assert(kElementsPerTask % 4 == 0, "a Philox block of four elements must not be split between tasks");

class DropoutKernel : public Kernel {
 public:
  DropoutKernel(double ratio, uint64_t random_key, int64_t elements)
      : Kernel({}),
        random_key_(random_key),
        elements_(elements),
        // Uniform(e) >= ratio, in 24-bit integers.
        threshold_(static_cast<uint32_t>(std::ceil(ratio * 0x1p24))),
        scale_(static_cast<float>(1.0 / (1.0 - ratio))) {}

  absl::Status Run(Stream& stream, const KernelArgs& args) const override {
    const Philox philox(args.key.seed, random_key_, args.key.step, args.key.micro_batch);
    const float* x = static_cast<const float*>(args.inputs[0]);
    float* y = static_cast<float*>(args.outputs[0]);
    ForBlocks(stream, elements_, kElementsPerTask, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i += 4) {
        const auto words = philox.Block(i / 4);
        for (int64_t j = 0; j < std::min<int64_t>(4, end - i); ++j) {
          y[i + j] = words[j] >> 8 >= threshold_ ? x[i + j] * scale_ : 0.0f;
        }
      }
    });
    return absl::OkStatus();
  }

 private:
  const uint64_t random_key_;
  const int64_t elements_;
  const uint32_t threshold_;
  const float scale_;
};

}  // namespace

KernelOr NewDropout(const OpDesc& desc) {
  MR_RETURN_IF_ERROR(OnlyDtype(desc, proto::F32));
  return std::make_unique<DropoutKernel>(desc.attributes.Float("ratio", 0.5), desc.attributes.Bits("random_key", 0),
                                         desc.input(0).elements());
}

}  // namespace millrace::cpu
