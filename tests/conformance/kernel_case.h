// A kernel call to test: what to compute, from what. The case lists are in kernel_cases_*.cc; every backend runs all.
#ifndef TESTS_CONFORMANCE_KERNEL_CASE_H_
#define TESTS_CONFORMANCE_KERNEL_CASE_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "kernels/op_desc.h"
#include "tests/conformance/host_tensor.h"

namespace millrace {

// Inputs that are results of another operator (statistics of a normalisation, Lse), computed by the reference.
struct Derivation {
  OpDesc desc;
  std::vector<int> from;                // the case's inputs that are this operator's inputs; -1: absent
  std::vector<std::pair<int, int>> to;  // (output of this operator, input of the case)
};

struct KernelCase {
  std::string name;             // "<op>_<what is special>", unique; letters, digits and _
  OpDesc desc;                  // in f32
  std::map<int, Fill> inputs;   // by position; normal random numbers where there is none
  std::map<int, Fill> outputs;  // first contents of outputs that are read too
  std::vector<Derivation> derivations;
  bool exact = false;  // only moves or selects: equal values are demanded

  KernelCase& Input(int i, Fill fill) { return inputs[i] = std::move(fill), *this; }
  KernelCase& Output(int i, Fill fill) { return outputs[i] = std::move(fill), *this; }
  KernelCase& Exact() { return exact = true, *this; }
};

// Is output i read as well as written: an accumulator, or the state of an optimizer?
bool IsReadToo(const OpDesc& desc, int output);

// The same case computed in another type: f32 floats become `dtype`; for bf16, outputs that are read too and statistics
// stay f32.
OpDesc InType(const OpDesc& desc, DType dtype);
// Belongs to the operators that take bf16: MatMul, FusedMatMul, MatMulWeightGrad, LinearCrossEntropy.
bool HasBFloat16Form(const OpDesc& desc);

const std::vector<KernelCase>& AllKernelCases();

// For the lists.
namespace cases {

using Dims = std::vector<int64_t>;

TensorSpec F(const Dims& dims);  // f32
TensorSpec D(const Dims& dims);  // f64
TensorSpec I(const Dims& dims);  // i64
inline TensorSpec None() { return {}; }
inline Attributes Attr() { return Attributes(); }
inline Fill Below(int64_t n) { return {.kind = Fill::INTEGERS, .low = 0, .high = static_cast<double>(n)}; }

KernelCase Case(const std::string& suffix, const std::string& op, std::vector<TensorSpec> inputs,
                std::vector<TensorSpec> outputs, const Attributes& attributes = {});

std::vector<KernelCase> MatMulCases();
std::vector<KernelCase> ElementwiseCases();
std::vector<KernelCase> RowCases();        // normalisation, softmax, losses
std::vector<KernelCase> AttentionCases();  // attention, rotary, gather
std::vector<KernelCase> ShapeCases();      // shape, reductions
std::vector<KernelCase> OptimizerCases();

}  // namespace cases
}  // namespace millrace

#endif  // TESTS_CONFORMANCE_KERNEL_CASE_H_
