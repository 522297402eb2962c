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
    {"Attention", NewAttention},
    {"AttentionGrad", NewAttention},
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
    {"Dropout", NewDropout},
    {"Cast", NewCast},
    {"Accumulate", NewAccumulate},
    {"Expand", NewExpand},
    // moves
    {"Reshape", NewCopy},
    {"Fork", NewFork},
    {"Split", NewSplit},
    {"Concat", NewConcat},
    {"Transpose", NewTranspose},
    {"Gather", NewGather},
    {"GatherGrad", NewGatherGrad},
    {"RotaryEmbedding", NewRotary},
    // rows and sums
    {"LayerNormalization", NewNormalization},
    {"LayerNormalizationGrad", NewNormalizationGrad},
    {"RMSNormalization", NewNormalization},
    {"RMSNormalizationGrad", NewNormalizationGrad},
    {"Softmax", NewSoftmax},
    {"SoftmaxGrad", NewSoftmax},
    {"SoftmaxCrossEntropyLoss", NewCrossEntropy},
    {"SoftmaxCrossEntropyLossGrad", NewCrossEntropy},
    {"ReduceSum", NewReduce},
    {"ReduceMean", NewReduce},
    {"ReduceSumTo", NewReduce},
    // optimizers
    {"AdamW", NewOptimizer},
    {"SgdMomentum", NewOptimizer},
    {"SquaredSums", NewSquaredSums},
};

}  // namespace

absl::Span<const OpFamily> OpTable() { return kFamilies; }

}  // namespace millrace::cuda
