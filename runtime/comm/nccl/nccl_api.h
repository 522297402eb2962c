// The calls of NCCL that we make, as a table: library.cc makes them, tests put a fake in their place. Nothing else of
// this package sees NCCL's header, so all of it is built and tested where there is neither NCCL nor a GPU.
#ifndef RUNTIME_COMM_NCCL_NCCL_API_H_
#define RUNTIME_COMM_NCCL_NCCL_API_H_

#include <array>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "kernels/dtype.h"

namespace millrace::nccl {

using Comm = void*;  // ncclComm_t; null: this rank is not part of it
using UniqueId = std::array<char, 128>;

// As ncclResult_t; library.cc asserts the numbers.
enum class Code {
  kSuccess = 0,
  kUnhandledCudaError = 1,
  kSystemError = 2,
  kInternalError = 3,
  kInvalidArgument = 4,
  kInvalidUsage = 5,
  kRemoteError = 6,
  kInProgress = 7,
};

constexpr int kNoColor = -1;  // for Split: this rank is in no group of the round

// Communicators never block (ncclConfig_t::blocking = 0): calls return kSuccess or kInProgress, and AsyncError says
// when the latter is over. Calls on one communicator, and between GroupStart and GroupEnd, come from one thread at a
// time.
class NcclApi {
 public:
  virtual ~NcclApi() = default;

  virtual Code Version(int* version) = 0;
  // Makes the device of `stream` the calling thread's current one: NCCL asks for that in InitRank.
  virtual Code UseDeviceOf(void* stream) = 0;

  virtual Code GetUniqueId(UniqueId* id) = 0;
  virtual Code InitRank(Comm* comm, int size, const UniqueId& id, int rank) = 0;
  // `child` is written once the parent is no longer in progress, and must stay where it is until then. `share`: the
  // child uses the parent's channels and buffers.
  virtual Code Split(Comm parent, int color, int key, bool share, Comm* child) = 0;
  virtual Code AsyncError(Comm comm, Code* state) = 0;
  virtual Code Finalize(Comm comm) = 0;
  virtual Code Destroy(Comm comm) = 0;
  virtual Code Abort(Comm comm) = 0;
  virtual Code Register(Comm comm, void* memory, uint64_t bytes, void** handle) = 0;
  virtual Code Deregister(Comm comm, void* handle) = 0;

  virtual Code GroupStart() = 0;
  virtual Code GroupEnd() = 0;
  // Peers and roots are ranks of `comm`. Bytes for transfers and copies; elements of `dtype` for sums.
  virtual Code Send(const void* memory, uint64_t bytes, int peer, Comm comm, void* stream) = 0;
  virtual Code Recv(void* memory, uint64_t bytes, int peer, Comm comm, void* stream) = 0;
  virtual Code Broadcast(const void* from, void* to, uint64_t bytes, int root, Comm comm, void* stream) = 0;
  virtual Code AllGather(const void* from, void* to, uint64_t bytes, Comm comm, void* stream) = 0;
  virtual Code AllReduce(const void* from, void* to, uint64_t count, DType dtype, Comm comm, void* stream) = 0;
  virtual Code Reduce(const void* from, void* to, uint64_t count, DType dtype, int root, Comm comm, void* stream) = 0;
  virtual Code ReduceScatter(const void* from, void* to, uint64_t count_each, DType dtype, Comm comm, void* stream) = 0;

  // What NCCL says of an error; `comm` may be null.
  virtual std::string Describe(Code code, Comm comm) = 0;
};

// The library of this process, for ever. UNIMPLEMENTED in a build without NCCL (no_nccl.cc); UNAVAILABLE when it is not
// on this machine, or too old.
absl::StatusOr<NcclApi*> TheNccl();

}  // namespace millrace::nccl

#endif  // RUNTIME_COMM_NCCL_NCCL_API_H_
