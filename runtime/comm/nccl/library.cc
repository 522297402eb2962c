// The table of NCCL's calls, made by NCCL. The only file that sees its header. The library itself is loaded when it is
// first asked for, so that a program with NCCL starts where there is none.
#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <nccl.h>

#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "runtime/comm/nccl/nccl.h"
#include "runtime/comm/nccl/nccl_api.h"
#include "runtime/comm/nccl/sum_in_order.h"

namespace millrace::nccl {
namespace {

static_assert(static_cast<int>(Code::kSuccess) == ncclSuccess &&
              static_cast<int>(Code::kInProgress) == ncclInProgress &&
              static_cast<int>(Code::kRemoteError) == ncclRemoteError &&
              static_cast<int>(Code::kInvalidUsage) == ncclInvalidUsage);
static_assert(sizeof(UniqueId) == NCCL_UNIQUE_ID_BYTES && sizeof(UniqueId) == sizeof(ncclUniqueId));
static_assert(kNoColor == NCCL_SPLIT_NOCOLOR);

constexpr char kLibrary[] = "libnccl.so.2";

// NCCL's functions by their names.
struct Functions {
  decltype(&ncclGetVersion) GetVersion;
  decltype(&ncclGetUniqueId) GetUniqueId;
  decltype(&ncclCommInitRankConfig) CommInitRankConfig;
  decltype(&ncclCommSplit) CommSplit;
  decltype(&ncclCommGetAsyncError) CommGetAsyncError;
  decltype(&ncclCommFinalize) CommFinalize;
  decltype(&ncclCommDestroy) CommDestroy;
  decltype(&ncclCommAbort) CommAbort;
  decltype(&ncclCommRegister) CommRegister;
  decltype(&ncclCommDeregister) CommDeregister;
  decltype(&ncclGroupStart) GroupStart;
  decltype(&ncclGroupEnd) GroupEnd;
  decltype(&ncclSend) Send;
  decltype(&ncclRecv) Recv;
  decltype(&ncclBroadcast) Broadcast;
  decltype(&ncclAllGather) AllGather;
  decltype(&ncclAllReduce) AllReduce;
  decltype(&ncclReduce) Reduce;
  decltype(&ncclReduceScatter) ReduceScatter;
  decltype(&ncclGetErrorString) GetErrorString;
  decltype(&ncclGetLastError) GetLastError;
};

absl::Status Load(Functions* functions) {
  void* const library = dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    return absl::UnavailableError(
        absl::StrCat("NCCL cannot be loaded: ", dlerror(), ". Install NCCL ", NCCL_MAJOR, ".", NCCL_MINOR,
                     " or newer, add its folder to LD_LIBRARY_PATH, or use --comm=in_process or --comm=gloo"));
  }
  const char* missing = nullptr;
  const auto find = [&](const char* name, auto* function) {
    *function = reinterpret_cast<std::decay_t<decltype(*function)>>(dlsym(library, name));
    if (*function == nullptr && missing == nullptr) missing = name;
  };
  find("ncclGetVersion", &functions->GetVersion);
  find("ncclGetUniqueId", &functions->GetUniqueId);
  find("ncclCommInitRankConfig", &functions->CommInitRankConfig);
  find("ncclCommSplit", &functions->CommSplit);
  find("ncclCommGetAsyncError", &functions->CommGetAsyncError);
  find("ncclCommFinalize", &functions->CommFinalize);
  find("ncclCommDestroy", &functions->CommDestroy);
  find("ncclCommAbort", &functions->CommAbort);
  find("ncclCommRegister", &functions->CommRegister);
  find("ncclCommDeregister", &functions->CommDeregister);
  find("ncclGroupStart", &functions->GroupStart);
  find("ncclGroupEnd", &functions->GroupEnd);
  find("ncclSend", &functions->Send);
  find("ncclRecv", &functions->Recv);
  find("ncclBroadcast", &functions->Broadcast);
  find("ncclAllGather", &functions->AllGather);
  find("ncclAllReduce", &functions->AllReduce);
  find("ncclReduce", &functions->Reduce);
  find("ncclReduceScatter", &functions->ReduceScatter);
  find("ncclGetErrorString", &functions->GetErrorString);
  find("ncclGetLastError", &functions->GetLastError);
  if (missing == nullptr) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(kLibrary, " is too old: it lacks ", missing, ". Install NCCL ", NCCL_MAJOR,
                                             ".", NCCL_MINOR, " or newer"));
}

Code From(ncclResult_t result) { return static_cast<Code>(result); }
ncclComm_t To(Comm comm) { return static_cast<ncclComm_t>(comm); }
cudaStream_t On(void* stream) { return static_cast<cudaStream_t>(stream); }

ncclDataType_t TypeOf(DType dtype) {
  switch (dtype) {
    case proto::F32:
      return ncclFloat32;
    case proto::F64:
      return ncclFloat64;
    case proto::BF16:
      return ncclBfloat16;
    case proto::F16:
      return ncclFloat16;
    case proto::I32:
      return ncclInt32;
    case proto::I64:
      return ncclInt64;
    default:
      return ncclUint8;
  }
}

class Library : public NcclApi {
 public:
  absl::Status Load() { return nccl::Load(&nccl_); }

  Code Version(int* version) override { return From(nccl_.GetVersion(version)); }
  Code UseDeviceOf(void* stream) override {
    int device = 0;
    const bool done = cudaStreamGetDevice(On(stream), &device) == cudaSuccess && cudaSetDevice(device) == cudaSuccess;
    return done ? Code::kSuccess : Code::kUnhandledCudaError;
  }

