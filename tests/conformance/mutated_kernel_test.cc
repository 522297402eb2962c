// What CheckOp lets pass is safe to run: cases of the suite, changed at random, are refused or run within their
// operands and agree with the reference.
#include <algorithm>

#include "kernels/op_rules.h"
#include "kernels/random.h"
#include "kernels/reference/reference.h"
#include "tests/conformance/kernel_test.h"
#include "tests/conformance/run_kernel.h"

namespace millrace {
namespace {

constexpr int64_t kMostElements = 20000;

// A sequence of random choices.
class Dice {
 public:
  explicit Dice(uint64_t seed) : random_(seed, RandomKey("mutations"), 0, 0) {}
  int64_t Below(int64_t n) { return random_.Word(next_++) % n; }

 private:
  const Philox random_;
  uint64_t next_ = 0;
};

std::vector<TensorSpec*> Operands(OpDesc& desc) {
  std::vector<TensorSpec*> operands;
  for (auto* specs : {&desc.inputs, &desc.outputs}) {
    for (TensorSpec& spec : *specs) operands.push_back(&spec);
  }
  return operands;
}

int64_t LargestElements(OpDesc& desc) {
  int64_t most = 0;
  for (const TensorSpec* spec : Operands(desc)) most = std::max(most, spec->elements());
  return most;
}

// A backend may decline to compute nothing.
bool HasEmptyOperand(OpDesc& desc) {
  const auto operands = Operands(desc);
  return std::any_of(operands.begin(), operands.end(),
                     [](const TensorSpec* spec) { return spec->present() && spec->elements() == 0; });
}

// Every size `from` becomes `to`, in all operands: what was one dimension of the problem stays one.
void Resize(OpDesc& desc, int64_t from, int64_t to) {
  for (TensorSpec* spec : Operands(desc)) std::replace(spec->dims.begin(), spec->dims.end(), from, to);
}

void Mutate(Dice& dice, OpDesc& desc) {
  const auto operands = Operands(desc);
  TensorSpec& spec = *operands[dice.Below(operands.size())];
  const int64_t sizes[] = {0, 1, 2, 3, 4, 5, 8, 16, 17, 33, 64};
  const int64_t size = sizes[dice.Below(std::size(sizes))];
  switch (dice.Below(7)) {
    case 0:
    case 1:
    case 2:
      if (!spec.dims.empty()) Resize(desc, spec.dims[dice.Below(spec.dims.size())], size);
      break;
    case 3:
      if (!spec.dims.empty()) spec.dims[dice.Below(spec.dims.size())] = size;
      break;
    case 4:
      spec = {};
      break;
    case 5:
      if (dice.Below(2) == 0) {
        spec.dims.insert(spec.dims.begin(), size);
      } else if (!spec.dims.empty()) {
        spec.dims.erase(spec.dims.begin());
      }
      break;
    case 6: {
      const char* names[] = {"transA",       "transB",    "packed",       "is_causal",   "q_num_heads",
                             "kv_num_heads", "num_heads", "axis",         "interleaved", "inverse",
                             "accumulate",   "decay",     "ignore_index", "block",       "keepdims"};
      desc.attributes.SetInt(names[dice.Below(std::size(names))], dice.Below(6) - 1);
      break;
    }
  }
}

}  // namespace

TEST_P(MutatedKernels, AreRefusedOrRunWithinTheirOperands) {
  const auto device = GetParam().open({});
  if (absl::IsUnavailable(device.status())) GTEST_SKIP() << device.status();
  ASSERT_TRUE(device.ok()) << device.status();
  const auto reference = OpenReference({});
  const auto& cases = AllKernelCases();
  int ran = 0, refused = 0;
  for (uint64_t seed = 0; seed < 12000; ++seed) {
    Dice dice(seed);
    KernelCase c = cases[dice.Below(cases.size())];
    if (LargestElements(c.desc) > kMostElements) continue;
    for (int64_t count = 1 + dice.Below(3); count > 0; --count) Mutate(dice, c.desc);
    if (!CheckOp(c.desc).ok()) {
      EXPECT_FALSE((*device)->NewKernel(c.desc).ok()) << c.desc.Key();
      ++refused;
      continue;
    }
    if (LargestElements(c.desc) > 4 * kMostElements) continue;
    // Statistics need not be those of the inputs here, but finite; indices and labels must be in range.
    c.derivations.clear();
    for (int i = 0; i < static_cast<int>(c.desc.inputs.size()); ++i) {
      if (c.desc.inputs[i].dtype == proto::I64) c.inputs[i] = {.kind = Fill::VALUES, .values = {0}};
    }
    const HostTensors inputs = InputsOf(c, proto::F32), first = FirstOutputsOf(c, proto::F32);
    const auto want = RunOp(**reference, c.desc, inputs, first);
    if (!want.ok()) continue;  // no index is in range
    const auto got = RunOp(**device, c.desc, inputs, first);
    if (!got.ok() && HasEmptyOperand(c.desc)) continue;
    EXPECT_TRUE(got.ok()) << c.desc.Key() << ": " << got.status();
    if (!got.ok()) continue;
    for (size_t i = 0; i < want->size(); ++i) {
      EXPECT_EQ(Difference((*got)[i], (*want)[i], {1e-3, 1e-3, 1e-6}), "") << "output " << i << " of " << c.desc.Key();
    }
    ++ran;
  }
  EXPECT_GT(ran, 1000);
  EXPECT_GT(refused, 1000);
}

}  // namespace millrace
