// The sum of several vectors in a fixed order, on a GPU: SumInOrder of runtime/comm/sum.h, bit for bit.
#ifndef RUNTIME_COMM_NCCL_SUM_IN_ORDER_H_
#define RUNTIME_COMM_NCCL_SUM_IN_ORDER_H_

#include <cstdint>

namespace millrace::nccl {

constexpr int kMostOperands = 128;  // they travel as an argument of the kernel

// What is added, as the element type and the type of the sum.
enum class Summed { kF32, kF64, kBF16, kF16, kU32, kU64 };

// Queues out = ((operands[0] + operands[1]) + ...) on a cudaStream_t. `out` may be one of the operands; 1 to
// kMostOperands of them. Returns a cudaError_t.
int LaunchSumInOrder(Summed type, const void* const* operands, int count_of_operands, void* out, uint64_t count,
                     void* stream);

}  // namespace millrace::nccl

#endif  // RUNTIME_COMM_NCCL_SUM_IN_ORDER_H_
