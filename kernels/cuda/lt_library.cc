#include "kernels/cuda/lt_library.h"

#include "absl/strings/str_cat.h"
#include "kernels/cuda/dynamic_library.h"
#include "proto/status_macros.h"

namespace millrace::cuda {
namespace {

absl::StatusOr<const LtLibrary*> LoadOnce() {
  MR_ASSIGN_OR_RETURN(const DynamicLibrary library,
                      DynamicLibrary::Open(absl::StrCat("libcublasLt.so.", CUBLAS_VER_MAJOR)));
  auto* lt = new LtLibrary;
  for (const absl::Status& status : {
           library.Resolve("cublasLtGetVersion", &lt->GetVersion),
           library.Resolve("cublasLtGetStatusString", &lt->GetStatusString),
           library.Resolve("cublasLtCreate", &lt->Create),
           library.Resolve("cublasLtDestroy", &lt->Destroy),
           library.Resolve("cublasLtMatmul", &lt->Matmul),
           library.Resolve("cublasLtMatmulDescInit_internal", &lt->MatmulDescInit),
           library.Resolve("cublasLtMatmulDescSetAttribute", &lt->MatmulDescSetAttribute),
           library.Resolve("cublasLtMatrixLayoutInit_internal", &lt->MatrixLayoutInit),
           library.Resolve("cublasLtMatrixLayoutSetAttribute", &lt->MatrixLayoutSetAttribute),
           library.Resolve("cublasLtMatmulPreferenceInit_internal", &lt->MatmulPreferenceInit),
           library.Resolve("cublasLtMatmulPreferenceSetAttribute", &lt->MatmulPreferenceSetAttribute),
           library.Resolve("cublasLtMatmulAlgoGetHeuristic", &lt->MatmulAlgoGetHeuristic),
           library.Resolve("cublasLtMatmulAlgoConfigGetAttribute", &lt->MatmulAlgoConfigGetAttribute),
       }) {
    MR_RETURN_IF_ERROR(status);
  }
  return lt;
}

}  // namespace

absl::StatusOr<const LtLibrary*> LtLibrary::Load() {
  static const auto* const loaded = new absl::StatusOr<const LtLibrary*>(LoadOnce());
  return *loaded;
}

std::string LtLibrary::Version() const {
  const size_t version = GetVersion();  // 130100: 13.1.0
  return absl::StrCat(version / 10000, ".", version / 100 % 100, ".", version % 100);
}

}  // namespace millrace::cuda
