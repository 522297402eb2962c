// The functions of cuDNN's backend API that we call, loaded on demand, with the types of cuDNN's own header.
#ifndef KERNELS_CUDA_CUDNN_LIBRARY_H_
#define KERNELS_CUDA_CUDNN_LIBRARY_H_

#include <cudnn.h>

#include <string>

#include "absl/status/statusor.h"

namespace millrace::cuda {

struct CudnnLibrary {
  decltype(::cudnnGetVersion)* GetVersion = nullptr;
  decltype(::cudnnGetErrorString)* GetErrorString = nullptr;
  decltype(::cudnnCreate)* Create = nullptr;
  decltype(::cudnnDestroy)* Destroy = nullptr;
  decltype(::cudnnSetStream)* SetStream = nullptr;
  decltype(::cudnnBackendCreateDescriptor)* CreateDescriptor = nullptr;
  decltype(::cudnnBackendDestroyDescriptor)* DestroyDescriptor = nullptr;
  decltype(::cudnnBackendSetAttribute)* SetAttribute = nullptr;
  decltype(::cudnnBackendGetAttribute)* GetAttribute = nullptr;
  decltype(::cudnnBackendFinalize)* Finalize = nullptr;
  decltype(::cudnnBackendExecute)* Execute = nullptr;

  // Loaded once per process; lives as long as it. UNAVAILABLE: the library is not there, and where it was looked for.
  static absl::StatusOr<const CudnnLibrary*> Load();

  std::string Version() const;  // "9.19.0"
};

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_CUDNN_LIBRARY_H_
