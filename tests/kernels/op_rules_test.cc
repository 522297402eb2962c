// Descs that must be refused: every valid case of the conformance suite, damaged in ways that fit all operators, and a
// list of particular mistakes.
#include "kernels/op_rules.h"

#include <fstream>
#include <functional>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/conformance/kernel_case.h"

namespace millrace {
namespace {

using namespace cases;  // F, D, I, Attr

// The operators of docs/operators.md: what stands in backquotes in the first column of its tables.
std::set<std::string> DocumentedOperators() {
  std::ifstream page("docs/operators.md");
  EXPECT_TRUE(page.good());
  std::set<std::string> operators;
  std::string line;
  while (std::getline(page, line)) {
    if (!absl::StartsWith(line, "| `")) continue;
    const std::string column = line.substr(0, line.find(" | "));
    for (size_t begin = column.find('`'); begin != std::string::npos;) {
      const size_t end = column.find('`', begin + 1);
      operators.insert(column.substr(begin + 1, end - begin - 1));
      begin = column.find('`', end + 1);
    }
  }
  return operators;
}

TEST(OpRules, KnowExactlyTheDocumentedOperators) {
  const std::set<std::string> documented = DocumentedOperators();
  EXPECT_GE(documented.size(), 45);
  for (const std::string& op : documented) EXPECT_TRUE(IsKnownOp(op)) << op;
  for (const KernelCase& c : AllKernelCases()) EXPECT_TRUE(documented.count(c.desc.op)) << c.desc.op;
}

TEST(OpRules, EveryDocumentedOperatorIsInTheConformanceSuite) {
  std::set<std::string> tested;
  for (const KernelCase& c : AllKernelCases()) tested.insert(c.desc.op);
  EXPECT_EQ(tested, DocumentedOperators());
}

TEST(OpRules, UnknownOperatorIsNotFound) {
  for (const char* op : {"", "matmul", "Conv3D", "MatMul "}) {
    EXPECT_FALSE(IsKnownOp(op)) << op;
    const absl::Status status = CheckOp({op, {}, {}, {}});
    EXPECT_EQ(status.code(), absl::StatusCode::kNotFound) << status;
    EXPECT_TRUE(absl::StrContains(status.message(), absl::StrCat("'", op, "'"))) << status;
  }
}

TEST(OpRules, CasesOfTheConformanceSuitePass) {
  for (const KernelCase& c : AllKernelCases()) {
    for (DType dtype : {proto::F32, proto::F64}) {
      const absl::Status status = CheckOp(InType(c.desc, dtype));
      EXPECT_TRUE(status.ok()) << c.name << ": " << status;
    }
  }
}

void ExpectRefused(const OpDesc& desc, const std::string& how) {
  const absl::Status status = CheckOp(desc);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << how << ": " << desc.Key() << ": " << status;
  EXPECT_TRUE(absl::StartsWith(status.message(), desc.op + ":")) << how << ": " << status;
}

struct Damage {
  const char* name;
  void (*apply)(OpDesc&);
  std::set<std::string> harmless;  // operators for which this may be a valid desc
};

void PrintTo(const Damage& damage, std::ostream* out) { *out << damage.name; }

class DamagedDesc : public testing::TestWithParam<Damage> {};

TEST_P(DamagedDesc, IsRefusedForEveryOperator) {
  for (const KernelCase& c : AllKernelCases()) {
    if (GetParam().harmless.count(c.desc.op)) continue;
    OpDesc desc = c.desc;
    GetParam().apply(desc);
    ExpectRefused(desc, GetParam().name);
  }
}

const TensorSpec kStranger = F({3, 1, 4, 1, 59});

INSTANTIATE_TEST_SUITE_P(
    OpRules, DamagedDesc,
    testing::Values(
        Damage{"NoInputs", [](OpDesc& d) { d.inputs.clear(); }},
        Damage{"NoOutputs", [](OpDesc& d) { d.outputs.clear(); }},
        Damage{"FirstInputAbsent", [](OpDesc& d) { d.inputs[0] = {}; }},
        Damage{"FirstOutputAbsent", [](OpDesc& d) { d.outputs[0] = {}; }},
        Damage{"StrangeInputMore", [](OpDesc& d) { d.inputs.push_back(kStranger); }},
        Damage{"StrangeOutputMore", [](OpDesc& d) { d.outputs.push_back(kStranger); }},
        Damage{"FirstInputOfBytes", [](OpDesc& d) { d.inputs[0].dtype = proto::U8; }},
        Damage{"FirstOutputOfBytes", [](OpDesc& d) { d.outputs[0].dtype = proto::U8; }},
        Damage{"LastOutputOfBytes",
               [](OpDesc& d) {
                 d.outputs.back() = {proto::U8, {3, 1, 4, 1, 59}};
               }},
        Damage{"FirstInputHasOneDimensionMore",
               [](OpDesc& d) { d.inputs[0].dims.push_back(2); },
               {"ReduceSum", "ReduceMean", "ReduceSumTo", "SquaredSums"}},
        Damage{"FirstOutputHasOneDimensionMore", [](OpDesc& d) { d.outputs[0].dims.push_back(3); }, {"Expand"}},
        Damage{"NegativeInput", [](OpDesc& d) { d.inputs[0].dims.insert(d.inputs[0].dims.begin(), -1); }},
        Damage{"NegativeOutput", [](OpDesc& d) { d.outputs[0].dims.insert(d.outputs[0].dims.begin(), -1); }},
        Damage{"EveryDimensionHuge",
               [](OpDesc& d) {
                 for (auto* specs : {&d.inputs, &d.outputs}) {
                   for (TensorSpec& spec : *specs) spec.dims.insert(spec.dims.begin(), {1LL << 40, 1LL << 40});
                 }
               }}),
    [](const testing::TestParamInfo<Damage>& test) { return test.param.name; });

// What only one operator can get wrong.
std::vector<std::pair<std::string, OpDesc>> ParticularMistakes() {
  std::vector<std::pair<std::string, OpDesc>> all;
  const auto add = [&](const std::string& what, const std::string& op, std::vector<TensorSpec> in,
                       std::vector<TensorSpec> out, const Attributes& attributes = {}) {
    all.push_back({what, {op, std::move(in), std::move(out), attributes}});
  };
  const auto x = F({2, 3, 8}), c = F({8}), row = F({2, 3, 1}), m = F({4, 4});
  add("inner sizes differ", "MatMul", {F({3, 4}), F({5, 6})}, {F({3, 6})});
  add("batches differ", "MatMul", {F({2, 3, 4}), F({3, 4, 5})}, {F({2, 3, 5})});
  add("MatMul transposes", "MatMul", {F({2, 4}), F({3, 2})}, {F({4, 3})},
      Attr().SetInt("transA", 1).SetInt("transB", 1));
  add("types differ", "MatMul", {m, {proto::BF16, {4, 4}}}, {m});
  add("integers", "MatMul", {I({4, 4}), I({4, 4})}, {I({4, 4})});
  add("C does not broadcast", "Gemm", {m, m, F({3})}, {m});
  add("three dimensions", "Gemm", {F({2, 4, 4}), m}, {F({2, 4, 4})});
  add("bias of the wrong size", "FusedMatMul", {m, m, F({5})}, {m});
  add("residual broadcasts", "FusedMatMul", {m, m, None(), F({1, 4})}, {m});
  add("unknown activation", "FusedMatMul", {m, m}, {m}, Attr().SetString("activation", "relu"));
  add("pre of another shape", "FusedMatMul", {m, m}, {m, F({4})}, Attr().SetString("activation", "Relu"));
  add("transA with a matrix B", "FusedMatMul", {m, m}, {m}, Attr().SetInt("transA", 1));
  add("packed and batched", "FusedMatMul", {F({2, 4, 4}), F({2, 4, 4})}, {F({2, 4, 4})}, Attr().SetInt("packed", 1));
  add("rows differ", "MatMulWeightGrad", {F({5, 4}), F({6, 4})}, {m});
  add("not transposed", "MatMulWeightGrad", {F({5, 4}), F({5, 3})}, {F({4, 3})}, Attr().SetInt("transB", 1));
  add("bf16 accumulator", "MatMulWeightGrad", {{proto::BF16, {5, 4}}, {proto::BF16, {5, 4}}}, {{proto::BF16, {4, 4}}});
  add("no broadcast", "Add", {F({3, 4}), F({3})}, {F({3, 4})});
  add("Y is not the broadcast", "Mul", {F({3, 1}), F({4})}, {F({3, 1})});
  add("types differ", "Sub", {F({3}), D({3})}, {F({3})});
  add("unknown approximation", "Gelu", {x}, {x}, Attr().SetString("approximate", "erf"));
  add("ratio 1", "Dropout", {x}, {x}, Attr().SetFloat("ratio", 1));
  add("to says otherwise", "Cast", {x}, {x}, Attr().SetInt("to", proto::BF16));
  add("not the last axis", "LayerNormalization", {x, c}, {x}, Attr().SetInt("axis", 1));
  add("negative epsilon", "RMSNormalization", {x, c}, {x}, Attr().SetFloat("epsilon", -1));
  add("scale of the wrong size", "LayerNormalization", {x, F({3})}, {x});
  add("mean without its 1", "LayerNormalization", {x, c}, {x, F({2, 3})});
  add("bf16 mean", "LayerNormalizationGrad", {x, x, c, {proto::BF16, {2, 3, 1}}, row}, {x});
  add("dScale of the wrong size", "RMSNormalizationGrad", {x, x, c, row}, {x, F({3})});
  add("odd head width", "RotaryEmbedding", {F({2, 3, 6}), F({3, 1}), F({3, 1})}, {F({2, 3, 6})},
      Attr().SetInt("num_heads", 2));
  add("no num_heads", "RotaryEmbedding", {x, F({3, 2}), F({3, 2})}, {x});
  add("too few positions", "RotaryEmbedding", {x, F({2, 2}), F({2, 2})}, {x}, Attr().SetInt("num_heads", 2));
  const Attributes heads = Attr().SetInt("q_num_heads", 4).SetInt("kv_num_heads", 2);
  const auto kv = F({2, 3, 4});
  add("no head counts", "Attention", {x, x, x}, {x});
  add("K without V", "Attention", {x, kv}, {x}, heads);
  add("groups do not divide", "Attention", {x, kv, kv}, {x}, Attr().SetInt("q_num_heads", 4).SetInt("kv_num_heads", 3));
  add("negative heads", "Attention", {x, x, x}, {x}, Attr().SetInt("q_num_heads", -4).SetInt("kv_num_heads", -4));
  add("causal with fewer keys", "Attention", {x, F({2, 2, 4}), F({2, 2, 4})}, {x},
      Attributes(heads).SetInt("is_causal", 1));
  add("Lse of the wrong shape", "Attention", {x, kv, kv}, {x, F({2, 3, 4})}, heads);
  add("packed width does not divide", "Attention", {F({2, 3, 9})}, {F({2, 3, 4})}, heads);
  add("packed with dK", "AttentionGrad", {x, F({2, 3, 16}), None(), None(), x, F({2, 4, 3})}, {F({2, 3, 16}), kv, kv},
      heads);
  add("no Lse", "AttentionGrad", {x, x, kv, kv, x}, {x, kv, kv}, heads);
  add("i32 indices", "Gather", {m, {proto::I32, {3}}}, {F({3, 4})});
  add("another axis", "Gather", {m, I({3})}, {F({4, 3})}, Attr().SetInt("axis", 1));
  add("rows of the wrong size", "GatherGrad", {F({3, 5}), I({3})}, {m});
  add("labels of the scores' shape", "SoftmaxCrossEntropyLoss", {m, I({4, 4})}, {D({}), D({})});
  add("f32 loss", "SoftmaxCrossEntropyLoss", {m, I({4})}, {F({}), D({})});
  add("float labels", "SoftmaxCrossEntropyLossGrad", {m, F({4})}, {m});
  add("weight not transposed", "LinearCrossEntropy", {F({3, 4}), F({4, 9}), I({3})}, {D({}), D({})});
  add("count absent", "LinearCrossEntropy", {F({3, 4}), F({9, 4}), I({3})}, {D({}), None()});
  add("dWeight of the wrong shape", "LinearCrossEntropy", {F({3, 4}), F({9, 4}), I({3})},
      {D({}), D({}), None(), F({4, 9})});
  add("other size", "Reshape", {F({3, 4})}, {F({5, 2})});
  add("other type", "Reshape", {F({3, 4})}, {I({3, 4})});
  add("axis twice", "Transpose", {m}, {m}, Attr().SetInts("perm", {0, 0}));
  add("axis out of range", "Transpose", {m}, {m}, Attr().SetInts("perm", {0, 2}));
  add("perm too short", "Transpose", {m}, {m}, Attr().SetInts("perm", {0}));
  add("pieces too small", "Split", {m}, {F({1, 4}), F({2, 4})});
  add("split says otherwise", "Split", {m}, {F({1, 4}), F({3, 4})}, Attr().SetInts("split", {2, 2}));
  add("axis out of range", "Split", {m}, {m}, Attr().SetInt("axis", 2));
  add("axis far out of range", "Concat", {m}, {m}, Attr().SetInt("axis", -3));
  add("other dimensions differ", "Concat", {F({1, 4}), F({3, 5})}, {m});
  add("not the last axis", "Softmax", {x}, {x}, Attr().SetInt("axis", 0));
  add("axis out of range", "ReduceSum", {m}, {F({4, 1})}, Attr().SetInts("axes", {2}));
  add("keepdims forgotten", "ReduceMean", {m}, {F({4})}, Attr().SetInts("axes", {1}));
  add("does not broadcast back", "ReduceSumTo", {F({3, 4})}, {F({3})});
  add("bf16 accumulator", "ReduceSumTo", {{proto::BF16, {3, 4}}}, {{proto::BF16, {4}}}, Attr().SetInt("accumulate", 1));
  add("shrinks", "Expand", {F({3, 4})}, {F({1, 4})});
  add("short hyper", "AdamW", {D({9})}, {m, m, m, m});
  add("f32 hyper", "AdamW", {F({10})}, {m, m, m, m});
  add("moment of another shape", "AdamW", {D({10})}, {m, m, m, F({4})});
  add("no momentum", "SgdMomentum", {D({10})}, {m, m});
  add("no block", "SquaredSums", {F({7})}, {D({1})});
  add("negative block", "SquaredSums", {F({7})}, {D({1})}, Attr().SetInt("block", -7));
  add("too few sums", "SquaredSums", {F({7})}, {D({1})}, Attr().SetInt("block", 4));
  return all;
}

TEST(OpRules, ParticularMistakesAreRefused) {
  for (const auto& [what, desc] : ParticularMistakes()) ExpectRefused(desc, what);
}

}  // namespace
}  // namespace millrace
