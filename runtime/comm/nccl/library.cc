// The table of NCCL's calls, made by NCCL. The only file that sees its header.
#include <cuda_runtime_api.h>
#include <nccl.h>

#include <cstring>

#include "absl/strings/str_cat.h"
#include "runtime/comm/nccl/nccl.h"
#include "runtime/comm/nccl/nccl_api.h"

namespace millrace::nccl {
namespace {

static_assert(static_cast<int>(Code::kSuccess) == ncclSuccess && static_cast<int>(Code::kInProgress) == ncclInProgress &&
              static_cast<int>(Code::kRemoteError) == ncclRemoteError &&
              static_cast<int>(Code::kInvalidUsage) == ncclInvalidUsage);
static_assert(sizeof(UniqueId) == NCCL_UNIQUE_ID_BYTES && sizeof(UniqueId) == sizeof(ncclUniqueId));
static_assert(kNoColor == NCCL_SPLIT_NOCOLOR);

Code From(ncclResult_t result) { return static_cast<Code>(result); }
ncclComm_t To(Comm comm) { return static_cast<ncclComm_t>(comm); }
cudaStream_t On(void* stream) { return static_cast<cudaStream_t>(stream); }

ncclDataType_t TypeOf(DType dtype) {
  switch (dtype) {
    case proto::F32: return ncclFloat32;
    case proto::F64: return ncclFloat64;
    case proto::BF16: return ncclBfloat16;
    case proto::F16: return ncclFloat16;
    case proto::I32: return ncclInt32;
    case proto::I64: return ncclInt64;
    default: return ncclUint8;
  }
}

class Library : public NcclApi {
 public:
  Code Version(int* version) override { return From(ncclGetVersion(version)); }
  Code UseDeviceOf(void* stream) override {
    int device = 0;
    const bool done = cudaStreamGetDevice(On(stream), &device) == cudaSuccess && cudaSetDevice(device) == cudaSuccess;
    return done ? Code::kSuccess : Code::kUnhandledCudaError;
  }

  Code GetUniqueId(UniqueId* id) override {
    ncclUniqueId made;
    const Code code = From(ncclGetUniqueId(&made));
    std::memcpy(id->data(), made.internal, id->size());
    return code;
  }
  Code InitRank(Comm* comm, int size, const UniqueId& id, int rank) override {
    ncclUniqueId given;
    std::memcpy(given.internal, id.data(), id.size());
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    return From(ncclCommInitRankConfig(reinterpret_cast<ncclComm_t*>(comm), size, given, rank, &config));
  }
  Code Split(Comm parent, int color, int key, bool share, Comm* child) override {
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    config.splitShare = share ? 1 : 0;
    return From(ncclCommSplit(To(parent), color, key, reinterpret_cast<ncclComm_t*>(child), &config));
  }
  Code AsyncError(Comm comm, Code* state) override {
    ncclResult_t result = ncclSuccess;
    const Code code = From(ncclCommGetAsyncError(To(comm), &result));
    *state = From(result);
    return code;
  }
  Code Finalize(Comm comm) override { return From(ncclCommFinalize(To(comm))); }
  Code Destroy(Comm comm) override { return From(ncclCommDestroy(To(comm))); }
  Code Abort(Comm comm) override { return From(ncclCommAbort(To(comm))); }
  Code Register(Comm comm, void* memory, uint64_t bytes, void** handle) override {
    return From(ncclCommRegister(To(comm), memory, bytes, handle));
  }
  Code Deregister(Comm comm, void* handle) override { return From(ncclCommDeregister(To(comm), handle)); }

  Code GroupStart() override { return From(ncclGroupStart()); }
  Code GroupEnd() override { return From(ncclGroupEnd()); }
  Code Send(const void* memory, uint64_t bytes, int peer, Comm comm, void* stream) override {
    return From(ncclSend(memory, bytes, ncclUint8, peer, To(comm), On(stream)));
  }
  Code Recv(void* memory, uint64_t bytes, int peer, Comm comm, void* stream) override {
    return From(ncclRecv(memory, bytes, ncclUint8, peer, To(comm), On(stream)));
  }
  Code Broadcast(const void* from, void* to, uint64_t bytes, int root, Comm comm, void* stream) override {
    return From(ncclBroadcast(from, to, bytes, ncclUint8, root, To(comm), On(stream)));
  }
  Code AllGather(const void* from, void* to, uint64_t bytes, Comm comm, void* stream) override {
    return From(ncclAllGather(from, to, bytes, ncclUint8, To(comm), On(stream)));
  }
  Code AllReduce(const void* from, void* to, uint64_t count, DType dtype, Comm comm, void* stream) override {
    return From(ncclAllReduce(from, to, count, TypeOf(dtype), ncclSum, To(comm), On(stream)));
  }
  Code Reduce(const void* from, void* to, uint64_t count, DType dtype, int root, Comm comm, void* stream) override {
    return From(ncclReduce(from, to, count, TypeOf(dtype), ncclSum, root, To(comm), On(stream)));
  }
  Code ReduceScatter(const void* from, void* to, uint64_t count_each, DType dtype, Comm comm, void* stream) override {
    return From(ncclReduceScatter(from, to, count_each, TypeOf(dtype), ncclSum, To(comm), On(stream)));
  }

  std::string Describe(Code code, Comm comm) override {
    const char* const last = ncclGetLastError(To(comm));
    return absl::StrCat(ncclGetErrorString(static_cast<ncclResult_t>(code)),
                        last == nullptr || *last == '\0' ? "" : ": ", last == nullptr ? "" : last);
  }
};

}  // namespace

absl::StatusOr<NcclApi*> TheNccl() {
  static auto* const library = new Library;
  return library;
}

}  // namespace millrace::nccl

namespace millrace {

bool NcclIsLinked() { return true; }

std::string NcclVersion() {
  int version = 0;
  if (ncclGetVersion(&version) != ncclSuccess) return "";
  return absl::StrCat("NCCL ", version / 10000, ".", version / 100 % 100, ".", version % 100);
}

}  // namespace millrace
