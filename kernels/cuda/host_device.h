// Functions that nvcc compiles for the GPU and g++ for tests on the host. The one place that asks which compiler it is.
#ifndef KERNELS_CUDA_HOST_DEVICE_H_
#define KERNELS_CUDA_HOST_DEVICE_H_

#ifdef __CUDACC__
#define MR_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define MR_HOST_DEVICE inline
#endif

// nvcc gives host code to g++, which knows no such pragma.
#ifdef __CUDA_ARCH__
#define MR_UNROLL _Pragma("unroll")
#else
#define MR_UNROLL
#endif

#endif  // KERNELS_CUDA_HOST_DEVICE_H_
