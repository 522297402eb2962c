// Shapes and work of single operators.
#include "partitioner/graph/catalogue.h"

#include <string>

#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace millrace {
namespace {

using ::testing::HasSubstr;

TensorSpec F(std::vector<int64_t> dims) { return {proto::F32, std::move(dims)}; }
TensorSpec I(std::vector<int64_t> dims) { return {proto::I64, std::move(dims)}; }

// "f32[2,3] f32[2,3]", or the message.
std::string Shapes(const std::string& op, const std::vector<TensorSpec>& inputs, const Attributes& attributes = {},
                   int outputs = 1) {
  const auto specs = InferOutputs(op, inputs, attributes, outputs);
  if (!specs.ok()) return std::string(specs.status().message());
  return absl::StrJoin(*specs, " ", [](std::string* out, const TensorSpec& s) { out->append(s.ToString()); });
}

TEST(Shapes, Matrices) {
  EXPECT_EQ(Shapes("MatMul", {F({2, 3, 4}), F({4, 5})}), "f32[2,3,5]");
  EXPECT_EQ(Shapes("MatMul", {F({1, 3, 4}), F({7, 4, 5})}), "f32[7,3,5]");
  EXPECT_THAT(Shapes("MatMul", {F({2, 3}), F({4, 5})}), HasSubstr("input 1"));
  EXPECT_THAT(Shapes("MatMul", {F({3}), F({3, 5})}), HasSubstr("two dimensions"));
  EXPECT_EQ(Shapes("Gemm", {F({4, 2}), F({5, 4}), F({5})}, Attributes().SetInt("transA", 1).SetInt("transB", 1)),
            "f32[2,5]");
  EXPECT_THAT(Shapes("Gemm", {F({2, 4}), F({4, 5}), F({4})}), HasSubstr("input 2"));
}

TEST(Shapes, Elementwise) {
  EXPECT_EQ(Shapes("Add", {F({4, 1, 3}), F({2, 1})}), "f32[4,2,3]");
  EXPECT_THAT(Shapes("Add", {F({4}), F({3})}), HasSubstr("broadcast"));
  EXPECT_THAT(Shapes("Add", {I({4}), I({4})}), HasSubstr("floating-point"));
  EXPECT_EQ(Shapes("Cast", {I({4})}, Attributes().SetInt("to", proto::F32)), "f32[4]");
  EXPECT_THAT(Shapes("Cast", {I({4})}), HasSubstr("to"));
  EXPECT_THAT(Shapes("Gelu", {F({4})}, Attributes().SetString("approximate", "fast")), HasSubstr("approximate"));
  EXPECT_THAT(Shapes("Dropout", {F({4})}, Attributes().SetFloat("ratio", 1.0)), HasSubstr("ratio"));
  EXPECT_THAT(Shapes("Softmax", {F({4, 5})}, Attributes().SetInt("axis", 0)), HasSubstr("last axis"));
}

TEST(Shapes, AttentionPlainGroupedAndPacked) {
  const Attributes grouped = Attributes().SetInt("q_num_heads", 4).SetInt("kv_num_heads", 2);
  EXPECT_EQ(Shapes("Attention", {F({2, 5, 32}), F({2, 7, 16}), F({2, 7, 16})}, grouped), "f32[2,5,32]");
  EXPECT_EQ(Shapes("Attention", {F({2, 5, 64})}, grouped), "f32[2,5,32]");
  EXPECT_THAT(Shapes("Attention", {F({2, 5, 63})}, grouped), HasSubstr("multiple"));
  EXPECT_THAT(Shapes("Attention", {F({2, 5, 32}), F({2, 7, 32}), F({2, 7, 32})}, grouped), HasSubstr("input 1"));
  EXPECT_THAT(Shapes("Attention", {F({2, 5, 32})}), HasSubstr("q_num_heads"));
  EXPECT_THAT(Shapes("RotaryEmbedding", {F({2, 5, 32}), F({4, 4}), F({4, 4})}, Attributes().SetInt("num_heads", 4)),
              HasSubstr("input 1"));
}

TEST(Shapes, Layout) {
  EXPECT_EQ(Shapes("Reshape", {F({2, 3, 4})}, Attributes().SetInts("shape", {0, -1})), "f32[2,12]");
  EXPECT_THAT(Shapes("Reshape", {F({2, 3})}, Attributes().SetInts("shape", {4, -1})), HasSubstr("shape"));
  EXPECT_THAT(Shapes("Reshape", {F({2, 3})}, Attributes().SetInts("shape", {int64_t{1} << 62, 4})), HasSubstr("shape"));
  EXPECT_THAT(Shapes("Reshape", {F({2, 3})}, Attributes().SetInts("shape", {-1, -1})), HasSubstr("shape"));
  EXPECT_EQ(Shapes("Transpose", {F({2, 3, 4})}), "f32[4,3,2]");
  EXPECT_EQ(Shapes("Transpose", {F({2, 3, 4})}, Attributes().SetInts("perm", {0, 2, 1})), "f32[2,4,3]");
  EXPECT_THAT(Shapes("Transpose", {F({2, 3})}, Attributes().SetInts("perm", {0, 0})), HasSubstr("permutation"));
  EXPECT_EQ(Shapes("Split", {F({2, 6})}, Attributes().SetInt("axis", -1).SetInts("split", {1, 5}), 2),
            "f32[2,1] f32[2,5]");
  EXPECT_EQ(Shapes("Split", {F({6, 2})}, {}, 3), "f32[2,2] f32[2,2] f32[2,2]");
  EXPECT_THAT(Shapes("Split", {F({2, 6})}, Attributes().SetInt("axis", 1).SetInts("split", {1, 4}), 2),
              HasSubstr("add up"));
  EXPECT_EQ(Shapes("Concat", {F({2, 3}), F({2, 4})}, Attributes().SetInt("axis", 1)), "f32[2,7]");
  EXPECT_THAT(Shapes("Concat", {F({2, 3}), F({3, 3})}, Attributes().SetInt("axis", 1)), HasSubstr("input 1"));
  EXPECT_EQ(Shapes("ReduceMean", {F({2, 3, 4})}, Attributes().SetInts("axes", {-1}).SetInt("keepdims", 0)), "f32[2,3]");
  EXPECT_EQ(Shapes("ReduceSum", {F({2, 3})}), "f32[1,1]");
  EXPECT_EQ(Shapes("Expand", {F({3, 1})}, Attributes().SetInts("shape", {2, 1, 4})), "f32[2,3,4]");
}

TEST(Shapes, TablesAndLosses) {
  EXPECT_EQ(Shapes("Gather", {F({10, 4}), I({2, 3})}), "f32[2,3,4]");
  EXPECT_THAT(Shapes("Gather", {F({10, 4}), F({2, 3})}), HasSubstr("i64"));
  EXPECT_EQ(Shapes("SoftmaxCrossEntropyLoss", {F({2, 3, 7}), I({2, 3})}, {}, 2), "f64[] f64[]");
  EXPECT_THAT(Shapes("SoftmaxCrossEntropyLoss", {F({2, 7}), I({2})}, Attributes().SetString("reduction", "mean"), 2),
              HasSubstr("sum"));
  EXPECT_EQ(Shapes("LinearCrossEntropy", {F({2, 4}), F({7, 4}), I({2})}, {}, 2), "f64[] f64[]");
  EXPECT_THAT(Shapes("LinearCrossEntropy", {F({2, 4}), F({4, 7}), I({2})}, {}, 2), HasSubstr("input 1"));
}

TEST(Catalogue, NearestName) {
  EXPECT_EQ(NearestOp("matmul"), "MatMul");
  EXPECT_EQ(NearestOp("LayerNormalisation"), "LayerNormalization");
  EXPECT_EQ(NearestOp("Convolution3D"), "");
}

TEST(Work, Flops) {
  EXPECT_EQ(Flops({"MatMul", {F({2, 3, 4}), F({4, 5})}, {F({2, 3, 5})}, {}}), 2 * 2 * 3 * 4 * 5);
  EXPECT_EQ(Flops({"MatMulWeightGrad", {F({2, 3, 4}), F({2, 3, 5})}, {F({4, 5})}, {}}), 2 * 6 * 4 * 5);
  const Attributes heads = Attributes().SetInt("q_num_heads", 2).SetInt("kv_num_heads", 2);
  EXPECT_EQ(Flops({"Attention", {F({1, 8, 96})}, {F({1, 8, 32})}, heads}), 4 * 8 * 8 * 32);
  Attributes causal = heads;
  causal.SetInt("is_causal", 1);
  EXPECT_EQ(Flops({"Attention", {F({1, 8, 96})}, {F({1, 8, 32})}, causal}), 4 * 36 * 32);
  const OpDesc loss = {"LinearCrossEntropy", {F({6, 4}), F({7, 4}), I({6})}, {F({}), F({})}, {}};
  OpDesc with_gradients = loss;
  with_gradients.outputs.push_back(F({6, 4}));
  with_gradients.outputs.push_back(F({7, 4}));
  EXPECT_EQ(Flops(with_gradients) - Flops(loss), 2 * 2 * 6 * 4 * 7);
  EXPECT_EQ(Flops({"Reshape", {F({4})}, {F({2, 2})}, {}}), 0);
}

TEST(Work, Bytes) {
  EXPECT_EQ(Bytes({"Add", {F({4}), F({4})}, {F({4})}, {}}), 48);
  EXPECT_EQ(Bytes({"Accumulate", {F({4})}, {F({4})}, {}}), 48);  // read, and read and written
  EXPECT_EQ(Bytes({"Fork", {F({4})}, {F({4}), F({4})}, {}}), 0);
  EXPECT_EQ(Bytes({"Gather", {F({1000, 4}), I({2})}, {F({2, 4})}, {}}), 2 * 32 + 16);
}

}  // namespace
}  // namespace millrace
