// MakeNcclCommunicator over a given table of NCCL's calls: what tests call.
#ifndef RUNTIME_COMM_NCCL_SET_UP_H_
#define RUNTIME_COMM_NCCL_SET_UP_H_

#include <memory>

#include "absl/status/statusor.h"
#include "runtime/comm/nccl/nccl.h"
#include "runtime/comm/nccl/nccl_api.h"

namespace millrace::nccl {

// `api` must outlive the result.
absl::StatusOr<std::unique_ptr<NcclCommunicator>> MakeDeviceCommunicator(NcclApi* api, Exchange* exchange,
                                                                         std::unique_ptr<Communicator> control,
                                                                         const NcclOptions& options);

}  // namespace millrace::nccl

#endif  // RUNTIME_COMM_NCCL_SET_UP_H_
