// Which instruction sets the Highway kernels are compiled for: AVX-512, AVX2 and the portable fallback on x86. Include
// before any Highway header.
#ifndef KERNELS_CPU_SIMD_TARGETS_H_
#define KERNELS_CPU_SIMD_TARGETS_H_

// Processors with SSE4 but no AVX2 are older than 2013; leaving them to the fallback halves the time to compile.
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4)

#endif  // KERNELS_CPU_SIMD_TARGETS_H_
