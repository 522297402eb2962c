// The own kernels on the emulator, where the conformance suite does not go: 16-bit types, rows too long for registers,
// sums in many parts, addresses without alignment, indices and labels that are none.
#include <cuda_fp16.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>

#include "kernels/reference/reference.h"
#include "tests/conformance/kernel_case.h"
#include "tests/conformance/run_kernel.h"
#include "tests/kernels/cuda/emulated_device.h"

namespace millrace::cuda {
namespace {

using cases::Attr;
using cases::Case;
using cases::D;
using cases::Dims;
using cases::F;
using cases::I;

HostTensor Normal(const TensorSpec& spec) { return Filled(spec, Fill(), 7); }

constexpr RunKey kKey = {.seed = 3, .step = 9, .micro_batch = 1};

std::unique_ptr<Device> Emulated() { return OpenEmulated({}).value(); }
std::unique_ptr<Device> Reference() { return OpenReference({}).value(); }

void Compare(const KernelCase& c, DType dtype = proto::F32) {
  const OpDesc desc = InType(c.desc, dtype);
  const HostTensors inputs = InputsOf(c, dtype), first = FirstOutputsOf(c, dtype);
  const auto got = RunOp(*Emulated(), desc, inputs, first, kKey);
  ASSERT_TRUE(got.ok()) << desc.Key() << ": " << got.status();
  const auto want = RunOp(*Reference(), desc, inputs, first, kKey);
  ASSERT_TRUE(want.ok()) << desc.Key() << ": " << want.status();
  for (size_t i = 0; i < want->size(); ++i) {
    const Tolerance tolerance = c.exact ? Tolerance() : ToleranceOf(dtype);
    EXPECT_EQ(Difference((*got)[i], (*want)[i], tolerance), "") << "output " << i << " of " << desc.Key();
  }
}

// Cases of the conformance suite with floats, small enough to be run again.
std::vector<KernelCase> SmallCases() {
  const std::set<std::string> elsewhere = {
      "MatMul",    "Gemm",          "FusedMatMul", "MatMulWeightGrad", "Cast",
      "Attention", "AttentionGrad", "Identity",    "Reshape",          "LinearCrossEntropy"};
  std::vector<KernelCase> small;
  for (const KernelCase& c : AllKernelCases()) {
    int64_t most = 0;
    bool floats = false;
    for (const auto* specs : {&c.desc.inputs, &c.desc.outputs}) {
      for (const TensorSpec& spec : *specs) {
        most = std::max(most, spec.elements());
        floats |= spec.dtype == proto::F32;
      }
    }
    if (floats && most <= 30000 && !elsewhere.contains(c.desc.op)) small.push_back(c);
  }
  return small;
}

// Row statistics stay f32 with 16-bit tensors, as accumulators do.
bool IsStatistic(const std::string& op, bool input, int i) {
  if (op == "LayerNormalization" || op == "RMSNormalization") return !input && i > 0;
  return input && i > 2 && (op == "LayerNormalizationGrad" || op == "RMSNormalizationGrad");
}

OpDesc InShort(const OpDesc& desc, DType type) {
  OpDesc out = desc;
  for (int i = 0; i < static_cast<int>(out.inputs.size()); ++i) {
    if (out.inputs[i].dtype == proto::F32 && !IsStatistic(desc.op, true, i)) out.inputs[i].dtype = type;
  }
  for (int i = 0; i < static_cast<int>(out.outputs.size()); ++i) {
    const bool stays = IsStatistic(desc.op, false, i) || IsReadToo(desc, i);
    if (out.outputs[i].dtype == proto::F32 && !stays) out.outputs[i].dtype = type;
  }
  return out;
}

// The test's tensors know no f16. From f32, whose numbers are here of 8 bits and of moderate size, exactly; and back.
HostTensor To(const TensorSpec& spec, const HostTensor& tensor) {
  if (spec.dtype != proto::F16) return Converted(tensor, spec.dtype);
  HostTensor half = {spec, std::vector<char>(spec.bytes())};
  for (int64_t i = 0; i < spec.elements(); ++i) {
    const __half value = __float2half(static_cast<float>(tensor.at(i)));
    std::memcpy(half.bytes.data() + 2 * i, &value, 2);
  }
  return half;
}

HostTensor From(const HostTensor& tensor, DType dtype) {
  if (tensor.spec.dtype != proto::F16) return Converted(tensor, dtype);
  HostTensor full = {{dtype, tensor.spec.dims}, std::vector<char>(2 * tensor.bytes.size())};
  for (int64_t i = 0; i < tensor.spec.elements(); ++i) {
    __half value;
    std::memcpy(&value, tensor.bytes.data() + 2 * i, 2);
    full.set(i, __half2float(value));
  }
  return full;
}

// The reference computes in f32 from the numbers that the kernel is given.
void CompareInShort(const KernelCase& c, DType type, const Tolerance& tolerance) {
  const OpDesc desc = InShort(c.desc, type);
  HostTensors inputs = InputsOf(c, proto::F32), outputs = FirstOutputsOf(c, proto::F32), short_inputs, short_outputs;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (desc.inputs[i].dtype == type) inputs[i] = Converted(Converted(inputs[i], proto::BF16), proto::F32);
    short_inputs.push_back(To(desc.inputs[i], inputs[i]));
  }
  for (size_t i = 0; i < outputs.size(); ++i) short_outputs.push_back(To(desc.outputs[i], outputs[i]));
  const auto got = RunOp(*Emulated(), desc, short_inputs, short_outputs, kKey);
  ASSERT_TRUE(got.ok()) << desc.Key() << ": " << got.status();
  const auto want = RunOp(*Reference(), c.desc, inputs, outputs, kKey);
  ASSERT_TRUE(want.ok()) << c.desc.Key() << ": " << want.status();
  for (size_t i = 0; i < want->size(); ++i) {
    EXPECT_EQ(Difference(From((*got)[i], c.desc.outputs[i].dtype), (*want)[i], tolerance), "")
        << "output " << i << " of " << desc.Key();
  }
}

// With statistics in f32, which the conformance suite's forms in bf16 do not have.
TEST(OwnKernels, NormalisationsInBFloat16) {
  int ran = 0;
  for (const KernelCase& c : SmallCases()) {
    if (c.desc.op.find("Normalization") == std::string::npos) continue;
    CompareInShort(c, proto::BF16, ToleranceOf(proto::BF16));
    ++ran;
  }
  CompareInShort(Case("vectors", "LayerNormalization", {F({5, 72}), F({72}), F({72})}, {F({5, 72})}), proto::BF16,
                 ToleranceOf(proto::BF16));
  EXPECT_GT(ran, 30);
}

TEST(OwnKernels, EverythingInFloat16) {
  const auto small = SmallCases();
  ASSERT_GT(small.size(), 200u);
  for (const KernelCase& c : small) CompareInShort(c, proto::F16, {1.0 / 512, 1.0 / 1024, 1e-4});
}

TEST(OwnKernels, OptimizersOfBFloat16Parameters) {
  const TensorSpec param = {proto::BF16, {1029}}, state = F({1029});
  const HostTensor hyper =
      Filled(D({10}), {.kind = Fill::VALUES, .values = {0.03, 0.125, 0, 7, 0.9, 0.95, 1e-8, 0.1, 0.9, 1}}, 0);
  for (const char* op : {"AdamW", "SgdMomentum"}) {
    OpDesc desc = {op, {D({10})}, {param, state, state}, Attr().SetInt("decay", 1)};
    HostTensors first = {Normal(param), Normal(state), Normal(state)};
    if (desc.op == "AdamW") {
      desc.outputs.push_back(state);
      first.push_back(Filled(state, {.kind = Fill::UNIFORM, .low = 0, .high = 0.1}, 1));
    }
    const auto got = RunOp(*Emulated(), desc, {hyper}, first), want = RunOp(*Reference(), desc, {hyper}, first);
    ASSERT_TRUE(got.ok() && want.ok()) << got.status() << want.status();
    EXPECT_EQ(Difference((*got)[0], (*want)[0], ToleranceOf(proto::BF16)), "") << op;
    for (size_t i = 1; i < first.size(); ++i) {
      EXPECT_EQ(Difference((*got)[i], (*want)[i], ToleranceOf(proto::F32)), "") << op << " " << i;
    }
  }
}

// ---- long rows

KernelCase NormalizationGrad(const std::string& op, const Dims& dims) {
  Dims rows = dims;
  rows.back() = 1;
  const auto x = F(dims), c = F({dims.back()}), row = F(rows);
  if (op == "RMSNormalizationGrad") {
    auto grad = Case("long", op, {x, x, c, row}, {x, c});
    grad.derivations = {{{"RMSNormalization", {x, c}, {x, row}, {}}, {1, 2}, {{1, 3}}}};
    return grad;
  }
  auto grad = Case("long", op, {x, x, c, row, row}, {x, c, c});
  grad.derivations = {{{"LayerNormalization", {x, c}, {x, row, row}, {}}, {1, 2}, {{1, 3}, {2, 4}}}};
  return grad;
}

// 8192 floats are the most that 512 threads keep; sums of 12288 columns the most that stand in shared memory.
TEST(OwnKernels, RowsTooLongForRegisters) {
  for (const int64_t columns : {8192, 8196, 12292}) {
    const auto x = F({3, columns}), c = F({columns}), row = F({3, 1});
    Compare(Case("long", "LayerNormalization", {x, c, c}, {x, row, row}));
    Compare(Case("long", "RMSNormalization", {x, c}, {x, row}));
    Compare(Case("long", "Softmax", {x}, {x}));
    auto grad = Case("long", "SoftmaxGrad", {x, x}, {x});
    grad.derivations = {{{"Softmax", {x}, {x}, {}}, {1}, {{0, 1}}}};
    Compare(grad);
    Compare(NormalizationGrad("LayerNormalizationGrad", {18, columns}));
    Compare(NormalizationGrad("RMSNormalizationGrad", {18, columns}));
  }
  Compare(
      Case("long", "SoftmaxCrossEntropyLossGrad", {F({3, 8196}), I({3})}, {F({3, 8196})}).Input(1, cases::Below(8196)));
}

TEST(OwnKernels, ManyChunksOfRows) { Compare(NormalizationGrad("LayerNormalizationGrad", {2500, 8})); }

// ---- long sums

TEST(OwnKernels, SumsInParts) {
  const Attributes first = Attr().SetInts("axes", {0}), last = Attr().SetInts("axes", {-1});
  Compare(Case("all", "ReduceSum", {F({3, 33333})}, {F({1, 1})}));
  Compare(Case("rows", "ReduceMean", {F({3, 33333})}, {F({3, 1})}, last));
  Compare(Case("columns", "ReduceMean", {F({1100, 13})}, {F({1, 13})}, first));
  Compare(Case("wide_columns", "ReduceSum", {F({1100, 16})}, {F({1, 16})}, first));
  Compare(Case("add", "ReduceSumTo", {F({1100, 16})}, {F({16})}, Attr().SetInt("accumulate", 1)));
  Compare(Case("doubles", "ReduceSum", {D({1100, 16})}, {D({1, 16})}, first));
  Compare(Case("doubles", "ReduceSumTo", {D({3, 7})}, {D({})}, Attr().SetInt("accumulate", 1)));
}

// ---- moves

TEST(OwnKernels, ElementsOfEverySizeAreTurned) {
  for (const DType type : {proto::BOOL, proto::BF16, proto::I32, proto::F64}) {
    const Attributes cycle = Attr().SetInts("perm", {2, 0, 1}), heads = Attr().SetInts("perm", {1, 0, 2});
    Compare(Case("turned", "Transpose", {{type, {3, 65, 34}}}, {{type, {34, 3, 65}}}, cycle).Exact());
    Compare(Case("runs", "Transpose", {{type, {3, 65, 32}}}, {{type, {65, 3, 32}}}, heads).Exact());
    Compare(Case("odd_runs", "Transpose", {{type, {3, 65, 7}}}, {{type, {65, 3, 7}}}, heads).Exact());
  }
}

TEST(OwnKernels, MorePiecesThanOneLaunchTakes) {
  std::vector<TensorSpec> pieces;
  for (int i = 0; i < 37; ++i) pieces.push_back(F({3, i % 5}));
  int64_t columns = 0;
  for (const TensorSpec& piece : pieces) columns += piece.dims[1];
  const Attributes axis = Attr().SetInt("axis", 1);
  Compare(Case("many", "Concat", pieces, {F({3, columns})}, axis).Exact());
  Compare(Case("many", "Split", {F({3, columns})}, pieces, axis).Exact());
  const std::vector<TensorSpec> wide = {F({5, 16}), F({5, 8}), F({5, 24})};
  Compare(Case("wide", "Concat", wide, {F({5, 48})}, axis).Exact());
  Compare(Case("wide", "Split", {F({5, 48})}, wide, axis).Exact());
}

TEST(OwnKernels, RowsOfOneIndexAreAddedInOrder) {
  // More positions than one tile of indices, some rows of the table many times, some never.
  for (const int64_t columns : {5, 516}) {
    const auto table = F({40, columns}), dy = F({2, 300, columns});
    Compare(Case("many", "GatherGrad", {dy, I({2, 300})}, {table}).Input(1, cases::Below(37)));
  }
}

// ---- data that is wrong

HostTensor Integers(const std::vector<double>& values) {
  const TensorSpec spec = I({static_cast<int64_t>(values.size())});
  return Filled(spec, {.kind = Fill::VALUES, .values = values}, 0);
}

TEST(OwnKernels, RowsThatAreNotInTheTableAreNaN) {
  const HostTensor table = Normal(F({4, 8}));
  const OpDesc desc = {"Gather", {F({4, 8}), I({5})}, {F({5, 8})}, {}};
  const auto y = RunOp(*Emulated(), desc, {table, Integers({0, -1, 3, 4, 1e15})}, Trapped(desc.outputs));
  ASSERT_TRUE(y.ok()) << y.status();
  for (int64_t i = 0; i < 8; ++i) {
    EXPECT_EQ((*y)[0].at(i), table.at(i));
    EXPECT_EQ((*y)[0].at(16 + i), table.at(24 + i));
    for (const int64_t row : {1, 3, 4}) EXPECT_TRUE(std::isnan((*y)[0].at(row * 8 + i))) << row;
  }
}

TEST(OwnKernels, GradientsOfRowsThatAreNotInTheTableGoNowhere) {
  const OpDesc desc = {"GatherGrad", {F({5, 8}), I({5})}, {F({4, 8})}, {}};
  const HostTensor dy = Normal(F({5, 8}));
  const HostTensor zeros = Filled(F({4, 8}), {.kind = Fill::VALUES, .values = {0}}, 0);
  const auto table = RunOp(*Emulated(), desc, {dy, Integers({2, -1, 4, -1, 2})}, {zeros});
  ASSERT_TRUE(table.ok()) << table.status();
  for (int64_t i = 0; i < 32; ++i) {
    const double wanted = i / 8 == 2 ? dy.at(i % 8) + dy.at(32 + i % 8) : 0;
    EXPECT_NEAR((*table)[0].at(i), wanted, 1e-6) << i;
  }
}

TEST(OwnKernels, ALabelThatIsNoClassMakesTheLossNaN) {
  const OpDesc desc = {"SoftmaxCrossEntropyLoss", {F({3, 5}), I({3})}, {D({}), D({})}, {}};
  for (const double label : {-1.0, 5.0, 1e15}) {
    const auto loss = RunOp(*Emulated(), desc, {Normal(F({3, 5})), Integers({0, label, 4})}, Trapped(desc.outputs));
    ASSERT_TRUE(loss.ok()) << loss.status();
    EXPECT_TRUE(std::isnan((*loss)[0].at(0))) << label;
  }
}

TEST(OwnKernels, RefuseWhatTheyCannotCompute) {
  const auto device = Emulated();
  const OpDesc doubles = {"AdamW", {D({10})}, {D({5}), D({5}), D({5}), D({5})}, {}};
  EXPECT_EQ(device->NewKernel(doubles).status().code(), absl::StatusCode::kUnimplemented);
  const OpDesc softmax = {"Softmax", {D({3, 5})}, {D({3, 5})}, {}};
  EXPECT_EQ(device->NewKernel(softmax).status().code(), absl::StatusCode::kUnimplemented);
}

// ---- alignment

// Blocks of a shard are those of the whole, wherever the shard begins.
TEST(OwnKernels, SquaredSumsDoNotDependOnTheShard) {
  const auto device = Emulated();
  constexpr int64_t kBlock = 1030, kBlocks = 5, kElements = kBlock * kBlocks;
  const HostTensor x = Normal(F({kElements + 3}));
  const auto sums_at = [&](int64_t begin, int64_t elements) {
    auto memory = device->Allocate(x.bytes.size()).value(), out = device->Allocate(8 * kBlocks).value();
    // Three more elements in front: no address of a block is a multiple of 16.
    EXPECT_TRUE(device->CopyIn(static_cast<float*>(memory.memory()) + 3, x.bytes.data(), 4 * kElements).ok());
    const int64_t blocks = (elements + kBlock - 1) / kBlock;
    const OpDesc desc = {"SquaredSums", {F({elements})}, {D({blocks})}, Attr().SetInt("block", kBlock)};
    const auto kernel = device->NewKernel(desc).value();
    const auto stream = device->NewStream().value();
    void* in[] = {static_cast<float*>(memory.memory()) + 3 + begin};
    void* outs[] = {out.memory()};
    EXPECT_TRUE(kernel->Run(*stream, {in, outs, nullptr, nullptr, {}}).ok());
    std::vector<double> sums(blocks);
    EXPECT_TRUE(device->CopyOut(sums.data(), out.memory(), 8 * blocks).ok());
    return sums;
  };
  const auto whole = sums_at(0, kElements);
  for (int64_t block = 0; block < kBlocks; ++block) {
    const auto rest = sums_at(block * kBlock, kElements - block * kBlock);
    for (size_t i = 0; i < rest.size(); ++i) EXPECT_EQ(rest[i], whole[block + i]) << block << " " << i;
  }
  const OpDesc aligned = {"SquaredSums", {F({kElements})}, {D({kBlocks})}, Attr().SetInt("block", kBlock)};
  HostTensor exact = x;
  exact.spec.dims = {kElements};
  exact.bytes.resize(4 * kElements);
  const auto sums = RunOp(*device, aligned, {exact}, Trapped(aligned.outputs));
  ASSERT_TRUE(sums.ok());
  for (int64_t i = 0; i < kBlocks; ++i) EXPECT_EQ((*sums)[0].at(i), whole[i]);
}

}  // namespace
}  // namespace millrace::cuda
