// One call of the CPU backend against the same call of the reference backend, and against itself with other numbers of
// threads, bit for bit.
#ifndef TESTS_KERNELS_CPU_COMPARE_WITH_REFERENCE_H_
#define TESTS_KERNELS_CPU_COMPARE_WITH_REFERENCE_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kernels/cpu/cpu.h"
#include "kernels/reference/reference.h"

namespace millrace {

inline TensorSpec F32(std::vector<int64_t> dims) { return {proto::F32, std::move(dims)}; }
inline TensorSpec F64(std::vector<int64_t> dims) { return {proto::F64, std::move(dims)}; }
inline TensorSpec I64(std::vector<int64_t> dims) { return {proto::I64, std::move(dims)}; }

struct Case {
  OpDesc desc;
  double spread = 3;           // floating-point inputs lie in [-spread, spread)
  int64_t labels = 7;          // integer inputs lie in [0, labels)
  double tolerance = 2e-6;     // of the largest absolute value of the output
  std::vector<double> first;   // instead of random values, input 0
  double least_scale = 1e-30;  // what the tolerance is taken of, at least
};

using Bytes = std::vector<char>;

inline double Element(const TensorSpec& spec, const Bytes& bytes, int64_t i) {
  switch (spec.dtype) {
    case proto::F32:
      return reinterpret_cast<const float*>(bytes.data())[i];
    case proto::F64:
      return reinterpret_cast<const double*>(bytes.data())[i];
    case proto::BF16:
      return static_cast<float>(reinterpret_cast<const BFloat16*>(bytes.data())[i]);
    case proto::I32:
      return reinterpret_cast<const int32_t*>(bytes.data())[i];
    default:
      return static_cast<double>(reinterpret_cast<const int64_t*>(bytes.data())[i]);
  }
}

inline Bytes Random(const TensorSpec& spec, uint32_t seed, const Case& c) {
  Bytes bytes(spec.bytes());
  for (int64_t i = 0; i < spec.elements(); ++i) {
    uint32_t bits = (static_cast<uint32_t>(i) + seed * 7919u) * 2654435761u;
    bits = (bits ^ bits >> 15) * 2246822519u;
    bits ^= bits >> 13;
    const double value = (bits * 0x1p-31 - 1) * c.spread;
    if (spec.dtype == proto::F32) reinterpret_cast<float*>(bytes.data())[i] = static_cast<float>(value);
    if (spec.dtype == proto::F64) reinterpret_cast<double*>(bytes.data())[i] = value;
    if (spec.dtype == proto::BF16) reinterpret_cast<BFloat16*>(bytes.data())[i] = BFloat16(static_cast<float>(value));
    if (spec.dtype == proto::I32) reinterpret_cast<int32_t*>(bytes.data())[i] = static_cast<int32_t>(bits);
    if (spec.dtype == proto::I64) reinterpret_cast<int64_t*>(bytes.data())[i] = bits % c.labels;
  }
  return bytes;
}

struct Operands {
  std::vector<Bytes> inputs, outputs;
};

// Outputs hold small random values first, for those that are added to; second moments must not be negative.
inline Operands Make(const Case& c) {
  Operands o;
  for (size_t i = 0; i < c.desc.inputs.size(); ++i) o.inputs.push_back(Random(c.desc.inputs[i], i + 1, c));
  for (size_t i = 0; i < c.first.size(); ++i) reinterpret_cast<double*>(o.inputs[0].data())[i] = c.first[i];
  for (size_t i = 0; i < c.desc.outputs.size(); ++i) o.outputs.push_back(Random(c.desc.outputs[i], i + 101, c));
  if (c.desc.op == "AdamW") {
    float* v = reinterpret_cast<float*>(o.outputs[3].data());
    for (int64_t i = 0; i < c.desc.outputs[3].elements(); ++i) v[i] = std::abs(v[i]);
  }
  return o;
}

inline absl::Status RunOnce(Device& device, const OpDesc& desc, Operands* o) {
  auto kernel = device.NewKernel(desc);
  if (!kernel.ok()) return kernel.status();
  auto stream = device.NewStream();
  std::vector<void*> inputs, outputs;
  for (Bytes& b : o->inputs) inputs.push_back(b.empty() ? nullptr : b.data());
  for (Bytes& b : o->outputs) outputs.push_back(b.empty() ? nullptr : b.data());
  auto scratch = device.Allocate((*kernel)->needs().scratch_bytes);
  if (scratch->memory() != nullptr) std::memset(scratch->memory(), 0xff, (*kernel)->needs().scratch_bytes);
  KernelArgs args;
  args.inputs = inputs.data();
  args.outputs = outputs.data();
  args.scratch = scratch->memory();
  args.key = {17, 3, 5};
  return (*kernel)->Run(**stream, args);
}

inline void Compare(const Case& c) {
  SCOPED_TRACE(c.desc.Key());
  Operands expected = Make(c);
  auto reference = OpenReference({});
  ASSERT_TRUE(reference.ok());
  // The forward results that a gradient reads must be those of its inputs.
  if (c.desc.op == "AttentionGrad" || c.desc.op == "LayerNormalizationGrad" || c.desc.op == "RMSNormalizationGrad") {
    OpDesc forward = c.desc;
    const bool attention = c.desc.op == "AttentionGrad", layer = c.desc.op == "LayerNormalizationGrad";
    forward.op = c.desc.op.substr(0, c.desc.op.size() - 4);
    const int data_inputs = attention ? 3 : 2;
    forward.inputs.assign(c.desc.inputs.begin() + 1, c.desc.inputs.begin() + 1 + data_inputs);
    forward.outputs.assign(c.desc.inputs.begin() + 1 + data_inputs, c.desc.inputs.end());
    if (!attention) forward.outputs.insert(forward.outputs.begin(), c.desc.inputs[0]);
    if (layer) forward.inputs.push_back({});
    Operands o;
    for (const TensorSpec& spec : forward.outputs) o.outputs.emplace_back(spec.bytes());
    for (int i = 0; i < data_inputs; ++i) o.inputs.push_back(expected.inputs[1 + i]);
    if (layer) o.inputs.emplace_back();
    ASSERT_EQ(RunOnce(**reference, forward, &o), absl::OkStatus());
    for (size_t i = attention ? 0 : 1, to = 1 + data_inputs; i < o.outputs.size(); ++i) {
      expected.inputs[to++] = o.outputs[i];
    }
  }
  const Operands start = expected;
  ASSERT_EQ(RunOnce(**reference, c.desc, &expected), absl::OkStatus());

  std::vector<Bytes> one;
  for (int threads : {1, 2, 4}) {
    auto cpu = OpenCpu({0, threads});
    ASSERT_TRUE(cpu.ok());
    Operands actual = start;
    ASSERT_EQ(RunOnce(**cpu, c.desc, &actual), absl::OkStatus());
    if (threads == 1) {
      one = actual.outputs;
      for (size_t o = 0; o < one.size(); ++o) {
        const TensorSpec& spec = c.desc.outputs[o];
        double largest = c.least_scale, worst = 0;
        int64_t at = 0;
        for (int64_t i = 0; i < spec.elements(); ++i) {
          largest = std::max(largest, std::abs(Element(spec, expected.outputs[o], i)));
          const double difference =
              std::abs(Element(spec, expected.outputs[o], i) - Element(spec, actual.outputs[o], i));
          if (!(difference <= worst)) worst = difference, at = i;
        }
        EXPECT_LE(worst, c.tolerance * largest)
            << "output " << o << " at " << at << ": " << Element(spec, actual.outputs[o], at) << " for "
            << Element(spec, expected.outputs[o], at);
      }
    }
    EXPECT_TRUE(actual.outputs == one) << threads << " threads";
  }
}

inline OpDesc Op(std::string op, std::vector<TensorSpec> inputs, std::vector<TensorSpec> outputs) {
  return {std::move(op), std::move(inputs), std::move(outputs), {}};
}

inline OpDesc Attention(int64_t b, int64_t t, int64_t s, int64_t q_heads, int64_t kv_heads, int64_t d, bool causal,
                        bool packed, bool grad) {
  const TensorSpec q = F32({b, t, (packed ? q_heads + 2 * kv_heads : q_heads) * d}), y = F32({b, t, q_heads * d});
  const TensorSpec kv = packed ? TensorSpec() : F32({b, s, kv_heads * d}), lse = F32({b, q_heads, t});
  OpDesc desc =
      grad ? Op("AttentionGrad", {y, q, kv, kv, y, lse}, {q, kv, kv}) : Op("Attention", {q, kv, kv}, {y, lse});
  desc.attributes.SetInt("q_num_heads", q_heads).SetInt("kv_num_heads", kv_heads).SetInt("is_causal", causal);
  return desc;
}

}  // namespace millrace

#endif  // TESTS_KERNELS_CPU_COMPARE_WITH_REFERENCE_H_
