// Bound by memory: 2 to 4 accesses per element. A pass that an epilogue would save, for the activations that no
// epilogue knows.
#include "kernels/cuda/dispatch.cuh"
#include "kernels/cuda/finish_rows.h"
#include "kernels/cuda/launch_kernel.cuh"
#include "kernels/cuda/vector.cuh"

namespace millrace::cuda {
namespace {

// N divides `columns`, so an access never straddles two rows.
template <typename T, int N>
__global__ void FinishKernel(MapOp op, const T* product, const T* bias, const T* residual, T* pre, T* y,
                             int64_t elements, int64_t columns) {
  for (int64_t i = FirstElement<N>(); i < elements; i += GridStride<N>()) {
    float x[N];
    LoadUpTo(product + i, elements - i, x);
    if (bias != nullptr) {
      float added[N];
      LoadUpTo(bias + i % columns, N, added);
#pragma unroll
      for (int k = 0; k < N; ++k) x[k] += added[k];
    }
    if (pre != nullptr) StoreUpTo(x, elements - i, pre + i);
    MapAll(op, x);
    if (residual != nullptr) {
      float added[N];
      LoadUpTo(residual + i, elements - i, added);
#pragma unroll
      for (int k = 0; k < N; ++k) x[k] += added[k];
    }
    StoreUpTo(x, elements - i, y + i);
  }
}

template <typename T>
__global__ void AddScaledKernel(AddScaledCall call) {
  T* y = static_cast<T*>(call.y);
  const T* c = static_cast<const T*>(call.c);
  for (int64_t i = FirstElement<1>(); i < call.rows * call.columns; i += GridStride<1>()) {
    const int64_t from = i / call.columns * call.c_row + i % call.columns * call.c_column;
    y[i] = FromFloat<T>(ToFloat(y[i]) + call.beta * ToFloat(c[from]));
  }
}

}  // namespace

Code LaunchFinish(const FinishCall& call, StreamHandle stream) {
  return ForFloatType(call.type, [&]<typename T>(TypeTag<T>) {
    const auto of = [](const void* memory) { return static_cast<const T*>(memory); };
    const int64_t elements = call.rows * call.columns;
    const int n = VectorElements(sizeof(T), {Address(call.product), Address(call.bias), Address(call.residual),
                                             Address(call.pre), Address(call.y), call.columns * sizeof(T)});
    return LaunchKernel(n == 1 ? FinishKernel<T, 1> : FinishKernel<T, kPerAccess<T>>, ForElements(elements, n), stream,
                        call.activation, of(call.product), of(call.bias), of(call.residual), static_cast<T*>(call.pre),
                        static_cast<T*>(call.y), elements, call.columns);
  });
}

Code LaunchAddScaled(const AddScaledCall& call, StreamHandle stream) {
  const Launch at = ForElements(call.rows * call.columns, 1);
  return ForFloatType(call.type,
                      [&]<typename T>(TypeTag<T>) { return LaunchKernel(AddScaledKernel<T>, at, stream, call); });
}

}  // namespace millrace::cuda
