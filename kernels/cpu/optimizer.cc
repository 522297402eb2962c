#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/cpu/blocks.h"
#include "kernels/cpu/families.h"
#include "kernels/cpu/only_dtype.h"
#include "kernels/cpu/simd_targets.h"
#include "proto/status_macros.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/optimizer.cc"

#ifndef KERNELS_CPU_OPTIMIZER_CC_
#define KERNELS_CPU_OPTIMIZER_CC_
namespace millrace::cpu {
namespace {

struct AdamWFactors {
  float keep;  // 1 - learning rate * weight decay, or 1
  float gradient_scale;
  float beta1, beta2, one_minus_beta1, one_minus_beta2;
  float step;                 // learning rate / (1 - beta1^t)
  float inverse_correction2;  // 1 / (1 - beta2^t)
  float epsilon;
};

struct SgdFactors {
  float gradient_scale, decay, momentum, learning_rate;
  bool nesterov;
};

}  // namespace
}  // namespace millrace::cpu
#endif  // KERNELS_CPU_OPTIMIZER_CC_

#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace millrace::cpu::HWY_NAMESPACE {
namespace {

void AdamWStep(const AdamWFactors& f, float* p, float* g, float* m, float* v, size_t n) {
  const FloatTag d;
  const auto keep = hn::Set(d, f.keep), gradient_scale = hn::Set(d, f.gradient_scale);
  const auto beta1 = hn::Set(d, f.beta1), beta2 = hn::Set(d, f.beta2);
  const auto rest1 = hn::Set(d, f.one_minus_beta1), rest2 = hn::Set(d, f.one_minus_beta2);
  const auto step = hn::Set(d, f.step), correction = hn::Set(d, f.inverse_correction2);
  const auto epsilon = hn::Set(d, f.epsilon);
  for (size_t i = 0; i < n; i += hn::Lanes(d)) {
    const size_t count = n - i;
    const auto gradient = hn::Mul(LoadUpTo(d, g + i, count), gradient_scale);
    const auto first = hn::MulAdd(beta1, LoadUpTo(d, m + i, count), hn::Mul(rest1, gradient));
    const auto second = hn::MulAdd(beta2, LoadUpTo(d, v + i, count), hn::Mul(rest2, hn::Mul(gradient, gradient)));
    const auto divisor = hn::Add(hn::Sqrt(hn::Mul(second, correction)), epsilon);
    const auto kept = hn::Mul(keep, LoadUpTo(d, p + i, count));
    StoreUpTo(hn::Sub(kept, hn::Div(hn::Mul(step, first), divisor)), d, p + i, count);
    StoreUpTo(hn::Zero(d), d, g + i, count);
    StoreUpTo(first, d, m + i, count);
    StoreUpTo(second, d, v + i, count);
  }
}

void SgdStep(const SgdFactors& f, float* p, float* g, float* u, size_t n) {
  const FloatTag d;
  const auto gradient_scale = hn::Set(d, f.gradient_scale), decay = hn::Set(d, f.decay);
  const auto momentum = hn::Set(d, f.momentum), rate = hn::Set(d, f.learning_rate);
  for (size_t i = 0; i < n; i += hn::Lanes(d)) {
    const size_t count = n - i;
    const auto weight = LoadUpTo(d, p + i, count);
    const auto gradient = hn::MulAdd(decay, weight, hn::Mul(LoadUpTo(d, g + i, count), gradient_scale));
    const auto velocity = hn::MulAdd(momentum, LoadUpTo(d, u + i, count), gradient);
    const auto direction = f.nesterov ? hn::MulAdd(momentum, velocity, gradient) : velocity;
    StoreUpTo(hn::NegMulAdd(rate, direction, weight), d, p + i, count);
    StoreUpTo(hn::Zero(d), d, g + i, count);
    StoreUpTo(velocity, d, u + i, count);
  }
}

// In double, where a float's square is exact.
double SquaredSum(const float* x, size_t n) {
  const hn::ScalableTag<double> d;
  const hn::Rebind<float, decltype(d)> narrow;
  const size_t lanes = hn::Lanes(d);
  auto s0 = hn::Zero(d), s1 = hn::Zero(d), s2 = hn::Zero(d), s3 = hn::Zero(d);
  const auto add = [&](size_t i, hn::Vec<decltype(d)>& sum) HWY_ATTR {
    const auto v = hn::PromoteTo(d, hn::LoadU(narrow, x + i));
    sum = hn::MulAdd(v, v, sum);
  };
  size_t i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes) {
    add(i, s0);
    add(i + lanes, s1);
    add(i + 2 * lanes, s2);
    add(i + 3 * lanes, s3);
  }
  double sum = hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(s0, s1), hn::Add(s2, s3))));
  for (; i < n; ++i) sum += static_cast<double>(x[i]) * x[i];
  return sum;
}

}  // namespace
}  // namespace millrace::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace millrace::cpu {

HWY_EXPORT(AdamWStep);
HWY_EXPORT(SgdStep);
HWY_EXPORT(SquaredSum);

namespace {

// The elements of `hyper` (docs/operators.md).
enum Hyper { kRate, kScale, kSkip, kNumber, kBeta1, kBeta2, kEpsilon, kDecay, kMomentum, kNesterov };

absl::Status ZeroGradient(Stream& stream, const KernelArgs& args, int64_t elements) {
  return stream.Zero(args.outputs[1], elements * sizeof(float));
}

// What is stepped: the parameter, or, for one in 16 bits, the master behind the states, of which it is a rounded copy.
struct Weights {
  proto::DataType dtype = proto::F32;  // of the parameter
  int master = 0;                      // which output; 0: none

