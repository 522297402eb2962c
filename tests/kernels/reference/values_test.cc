// Forward operators of the reference against numbers worked out by hand or known in closed form: the one place where
// nothing else of the program says what is right.
#include <algorithm>
#include <cmath>

#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "kernels/random.h"
#include "kernels/reference/reference.h"
#include "tests/conformance/run_kernel.h"

namespace millrace {
namespace {

using namespace cases;  // F, D, I, Attr

using Values = std::vector<double>;

Fill Of(const Values& values) { return {.kind = Fill::VALUES, .values = values}; }

class ReferenceValues : public testing::Test {
 protected:
  // All in f64. Outputs start from `first` where it has values, else from 0xff bytes.
  absl::StatusOr<HostTensors> Run(const OpDesc& f32, const std::vector<Values>& inputs,
                                  const std::vector<Values>& first = {}, const RunKey& key = {}) {
    const OpDesc desc = InType(f32, proto::F64);
    HostTensors in, out = Trapped(desc.outputs);
    for (size_t i = 0; i < inputs.size(); ++i) {
      in.push_back(desc.inputs[i].present() ? Filled(desc.inputs[i], Of(inputs[i]), 0) : HostTensor());
    }
    for (size_t i = 0; i < first.size(); ++i) {
      if (!first[i].empty()) out[i] = Filled(desc.outputs[i], Of(first[i]), 0);
    }
    return RunOp(*device_, desc, in, out, key);
  }

  void Expect(const OpDesc& desc, const std::vector<Values>& inputs, const std::vector<Values>& want,
              const std::vector<Values>& first = {}) {
    const auto got = Run(desc, inputs, first);
    ASSERT_TRUE(got.ok()) << got.status();
    for (size_t o = 0; o < want.size(); ++o) {
      ASSERT_EQ((*got)[o].spec.elements(), want[o].size()) << desc.Key();
      for (size_t i = 0; i < want[o].size(); ++i) {
        EXPECT_NEAR((*got)[o].at(i), want[o][i], 1e-9) << "output " << o << ", element " << i << " of " << desc.Key();
      }
    }
  }

