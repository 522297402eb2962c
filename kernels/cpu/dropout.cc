#include <algorithm>
#include <cmath>

#include "kernels/cpu/blocks.h"
#include "kernels/cpu/elementwise.h"
#include "kernels/cpu/only_dtype.h"
#include "kernels/cpu/simd_targets.h"
#include "kernels/random.h"
#include "proto/status_macros.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/dropout.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace millrace::cpu::HWY_NAMESPACE {
namespace {

using WordTag = hn::RebindToUnsigned<FloatTag>;
using WordVec = hn::Vec<WordTag>;

#if HWY_TARGET == HWY_SCALAR

HWY_INLINE void PhiloxWords(const Philox& philox, uint64_t block, uint32_t* words) {
  const auto four = philox.Block(block);
  std::copy(four.begin(), four.end(), words);
}

#else

// x * multiplier in 64 bits: the upper and lower halves.
HWY_INLINE void Multiply(WordVec x, uint32_t multiplier, WordVec& high, WordVec& low) {
  const WordTag d;
  const hn::RepartitionToWide<WordTag> wide;
  const auto m = hn::Set(d, multiplier);
  const auto even = hn::MulEven(x, m);
  const auto odd = hn::MulEven(hn::BitCast(d, hn::ShiftRight<32>(hn::BitCast(wide, x))), m);
  high = hn::OddEven(hn::BitCast(d, odd), hn::BitCast(d, hn::ShiftRight<32>(even)));
  low = hn::OddEven(hn::BitCast(d, hn::ShiftLeft<32>(odd)), hn::BitCast(d, even));
}

// Philox::Block of as many blocks as there are lanes, one after the other. `block` is a multiple of the lanes.
HWY_INLINE void PhiloxWords(const Philox& philox, uint64_t block, uint32_t* words) {
  const WordTag d;
  auto c0 = hn::Iota(d, static_cast<uint32_t>(block));
  auto c1 = hn::Set(d, static_cast<uint32_t>(block >> 32));
  auto c2 = hn::Set(d, philox.micro_batch), c3 = hn::Set(d, philox.step);
  uint32_t k0 = philox.key0, k1 = philox.key1;
  for (int round = 0; round < 10; ++round) {
    WordVec high0, low0, high1, low1;
    Multiply(c0, 0xD2511F53u, high0, low0);
    Multiply(c2, 0xCD9E8D57u, high1, low1);
    c0 = hn::Xor(hn::Xor(high1, c1), hn::Set(d, k0));
    c1 = low1;
    c2 = hn::Xor(hn::Xor(high0, c3), hn::Set(d, k1));
    c3 = low0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  hn::StoreInterleaved4(c0, c1, c2, c3, d, words);
}

#endif

// Elements [begin, end): x * scale where the element's 24 bits are at least the threshold, else 0.
void DropRange(const Philox& philox, uint32_t threshold, float scale, const float* x, float* y, int64_t begin,
               int64_t end) {
  const FloatTag d;
  const hn::RebindToSigned<FloatTag> di;
  const int64_t lanes = hn::Lanes(d);
  const auto factor = hn::Set(d, scale);
  const auto below = hn::Set(di, static_cast<int32_t>(threshold) - 1);
  HWY_ALIGN uint32_t words[4 * hn::MaxLanes(d)];
  for (int64_t i = begin; i < end; i += 4 * lanes) {
    PhiloxWords(philox, i / 4, words);
    for (int64_t j = i; j < std::min(end, i + 4 * lanes); j += lanes) {
      const auto bits = hn::BitCast(di, hn::ShiftRight<8>(hn::Load(WordTag(), words + (j - i))));
      const auto keep = hn::RebindMask(d, hn::Gt(bits, below));
      StoreUpTo(hn::IfThenElseZero(keep, hn::Mul(factor, LoadUpTo(d, x + j, end - j))), d, y + j, end - j);
    }
  }
}

}  // namespace
}  // namespace millrace::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace millrace::cpu {

HWY_EXPORT(DropRange);

namespace {

static_assert(kElementsPerTask % 256 == 0, "Philox blocks of one vector must not be split between tasks");

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
      HWY_DYNAMIC_DISPATCH(DropRange)(philox, threshold_, scale_, x, y, begin, end);
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
#endif  // HWY_ONCE