  static Weights Of(const OpDesc& desc, int outputs) {
    return {desc.output(0).dtype, static_cast<int>(desc.outputs.size()) > outputs ? outputs : 0};
  }
  float* Stepped(const KernelArgs& args) const { return static_cast<float*>(args.outputs[master]); }
  void Round(const KernelArgs& args, int64_t begin, int64_t end) const {
    if (master == 0) return;
    const float* const from = Stepped(args);
    if (dtype == proto::BF16) {
      for (int64_t i = begin; i < end; ++i) static_cast<BFloat16*>(args.outputs[0])[i] = BFloat16(from[i]);
    } else {
      for (int64_t i = begin; i < end; ++i) static_cast<_Float16*>(args.outputs[0])[i] = static_cast<_Float16>(from[i]);
    }
  }
};

// Loshchilov & Hutter, "Decoupled weight decay regularization", 2019.
class AdamWKernel : public Kernel {
 public:
  AdamWKernel(int64_t elements, bool decay, Weights weights)
      : Kernel({}), elements_(elements), decay_(decay), weights_(weights) {}

  absl::Status Run(Stream& stream, const KernelArgs& args) const override {
    const double* h = static_cast<const double*>(args.inputs[0]);
    if (h[kSkip] != 0) return ZeroGradient(stream, args, elements_);
    AdamWFactors f;
    f.keep = static_cast<float>(decay_ ? 1.0 - h[kRate] * h[kDecay] : 1.0);
    f.gradient_scale = static_cast<float>(h[kScale]);
    f.beta1 = static_cast<float>(h[kBeta1]);
    f.beta2 = static_cast<float>(h[kBeta2]);
    f.one_minus_beta1 = static_cast<float>(1.0 - h[kBeta1]);
    f.one_minus_beta2 = static_cast<float>(1.0 - h[kBeta2]);
    f.step = static_cast<float>(h[kRate] / (1.0 - std::pow(h[kBeta1], h[kNumber])));
    f.inverse_correction2 = static_cast<float>(1.0 / (1.0 - std::pow(h[kBeta2], h[kNumber])));
    f.epsilon = static_cast<float>(h[kEpsilon]);
    const auto tensor = [&args](int i) { return static_cast<float*>(args.outputs[i]); };
    ForBlocks(stream, elements_, kElementsPerTask, [&](int64_t b, int64_t e) {
      HWY_DYNAMIC_DISPATCH(AdamWStep)
      (f, weights_.Stepped(args) + b, tensor(1) + b, tensor(2) + b, tensor(3) + b, e - b);
      weights_.Round(args, b, e);
    });
    return absl::OkStatus();
  }

 private:
  const int64_t elements_;
  const bool decay_;
  const Weights weights_;
};

class SgdKernel : public Kernel {
 public:
  SgdKernel(int64_t elements, bool decay, Weights weights)
      : Kernel({}), elements_(elements), decay_(decay), weights_(weights) {}

  absl::Status Run(Stream& stream, const KernelArgs& args) const override {
    const double* h = static_cast<const double*>(args.inputs[0]);
    if (h[kSkip] != 0) return ZeroGradient(stream, args, elements_);
    const SgdFactors f = {static_cast<float>(h[kScale]), static_cast<float>(decay_ ? h[kDecay] : 0.0),
                          static_cast<float>(h[kMomentum]), static_cast<float>(h[kRate]), h[kNesterov] != 0};
    const auto tensor = [&args](int i) { return static_cast<float*>(args.outputs[i]); };
    ForBlocks(stream, elements_, kElementsPerTask, [&](int64_t b, int64_t e) {
      HWY_DYNAMIC_DISPATCH(SgdStep)(f, weights_.Stepped(args) + b, tensor(1) + b, tensor(2) + b, e - b);
      weights_.Round(args, b, e);
    });
    return absl::OkStatus();
  }

 private:
  const int64_t elements_;
  const bool decay_;
  const Weights weights_;
};

class SquaredSumsKernel : public Kernel {
 public:
  SquaredSumsKernel(int64_t elements, int64_t block) : Kernel({}), elements_(elements), block_(block) {}

  absl::Status Run(Stream& stream, const KernelArgs& args) const override {
    const float* g = static_cast<const float*>(args.inputs[0]);
    double* sums = static_cast<double*>(args.outputs[0]);
    ForBlocks(stream, CeilDiv(elements_, block_), RowsPerTask(block_), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        sums[i] = HWY_DYNAMIC_DISPATCH(SquaredSum)(g + i * block_, std::min(block_, elements_ - i * block_));
      }
    });
    return absl::OkStatus();
  }

 private:
  const int64_t elements_, block_;
};

}  // namespace

KernelOr NewOptimizer(const OpDesc& desc) {
  if (desc.op == "SquaredSums") {
    MR_RETURN_IF_ERROR(OnlyDtype(desc, proto::F32, /*skip_outputs=*/true));
    return std::make_unique<SquaredSumsKernel>(desc.input(0).elements(), desc.attributes.Int("block", 1));
  }
  const bool adam = desc.op == "AdamW";
  const Weights weights = Weights::Of(desc, adam ? 4 : 3);
  OpDesc tensors = desc;
  tensors.inputs.clear();  // hyper is f64
  if (weights.master != 0) tensors.outputs.erase(tensors.outputs.begin());
  MR_RETURN_IF_ERROR(OnlyDtype(tensors, proto::F32));
  const int64_t elements = desc.output(0).elements();
  const bool decay = desc.attributes.Int("decay", 0) != 0;
  if (adam) return std::make_unique<AdamWKernel>(elements, decay, weights);
  return std::make_unique<SgdKernel>(elements, decay, weights);
}

}  // namespace millrace::cpu
#endif  // HWY_ONCE
