// The Highway kernels against the reference backend, on sizes that leave tails, and against themselves with other
// numbers of threads, bit for bit.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "hwy/targets.h"
#include "kernels/cpu/cpu.h"
#include "kernels/reference/reference.h"

namespace millrace {
namespace {

TensorSpec F32(std::vector<int64_t> dims) { return {proto::F32, std::move(dims)}; }
TensorSpec F64(std::vector<int64_t> dims) { return {proto::F64, std::move(dims)}; }
TensorSpec I64(std::vector<int64_t> dims) { return {proto::I64, std::move(dims)}; }

struct Case {
  OpDesc desc;
  double spread = 3;           // floating-point inputs lie in [-spread, spread)
  int64_t labels = 7;          // integer inputs lie in [0, labels)
  double tolerance = 2e-6;     // of the largest absolute value of the output
  std::vector<double> first;   // instead of random values, input 0
  double least_scale = 1e-30;  // what the tolerance is taken of, at least
};

using Bytes = std::vector<char>;

double Element(const TensorSpec& spec, const Bytes& bytes, int64_t i) {
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

Bytes Random(const TensorSpec& spec, uint32_t seed, const Case& c) {
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

// A size and alignment that no vector has by chance: outputs begin 4 bytes behind an aligned address.
struct Operands {
  std::vector<Bytes> inputs, outputs;
};

// Outputs hold small random values first, for those that are added to; second moments must not be negative.
Operands Make(const Case& c) {
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

absl::Status RunOnce(Device& device, const OpDesc& desc, Operands* o) {
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

void Compare(const Case& c) {
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

OpDesc Op(std::string op, std::vector<TensorSpec> inputs, std::vector<TensorSpec> outputs) {
  return {std::move(op), std::move(inputs), std::move(outputs), {}};
}

TEST(AgainstReference, Unary) {
  for (const char* op : {"Neg", "Relu", "Tanh", "Sigmoid", "Silu", "Gelu", "Identity"}) {
    for (int64_t n : {1, 15, 33, 70001}) {
      for (double spread : {0.3, 12.0, 100.0}) Compare({Op(op, {F32({n})}, {F32({n})}), spread, 1, 5e-7, {}, 1});
    }
  }
  OpDesc gelu = Op("Gelu", {F32({3, 1001})}, {F32({3, 1001})});
  gelu.attributes.SetString("approximate", "tanh");
  for (double spread : {1.0, 12.0, 100.0}) Compare({gelu, spread});
}

TEST(AgainstReference, UnaryGradients) {
  for (const char* op : {"ReluGrad", "TanhGrad", "SigmoidGrad", "SiluGrad", "GeluGrad"}) {
    for (const char* approximate : {"none", "tanh"}) {
      OpDesc desc = Op(op, {F32({7, 93}), F32({7, 93})}, {F32({7, 93})});
      if (desc.op == "GeluGrad") desc.attributes.SetString("approximate", approximate);
      Compare({desc, 4});
      Compare({desc, 60});
    }
  }
}

TEST(AgainstReference, Binary) {
  using Dims = std::vector<int64_t>;
  struct Shapes {
    Dims a, b, y;
  };
  const Shapes all[] = {{{5, 77}, {5, 77}, {5, 77}},
                        {{5, 77}, {}, {5, 77}},
                        {{1}, {5, 77}, {5, 77}},
                        {{4, 5, 77}, {77}, {4, 5, 77}},
                        {{3, 5, 17}, {5, 17}, {3, 5, 17}},
                        {{3, 5, 17}, {3, 5, 1}, {3, 5, 17}},
                        {{3, 1, 17}, {1, 5, 1}, {3, 5, 17}},
                        {{2, 1, 3, 1}, {4, 1, 5}, {2, 4, 3, 5}},
                        {{}, {}, {}},
                        {{2, 40000}, {40000}, {2, 40000}},
                        {{0, 3}, {3}, {0, 3}}};
  for (const char* op : {"Add", "Sub", "Mul", "Div"}) {
    for (const Shapes& s : all) Compare({Op(op, {F32(s.a), F32(s.b)}, {F32(s.y)})});
  }
  Compare({Op("Mul", {F64({3, 5}), F64({5})}, {F64({3, 5})}), 3, 1, 1e-15});
}

TEST(AgainstReference, CastAccumulateDropout) {
  const DType types[] = {proto::F32, proto::F64, proto::BF16, proto::I32, proto::I64};
  for (DType from : types) {
    for (DType to : types) {
      OpDesc desc = Op("Cast", {{from, {3, 21}}}, {{to, {3, 21}}});
      desc.attributes.SetInt("to", to);
      Compare({desc, 100, 1000, 0});
    }
  }
  Compare({Op("Accumulate", {F32({40001})}, {F32({40001})})});
  Compare({Op("Accumulate", {F64({})}, {F64({})}), 3, 1, 1e-15});
  OpDesc dropout = Op("Dropout", {F32({3, 33333})}, {F32({3, 33333})});
  dropout.attributes.SetFloat("ratio", 0.1).SetBits("random_key", 0x123456789abcdef0u);
  Compare({dropout, 3, 1, 2e-7});
}

TEST(AgainstReference, Normalization) {
  for (int64_t n : {1, 5, 48, 77, 768}) {
    for (int64_t rows : {1, 3, 100}) {
      const TensorSpec x = F32({rows, n}), c = F32({n}), s = F32({rows, 1});
      Compare({Op("LayerNormalization", {x, c, c}, {x, s, s})});
      Compare({Op("LayerNormalization", {x, c}, {x})});
      Compare({Op("RMSNormalization", {x, c}, {x, s})});
      if (n == 1) continue;  // the gradient is 0 but for rounding
      Compare({Op("LayerNormalizationGrad", {x, x, c, s, s}, {x, c, c}), 3, 1, 4e-6});
      Compare({Op("LayerNormalizationGrad", {x, x, c, s, s}, {x}), 3, 1, 4e-6});
      Compare({Op("RMSNormalizationGrad", {x, x, c, s}, {x, c}), 3, 1, 4e-6});
    }
  }
}

TEST(AgainstReference, SoftmaxAndCrossEntropy) {
  for (int64_t n : {1, 7, 50, 1003}) {
    const TensorSpec x = F32({2, 9, n}), labels = I64({2, 9});
    Compare({Op("Softmax", {x}, {x}), 20});
    Compare({Op("SoftmaxGrad", {x, x}, {x})});
    Compare({Op("SoftmaxCrossEntropyLoss", {x, labels}, {F64({}), F64({})}), 20, n, 1e-6});
    OpDesc grad = Op("SoftmaxCrossEntropyLossGrad", {x, labels}, {x});
    grad.attributes.SetInt("ignore_index", 0);
    Compare({grad, 20, n});
  }
}

OpDesc Attention(int64_t b, int64_t t, int64_t s, int64_t q_heads, int64_t kv_heads, int64_t d, bool causal,
                 bool packed, bool grad) {
  const TensorSpec q = F32({b, t, (packed ? q_heads + 2 * kv_heads : q_heads) * d}), y = F32({b, t, q_heads * d});
  const TensorSpec kv = packed ? TensorSpec() : F32({b, s, kv_heads * d}), lse = F32({b, q_heads, t});
  OpDesc desc =
      grad ? Op("AttentionGrad", {y, q, kv, kv, y, lse}, {q, kv, kv}) : Op("Attention", {q, kv, kv}, {y, lse});
  desc.attributes.SetInt("q_num_heads", q_heads).SetInt("kv_num_heads", kv_heads).SetInt("is_causal", causal);
  return desc;
}

TEST(AgainstReference, Attention) {
  for (bool grad : {false, true}) {
    const double tolerance = grad ? 6e-6 : 3e-6;
    for (bool causal : {false, true}) {
      for (bool packed : {false, true}) {
        Compare({Attention(2, 70, 70, 2, 2, 8, causal, packed, grad), 2, 1, tolerance});
        Compare({Attention(1, 130, 130, 4, 2, 33, causal, packed, grad), 2, 1, tolerance});
        Compare({Attention(1, 64, 64, 3, 1, 64, causal, packed, grad), 2, 1, tolerance});
        Compare({Attention(3, 5, 5, 1, 1, 2, causal, packed, grad), 2, 1, tolerance});
        Compare({Attention(9, 2, 2, 4, 2, 1, causal, packed, grad), 2, 1, tolerance});
      }
      Compare({Attention(1, 80, 150, 2, 1, 17, causal, false, grad), 2, 1, tolerance});
    }
    Compare({Attention(1, 7, 3, 2, 1, 5, false, false, grad), 2, 1, tolerance});
  }
}

TEST(AgainstReference, RotaryAndGather) {
  for (int interleaved : {0, 1}) {
    for (int inverse : {0, 1}) {
      OpDesc desc = Op("RotaryEmbedding", {F32({2, 5, 3 * 34}), F32({6, 17}), F32({6, 17})}, {F32({2, 5, 3 * 34})});
      desc.attributes.SetInt("num_heads", 3).SetInt("interleaved", interleaved).SetInt("inverse", inverse);
      Compare({desc});
    }
  }
  Compare({Op("Gather", {F32({11, 37}), I64({3, 9})}, {F32({3, 9, 37})}), 3, 11, 0});
  Compare({Op("GatherGrad", {F32({3, 9, 307}), I64({3, 9})}, {F32({11, 307})}), 3, 11});
}

TEST(AgainstReference, Shape) {
  const auto transpose = [](std::vector<int64_t> dims, std::vector<int64_t> perm, DType dtype) {
    std::vector<int64_t> out;
    for (int64_t p : perm) out.push_back(dims[p]);
    OpDesc desc = Op("Transpose", {{dtype, dims}}, {{dtype, out}});
    desc.attributes.SetInts("perm", perm);
    Compare({desc, 3, 7, 0});
  };
  for (DType dtype : {proto::F32, proto::F64, proto::BF16, proto::I64}) {
    transpose({37, 45}, {1, 0}, dtype);
    transpose({2, 3, 4, 5}, {0, 2, 1, 3}, dtype);
    transpose({2, 3, 4, 5}, {3, 1, 0, 2}, dtype);
    transpose({2, 3, 4, 5}, {0, 1, 3, 2}, dtype);
    transpose({2, 1, 4}, {1, 0, 2}, dtype);
    transpose({1, 1}, {1, 0}, dtype);
  }
  for (int64_t axis : {0, 1, -1}) {
    std::vector<int64_t> whole = {6, 6, 6}, first = whole, second = whole;
    const int64_t at = axis < 0 ? axis + 3 : axis;
    first[at] = 1;
    second[at] = 5;
    OpDesc split = Op("Split", {F32(whole)}, {F32(first), F32(second)});
    split.attributes.SetInt("axis", axis);
    Compare({split, 3, 1, 0});
    OpDesc concat = Op("Concat", {F32(first), F32(second)}, {F32(whole)});
    concat.attributes.SetInt("axis", axis);
    Compare({concat, 3, 1, 0});
  }
  for (const std::vector<int64_t>& from : {std::vector<int64_t>{1}, {}, {3, 1, 19}, {5, 1}, {19}, {3, 5, 19}}) {
    OpDesc expand = Op("Expand", {F32(from)}, {F32({3, 5, 19})});
    expand.attributes.SetFloat("scale", 0.25);
    Compare({expand, 3, 1, 1e-7});
  }
  Compare({Op("Fork", {F32({3, 5})}, {F32({3, 5}), F32({3, 5})}), 3, 1, 0});
  Compare({Op("Reshape", {F32({3, 5})}, {F32({15})}), 3, 1, 0});
}

TEST(AgainstReference, Reduce) {
  const std::vector<int64_t> dims = {4, 3, 70, 33};
  for (const std::vector<int64_t>& axes :
       {std::vector<int64_t>{}, {0}, {1}, {2}, {3}, {-1, 0}, {1, 2}, {0, 2}, {1, 3}, {0, 1, 2}}) {
    for (const char* op : {"ReduceSum", "ReduceMean"}) {
      std::vector<int64_t> out = axes.empty() ? std::vector<int64_t>(4, 1) : dims;
      for (int64_t a : axes) out[a < 0 ? a + 4 : a] = 1;
      OpDesc desc = Op(op, {F32(dims)}, {F32(out)});
      desc.attributes.SetInts("axes", axes);
      Compare({desc});
      if (axes.empty()) Compare({Op(op, {F64(dims)}, {F64(out)}), 3, 1, 1e-12});
    }
  }
  for (const std::vector<int64_t>& to :
       {std::vector<int64_t>{}, {33}, {3, 1, 33}, {70, 33}, {4, 1, 1, 33}, {1}, {3, 70, 1}}) {
    for (int accumulate : {0, 1}) {
      OpDesc desc = Op("ReduceSumTo", {F32(dims)}, {F32(to)});
      desc.attributes.SetInt("accumulate", accumulate);
      Compare({desc});
    }
  }
}

TEST(AgainstReference, Optimizer) {
  const TensorSpec p = F32({40003});
  for (double skip : {0.0, 1.0}) {
    for (int decay : {0, 1}) {
      OpDesc adam = Op("AdamW", {F64({10})}, {p, p, p, p});
      adam.attributes.SetInt("decay", decay);
      Compare({adam, 1, 1, 1e-6, {1e-3, 0.1, skip, 7, 0.9, 0.95, 1e-8, 0.1, 0.9, 0}});
      OpDesc sgd = Op("SgdMomentum", {F64({10})}, {p, p, p});
      sgd.attributes.SetInt("decay", decay);
      Compare({sgd, 1, 1, 1e-6, {1e-1, 0.1, skip, 7, 0.9, 0.95, 1e-8, 0.1, 0.9, 0}});
      Compare({sgd, 1, 1, 1e-6, {1e-1, 0.1, skip, 7, 0.9, 0.95, 1e-8, 0.1, 0.9, 1}});
    }
  }
  OpDesc sums = Op("SquaredSums", {p}, {F64({40})});
  sums.attributes.SetInt("block", 1024);
  Compare({sums, 3, 1, 1e-14});
}

// A step whose gradients went wrong must be seen to have: NaN and infinity are not swallowed.
void ExpectNotANumberPasses() {
  auto cpu = OpenCpu({});
  ASSERT_TRUE(cpu.ok());
  for (const char* op : {"Relu", "Tanh", "Sigmoid", "Silu", "Gelu", "Softmax"}) {
    Case c{Op(op, {F32({1, 19})}, {F32({1, 19})})};
    Operands o = Make(c);
    reinterpret_cast<float*>(o.inputs[0].data())[18] = NAN;
    ASSERT_EQ(RunOnce(**cpu, c.desc, &o), absl::OkStatus());
    EXPECT_TRUE(std::isnan(reinterpret_cast<float*>(o.outputs[0].data())[18])) << op;
  }
}

// Where exp ends: results of 0 and infinity, and the last ones before them.
TEST(Exponential, EndsWhereFloatsEnd) {
  auto cpu = OpenCpu({});
  ASSERT_TRUE(cpu.ok());
  // sigmoid(x) = 1 / (1 + e^-x)
  const float x[] = {-1e30f, -INFINITY, -89, -88.5f, -86, 0, 86, 86.7f, 104, 1e30f, INFINITY};
  Case c{Op("Sigmoid", {F32({11})}, {F32({11})})};
  Operands o = Make(c);
  std::memcpy(o.inputs[0].data(), x, sizeof(x));
  ASSERT_EQ(RunOnce(**cpu, c.desc, &o), absl::OkStatus());
  for (int i = 0; i < 11; ++i) {
    const float y = reinterpret_cast<float*>(o.outputs[0].data())[i];
    EXPECT_NEAR(y, 1 / (1 + std::exp(-static_cast<double>(x[i]))), 1e-7 * y + 1e-38) << x[i];
  }
}

// The kernels compiled for lesser processors, which this machine never chooses by itself.
TEST(OtherInstructionSets, AgreeToo) {
  for (int64_t target : {int64_t{HWY_AVX2}, int64_t{HWY_SCALAR}}) {
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    for (const char* op : {"Tanh", "Sigmoid", "Gelu"}) Compare({Op(op, {F32({77})}, {F32({77})}), 12, 1, 5e-7, {}, 1});
    const TensorSpec x = F32({40, 77}), c = F32({77}), s = F32({40, 1});
    Compare({Op("LayerNormalizationGrad", {x, x, c, s, s}, {x, c, c}), 3, 1, 4e-6});
    Compare({Op("Softmax", {x}, {x}), 20});
    OpDesc dropout = Op("Dropout", {F32({3, 333})}, {F32({3, 333})});
    dropout.attributes.SetFloat("ratio", 0.3).SetBits("random_key", 5);
    Compare({dropout, 3, 1, 2e-7});
    for (bool grad : {false, true}) Compare({Attention(1, 130, 130, 4, 2, 33, true, true, grad), 2, 1, 6e-6});
    OpDesc sums = Op("SquaredSums", {F32({4003})}, {F64({4})});
    sums.attributes.SetInt("block", 1024);
    Compare({sums, 3, 1, 1e-14});
    ExpectNotANumberPasses();
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

TEST(WrongInput, IsRefusedAndNamed) {
  auto cpu = OpenCpu({});
  ASSERT_TRUE(cpu.ok());
  Case gather{Op("Gather", {F32({4, 3}), I64({5})}, {F32({5, 3})}), 3, 4};
  Operands o = Make(gather);
  reinterpret_cast<int64_t*>(o.inputs[1].data())[2] = 4;
  const absl::Status status = RunOnce(**cpu, gather.desc, &o);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("index 4 at position 2"), absl::string_view::npos) << status;

  Case loss{Op("SoftmaxCrossEntropyLoss", {F32({4, 3}), I64({4})}, {F64({}), F64({})}), 3, 3};
  o = Make(loss);
  reinterpret_cast<int64_t*>(o.inputs[1].data())[3] = -1;
  EXPECT_EQ(RunOnce(**cpu, loss.desc, &o).code(), absl::StatusCode::kInvalidArgument);

  const auto half = (*cpu)->NewKernel(Op("Neg", {{proto::BF16, {3}}}, {{proto::BF16, {3}}}));
  EXPECT_EQ(half.status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_NE(half.status().message().find("bf16"), absl::string_view::npos) << half.status();
}

TEST(NotANumber, PassesThrough) { ExpectNotANumberPasses(); }

}  // namespace
}  // namespace millrace