  Code GetUniqueId(UniqueId* id) override {
    ncclUniqueId made;
    const Code code = From(nccl_.GetUniqueId(&made));
    std::memcpy(id->data(), made.internal, id->size());
    return code;
  }
  Code InitRank(Comm* comm, int size, const UniqueId& id, int rank) override {
    ncclUniqueId given;
    std::memcpy(given.internal, id.data(), id.size());
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    return From(nccl_.CommInitRankConfig(reinterpret_cast<ncclComm_t*>(comm), size, given, rank, &config));
  }
  Code Split(Comm parent, int color, int key, bool share, Comm* child) override {
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    config.splitShare = share ? 1 : 0;
    return From(nccl_.CommSplit(To(parent), color, key, reinterpret_cast<ncclComm_t*>(child), &config));
  }
  Code AsyncError(Comm comm, Code* state) override {
    ncclResult_t result = ncclSuccess;
    const Code code = From(nccl_.CommGetAsyncError(To(comm), &result));
    *state = From(result);
    return code;
  }
  Code Finalize(Comm comm) override { return From(nccl_.CommFinalize(To(comm))); }
  Code Destroy(Comm comm) override { return From(nccl_.CommDestroy(To(comm))); }
  Code Abort(Comm comm) override { return From(nccl_.CommAbort(To(comm))); }
  Code Register(Comm comm, void* memory, uint64_t bytes, void** handle) override {
    return From(nccl_.CommRegister(To(comm), memory, bytes, handle));
  }
  Code Deregister(Comm comm, void* handle) override { return From(nccl_.CommDeregister(To(comm), handle)); }

  Code GroupStart() override { return From(nccl_.GroupStart()); }
  Code GroupEnd() override { return From(nccl_.GroupEnd()); }
  Code Send(const void* memory, uint64_t bytes, int peer, Comm comm, void* stream) override {
    return From(nccl_.Send(memory, bytes, ncclUint8, peer, To(comm), On(stream)));
  }
  Code Recv(void* memory, uint64_t bytes, int peer, Comm comm, void* stream) override {
    return From(nccl_.Recv(memory, bytes, ncclUint8, peer, To(comm), On(stream)));
  }
  Code Broadcast(const void* from, void* to, uint64_t bytes, int root, Comm comm, void* stream) override {
    return From(nccl_.Broadcast(from, to, bytes, ncclUint8, root, To(comm), On(stream)));
  }
  Code AllGather(const void* from, void* to, uint64_t bytes, Comm comm, void* stream) override {
    return From(nccl_.AllGather(from, to, bytes, ncclUint8, To(comm), On(stream)));
  }
  Code AllReduce(const void* from, void* to, uint64_t count, DType dtype, Comm comm, void* stream) override {
    return From(nccl_.AllReduce(from, to, count, TypeOf(dtype), ncclSum, To(comm), On(stream)));
  }
  Code Reduce(const void* from, void* to, uint64_t count, DType dtype, int root, Comm comm, void* stream) override {
    return From(nccl_.Reduce(from, to, count, TypeOf(dtype), ncclSum, root, To(comm), On(stream)));
  }
  Code ReduceScatter(const void* from, void* to, uint64_t count_each, DType dtype, Comm comm, void* stream) override {
    return From(nccl_.ReduceScatter(from, to, count_each, TypeOf(dtype), ncclSum, To(comm), On(stream)));
  }

  std::string Describe(Code code, Comm comm) override {
    const char* const last = nccl_.GetLastError(To(comm));
    return absl::StrCat(nccl_.GetErrorString(static_cast<ncclResult_t>(code)),
                        last == nullptr || *last == '\0' ? "" : ": ", last == nullptr ? "" : last);
  }

 private:
  Functions nccl_{};
};

}  // namespace

absl::StatusOr<NcclApi*> TheNccl() {
  static auto* const library = new Library;
  static const auto* const loaded = new absl::Status(library->Load());
  if (!loaded->ok()) return *loaded;
  return library;
}

}  // namespace millrace::nccl

namespace millrace {

namespace {

absl::Status SumOnStream(Stream& stream, DType dtype, absl::Span<const void* const> operands, void* out,
                         uint64_t count) {
  nccl::Summed type = nccl::Summed::kF32;
  switch (dtype) {
    case proto::F32:
      break;
    case proto::F64:
      type = nccl::Summed::kF64;
      break;
    case proto::BF16:
      type = nccl::Summed::kBF16;
      break;
    case proto::F16:
      type = nccl::Summed::kF16;
      break;
    case proto::I32:
      type = nccl::Summed::kU32;
      break;
    case proto::I64:
      type = nccl::Summed::kU64;
      break;
    default:
      return absl::InvalidArgumentError(absl::StrCat(Name(dtype), " has no sum"));
  }
  if (operands.empty() || operands.size() > nccl::kMostOperands) {
    return absl::InvalidArgumentError(
        absl::StrCat("a sum in rank order takes 1 to ", nccl::kMostOperands, " ranks, not ", operands.size()));
  }
  const int code =
      nccl::LaunchSumInOrder(type, operands.data(), static_cast<int>(operands.size()), out, count, stream.native());
  if (code == cudaSuccess) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat("CUDA: the sum in rank order: ", cudaGetErrorName(static_cast<cudaError_t>(code))));
}

}  // namespace

bool NcclIsLinked() { return true; }

NcclCommunicator::SumFn SumOnGpu() { return SumOnStream; }

std::string NcclVersion() {
  int version = 0;
  const absl::StatusOr<nccl::NcclApi*> api = nccl::TheNccl();
  if (!api.ok() || (*api)->Version(&version) != nccl::Code::kSuccess) return "";
  return absl::StrCat("NCCL ", version / 10000, ".", version / 100 % 100, ".", version % 100);
}

}  // namespace millrace