  const std::unique_ptr<Device> device_ = *OpenReference({});
};

TEST_F(ReferenceValues, Activations) {
  const Values x = {-1, 0, 1};
  const auto s = F({3});
  Expect({"Relu", {s}, {s}, {}}, {x}, {{0, 0, 1}});
  Expect({"Tanh", {s}, {s}, {}}, {x}, {{-0.7615941559557649, 0, 0.7615941559557649}});
  Expect({"Sigmoid", {s}, {s}, {}}, {x}, {{0.2689414213699951, 0.5, 0.7310585786300049}});
  Expect({"Silu", {s}, {s}, {}}, {x}, {{-0.2689414213699951, 0, 0.7310585786300049}});
  Expect({"Gelu", {s}, {s}, {}}, {x}, {{-0.15865525393145707, 0, 0.8413447460685429}});
  Expect({"Gelu", {s}, {s}, Attr().SetString("approximate", "tanh")}, {x},
         {{-0.15880800939172324, 0, 0.8411919906082768}});
}

TEST_F(ReferenceValues, Matrices) {
  const Values a = {1, 2, 3, 4, 5, 6}, b = {1, 0, 2, -1, 0, 3};
  Expect({"MatMul", {F({2, 3}), F({3, 2})}, {F({2, 2})}, {}}, {a, b}, {{5, 7, 14, 13}});
  Expect({"Gemm",
          {F({2, 3}), F({2, 3}), F({2})},
          {F({2, 2})},
          Attr().SetInt("transB", 1).SetFloat("alpha", 2).SetFloat("beta", 10)},
         {a, b, {1, -1}}, {{24, 6, 42, 18}});
  Expect({"FusedMatMul",
          {F({2, 3}), F({3, 2}), F({2}), F({2, 2})},
          {F({2, 2}), F({2, 2})},
          Attr().SetString("activation", "Relu")},
         {a, b, {-6, -100}, {1, 2, 3, 4}}, {{1, 2, 11, 4}, {-1, -93, 8, -87}});
  Expect({"MatMulWeightGrad", {F({2, 3}), F({2, 2})}, {F({3, 2}), F({2})}, {}}, {a, {1, 10, 2, 20}},
         {{9 + 100, 90 + 100, 12 + 100, 120 + 100, 15 + 100, 150 + 100}, {3 + 7, 30 + 7}}, {{100}, {7}});
}

TEST_F(ReferenceValues, Rows) {
  const double inverse = 1 / std::sqrt(2.0 / 3);
  Expect({"LayerNormalization",
          {F({1, 3}), F({3}), F({3})},
          {F({1, 3}), F({1, 1}), F({1, 1})},
          Attr().SetFloat("epsilon", 0)},
         {{1, 2, 3}, {1, 2, 10}, {0, 5, 0}}, {{-inverse, 5, 10 * inverse}, {2}, {inverse}});
  Expect({"RMSNormalization", {F({1, 2}), F({2})}, {F({1, 2}), F({1, 1})}, Attr().SetFloat("epsilon", 0.25)},
         {{1, std::sqrt(6.5)}, {1, 2}}, {{0.5, std::sqrt(6.5)}, {0.5}});
  Expect({"Softmax", {F({2, 2})}, {F({2, 2})}, {}}, {{0, std::log(3.0), 1000, 1000}}, {{0.25, 0.75, 0.5, 0.5}});
  Expect({"SoftmaxCrossEntropyLoss", {F({3, 2}), I({3})}, {D({}), D({})}, {}},
         {{0, std::log(3.0), 7, 7, 5, -5}, {0, 1, -100}}, {{std::log(4.0) + std::log(2.0)}, {2}});
  // Scores {0, log 3} from x = (1, log 3) and the unit matrix, less x's first element in the first class.
  Expect({"LinearCrossEntropy", {F({1, 2}), F({2, 2}), I({1})}, {D({}), D({}), F({1, 2}), F({2, 2})}, {}},
         {{1, std::log(3.0)}, {0, 0, 0, 1}, {0}},
         {{std::log(4.0)}, {1}, {0, 0.75}, {-0.75, -0.75 * std::log(3.0), 0.75, 0.75 * std::log(3.0)}},
         {{}, {}, {}, {0}});
}

TEST_F(ReferenceValues, AttentionIsCausalAndGrouped) {
  const Attributes heads =
      Attr().SetInt("q_num_heads", 2).SetInt("kv_num_heads", 1).SetInt("is_causal", 1).SetFloat("scale", 1);
  // Both query heads read the one key head. Query 0 sees key 0 only.
  const double l3 = std::log(3.0);
  Expect({"Attention", {F({1, 2, 2}), F({1, 2, 1}), F({1, 2, 1})}, {F({1, 2, 2}), F({1, 2, 2})}, heads},
         {{5, 6, 1, 0}, {0, l3}, {8, 4}}, {{8, 8, 0.25 * 8 + 0.75 * 4, 6}, {0, std::log(4.0), 0, std::log(2.0)}});
  // The same, side by side.
  Expect({"Attention", {F({1, 2, 4})}, {F({1, 2, 2})}, heads}, {{5, 6, 0, 8, 1, 0, l3, 4}}, {{8, 8, 5, 6}});
}

TEST_F(ReferenceValues, RotaryTurnsPairs) {
  // Position 1 turns by 90 degrees.
  const Values x = {1, 2, 3, 4, 1, 2, 3, 4}, cosine = {1, 1, 0, 0}, sine = {0, 0, 1, 1};
  const auto s = F({1, 2, 4}), cache = F({2, 2});
  Expect({"RotaryEmbedding", {s, cache, cache}, {s}, Attr().SetInt("num_heads", 1)}, {x, cosine, sine},
         {{1, 2, 3, 4, -3, -4, 1, 2}});
  Expect({"RotaryEmbedding", {s, cache, cache}, {s}, Attr().SetInt("num_heads", 1).SetInt("interleaved", 1)},
         {x, cosine, sine}, {{1, 2, 3, 4, -2, 1, -4, 3}});
  Expect({"RotaryEmbedding", {s, cache, cache}, {s}, Attr().SetInt("num_heads", 1).SetInt("inverse", 1)},
         {x, cosine, sine}, {{1, 2, 3, 4, 3, 4, -1, -2}});
}

TEST_F(ReferenceValues, MovesAndReductions) {
  const Values x = {1, 2, 3, 4, 5, 6};
  Expect({"Transpose", {F({2, 3})}, {F({3, 2})}, {}}, {x}, {{1, 4, 2, 5, 3, 6}});
  Expect({"Transpose", {F({1, 2, 3})}, {F({3, 1, 2})}, Attr().SetInts("perm", {2, 0, 1})}, {x}, {{1, 4, 2, 5, 3, 6}});
  Expect({"Split", {F({2, 3})}, {F({2, 1}), F({2, 2})}, Attr().SetInt("axis", 1)}, {x}, {{1, 4}, {2, 3, 5, 6}});
  Expect({"Concat", {F({2, 1}), F({2, 2})}, {F({2, 3})}, Attr().SetInt("axis", -1)}, {{1, 4}, {2, 3, 5, 6}}, {x});
  Expect({"ReduceMean", {F({2, 3})}, {F({2})}, Attr().SetInts("axes", {1}).SetInt("keepdims", 0)}, {x}, {{2, 5}});
  Expect({"ReduceSumTo", {F({2, 3})}, {F({3})}, Attr().SetInt("accumulate", 1)}, {x}, {{15, 17, 19}}, {{10}});
  Expect({"Expand", {F({2, 1})}, {F({2, 3})}, Attr().SetFloat("scale", 2)}, {{1, 4}}, {{2, 2, 2, 8, 8, 8}});
  Expect({"Gather", {F({3, 2}), I({2})}, {F({2, 2})}, {}}, {x, {2, 0}}, {{5, 6, 1, 2}});
  Expect({"GatherGrad", {F({2, 3}), I({2})}, {F({2, 3})}, {}}, {x, {1, 1}}, {{1, 1, 1, 6, 8, 10}}, {{1}});
  Expect({"Sub", {F({2, 1}), F({3})}, {F({2, 3})}, {}}, {{10, 20}, {1, 2, 3}}, {{9, 8, 7, 19, 18, 17}});
}

TEST_F(ReferenceValues, AdamW) {
  // lr 0.1, gradient scale 0.5, first step: mhat = g and vhat = g^2, so p -= lr * sign(g), after decay.
  const auto p = F({2});
  const Values hyper = {0.1, 0.5, 0, 1, 0.9, 0.99, 0, 0.2, 0, 0};
  Expect({"AdamW", {D({10})}, {p, p, p, p}, Attr().SetInt("decay", 1)}, {hyper},
         {{10 - 0.2 - 0.1, 10 - 0.2 + 0.1}, {0, 0}, {0.2, -0.3}, {0.04, 0.09}}, {{10}, {4, -6}, {0}, {0}});
  Expect({"AdamW", {D({10})}, {p, p, p, p}, {}}, {hyper}, {{9.9, 10.1}}, {{10}, {4, -6}, {0}, {0}});
  Values skip = hyper;
  skip[2] = 1;
  Expect({"AdamW", {D({10})}, {p, p, p, p}, {}}, {skip}, {{10, 10}, {0, 0}, {1, 1}, {2, 2}}, {{10}, {4, -6}, {1}, {2}});
}

TEST_F(ReferenceValues, SgdMomentum) {
  const auto p = F({1});
  Values hyper = {0.1, 0.5, 0, 3, 0, 0, 0, 0.2, 0.5, 0};
  const OpDesc desc = {"SgdMomentum", {D({10})}, {p, p, p}, Attr().SetInt("decay", 1)};
  // g = 4 * 0.5 + 0.2 * 10 = 4; u = 0.5 * 6 + 4 = 7.
  Expect(desc, {hyper}, {{10 - 0.7}, {0}, {7}}, {{10}, {4}, {6}});
  hyper[9] = 1;
  Expect(desc, {hyper}, {{10 - 0.1 * (4 + 3.5)}, {0}, {7}}, {{10}, {4}, {6}});
  Expect({"SquaredSums", {F({3})}, {D({2})}, Attr().SetInt("block", 2)}, {{1, 2, 3}}, {{5, 9}});
}

TEST_F(ReferenceValues, DropoutFollowsPhiloxAndItsKey) {
  const OpDesc desc = {"Dropout", {F({1000})}, {F({1000})}, Attr().SetFloat("ratio", 0.25).SetBits("random_key", 7)};
  const RunKey key = {.seed = 1, .step = 2, .micro_batch = 3};
  const auto got = Run(desc, {{3}}, {}, key);
  ASSERT_TRUE(got.ok()) << got.status();
  const Philox random(1, 7, 2, 3);
  int kept = 0;
  for (int i = 0; i < 1000; ++i) {
    const bool keep = random.Uniform(i) >= 0.25;
    kept += keep;
    ASSERT_DOUBLE_EQ((*got)[0].at(i), keep ? 4 : 0) << i;
  }
  EXPECT_NEAR(kept, 750, 60);
  for (const RunKey& other : {RunKey{2, 2, 3}, RunKey{1, 3, 3}, RunKey{1, 2, 4}}) {
    EXPECT_NE(Run(desc, {{3}}, {}, other).value()[0].bytes, (*got)[0].bytes);
  }
}

TEST_F(ReferenceValues, WrongDataIsRefused) {
  for (double index : {-1.0, 3.0, 1e15}) {
    const auto gather = Run({"Gather", {F({3, 2}), I({2})}, {F({2, 2})}, {}}, {{1}, {0, index}});
    EXPECT_TRUE(absl::IsInvalidArgument(gather.status())) << gather.status();
    EXPECT_TRUE(absl::StrContains(gather.status().message(), "position 1")) << gather.status();
    const auto grad = Run({"GatherGrad", {F({2, 2}), I({2})}, {F({3, 2})}, {}}, {{1}, {0, index}}, {{0}});
    EXPECT_TRUE(absl::IsInvalidArgument(grad.status())) << grad.status();
    const auto loss = Run({"SoftmaxCrossEntropyLoss", {F({2, 3}), I({2})}, {D({}), D({})}, {}}, {{1}, {0, index}});
    EXPECT_TRUE(absl::IsInvalidArgument(loss.status())) << loss.status();
    EXPECT_TRUE(absl::StrContains(loss.status().message(), "row 1")) << loss.status();
  }
}

TEST(ReferenceDevice, AllocatesAlignedZeroedMemory) {
  const auto device = *OpenReference({});
  EXPECT_EQ(device->kind(), "reference");
  for (uint64_t bytes : {1, 255, 256, 100001}) {
    const Buffer buffer = *device->Allocate(bytes);
    EXPECT_EQ(buffer.bytes(), bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.memory()) % 256, 0);
    const char* memory = static_cast<const char*>(buffer.memory());
    EXPECT_EQ(std::count(memory, memory + bytes, 0), bytes);
  }
  EXPECT_TRUE(absl::IsResourceExhausted(device->Allocate(uint64_t{1} << 50).status()));
  EXPECT_TRUE(absl::IsResourceExhausted(device->Allocate(~uint64_t{0}).status()));
}

TEST(ReferenceDevice, RefusesWhatItCannotDo) {
  const auto device = *OpenReference({});
  EXPECT_TRUE(absl::IsNotFound(device->NewKernel({"Conv9", {}, {}, {}}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(device->NewKernel({"Relu", {F({3})}, {F({4})}, {}}).status()));
  EXPECT_TRUE(absl::IsUnimplemented(device->NewKernel({"Add", {I({3}), I({3})}, {I({3})}, {}}).status()));
  DeviceOptions no_threads;
  no_threads.threads = 0;
  EXPECT_TRUE(absl::IsInvalidArgument(OpenReference(no_threads).status()));
}

}  // namespace
}  // namespace millrace
