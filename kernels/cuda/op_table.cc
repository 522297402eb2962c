#include "kernels/cuda/op_table.h"

namespace millrace::cuda {
namespace {

constexpr OpFamily kFamilies[] = {
    // cuBLASLt
    {"MatMul", NewMatMul},
    {"Gemm", NewMatMul},
    {"FusedMatMul", NewMatMul},
    {"MatMulWeightGrad", NewMatMulWeightGrad},
    {"LinearCrossEntropy", NewLinearCrossEntropy},
    // unary.cc, binary.cc
    {"Identity", NewCopy},
    {"Neg", NewUnary},
    {"Relu", NewUnary},
    {"Tanh", NewUnary},
    {"Sigmoid", NewUnary},
    {"Silu", NewUnary},
    {"Gelu", NewUnary},
    {"ReluGrad", NewUnary},
    {"SiluGrad", NewUnary},
    {"GeluGrad", NewUnary},
    {"TanhGrad", NewUnary},
    {"SigmoidGrad", NewUnary},
    {"Add", NewBinary},
    {"Sub", NewBinary},
    {"Mul", NewBinary},
    {"Div", NewBinary},
    // copies
    {"Reshape", NewCopy},
};

}  // namespace

absl::Span<const OpFamily> OpTable() { return kFamilies; }

}  // namespace millrace::cuda
