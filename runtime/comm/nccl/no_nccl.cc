// Linked instead of library.cc by a build without NCCL (--//runtime/comm/nccl:link_nccl=false).
#include "absl/status/status.h"
#include "runtime/comm/nccl/nccl.h"
#include "runtime/comm/nccl/nccl_api.h"

namespace millrace {

namespace nccl {

absl::StatusOr<NcclApi*> TheNccl() {
  return absl::UnimplementedError(
      "this program was built without NCCL: nccl.h and libnccl were not found. Install NVIDIA's CUDA toolkit and NCCL, "
      "run tools/setup.sh, build again, or use --comm=in_process or --comm=gloo");
}

}  // namespace nccl

bool NcclIsLinked() { return false; }
std::string NcclVersion() { return ""; }

NcclCommunicator::SumFn SumOnGpu() {
  return [](Stream&, DType, absl::Span<const void* const>, void*, uint64_t) {
    return absl::UnimplementedError("this program was built without NCCL: it has no sum in rank order on a GPU");
  };
}

}  // namespace millrace
