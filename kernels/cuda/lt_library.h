// The functions of cuBLASLt that we call, loaded on demand, with the types of cuBLASLt's own header.
#ifndef KERNELS_CUDA_LT_LIBRARY_H_
#define KERNELS_CUDA_LT_LIBRARY_H_

#include <cublasLt.h>

#include <string>

#include "absl/status/statusor.h"

namespace millrace::cuda {

struct LtLibrary {
  decltype(::cublasLtGetVersion)* GetVersion = nullptr;
  decltype(::cublasLtGetStatusString)* GetStatusString = nullptr;
  decltype(::cublasLtCreate)* Create = nullptr;
  decltype(::cublasLtDestroy)* Destroy = nullptr;
  decltype(::cublasLtMatmul)* Matmul = nullptr;
  decltype(::cublasLtMatmulDescInit_internal)* MatmulDescInit = nullptr;
  decltype(::cublasLtMatmulDescSetAttribute)* MatmulDescSetAttribute = nullptr;
  decltype(::cublasLtMatrixLayoutInit_internal)* MatrixLayoutInit = nullptr;
  decltype(::cublasLtMatrixLayoutSetAttribute)* MatrixLayoutSetAttribute = nullptr;
  decltype(::cublasLtMatmulPreferenceInit_internal)* MatmulPreferenceInit = nullptr;
  decltype(::cublasLtMatmulPreferenceSetAttribute)* MatmulPreferenceSetAttribute = nullptr;
  decltype(::cublasLtMatmulAlgoGetHeuristic)* MatmulAlgoGetHeuristic = nullptr;
  decltype(::cublasLtMatmulAlgoConfigGetAttribute)* MatmulAlgoConfigGetAttribute = nullptr;

  // Loaded once per process; lives as long as it. UNAVAILABLE: the library is not there, and where it was looked for.
  static absl::StatusOr<const LtLibrary*> Load();

  std::string Version() const;  // "13.1.0"
};

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_LT_LIBRARY_H_
