#include "kernels/cuda/cudnn_library.h"

#include "absl/strings/str_cat.h"
#include "kernels/cuda/dynamic_library.h"
#include "proto/status_macros.h"

namespace millrace::cuda {
namespace {

absl::StatusOr<const CudnnLibrary*> LoadOnce() {
  MR_ASSIGN_OR_RETURN(const DynamicLibrary library, DynamicLibrary::Open(absl::StrCat("libcudnn.so.", CUDNN_MAJOR)));
  auto* cudnn = new CudnnLibrary;
  for (const absl::Status& status : {
           library.Resolve("cudnnGetVersion", &cudnn->GetVersion),
           library.Resolve("cudnnGetErrorString", &cudnn->GetErrorString),
           library.Resolve("cudnnCreate", &cudnn->Create),
           library.Resolve("cudnnDestroy", &cudnn->Destroy),
           library.Resolve("cudnnSetStream", &cudnn->SetStream),
           library.Resolve("cudnnBackendCreateDescriptor", &cudnn->CreateDescriptor),
           library.Resolve("cudnnBackendDestroyDescriptor", &cudnn->DestroyDescriptor),
           library.Resolve("cudnnBackendSetAttribute", &cudnn->SetAttribute),
           library.Resolve("cudnnBackendGetAttribute", &cudnn->GetAttribute),
           library.Resolve("cudnnBackendFinalize", &cudnn->Finalize),
           library.Resolve("cudnnBackendExecute", &cudnn->Execute),
       }) {
    MR_RETURN_IF_ERROR(status);
  }
  return cudnn;
}

}  // namespace

absl::StatusOr<const CudnnLibrary*> CudnnLibrary::Load() {
  static const auto* const loaded = new absl::StatusOr<const CudnnLibrary*>(LoadOnce());
  return *loaded;
}

std::string CudnnLibrary::Version() const {
  const size_t version = GetVersion();  // 91900: 9.19.0
  return absl::StrCat(version / 10000, ".", version / 100 % 100, ".", version % 100);
}

}  // namespace millrace::cuda
