// What both ends of the control connection agree on below our own protocol: TLS or plain text, sizes, patience.
#ifndef RUNTIME_RENDEZVOUS_CREDENTIALS_H_
#define RUNTIME_RENDEZVOUS_CREDENTIALS_H_

#include <grpcpp/grpcpp.h>

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/rendezvous/tls_files.h"

namespace millrace {

// Plain text is for loopback, and beyond it only for those who say so. FAILED_PRECONDITION otherwise, INVALID_ARGUMENT
// for half a pair of files, and what reading them gives.
absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> ServerSide(const TlsFiles& tls, absl::string_view host,
                                                                    bool insecure);
absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> RankSide(const TlsFiles& tls, absl::string_view host,
                                                                   bool insecure);

// gRPC's own complaints (a port scan gives many) go to our log at level debug. Idempotent, any thread.
void QuietGrpc();

absl::Status FromGrpc(const grpc::Status& status);
grpc::Status ToGrpc(const absl::Status& status);

}  // namespace millrace

#endif  // RUNTIME_RENDEZVOUS_CREDENTIALS_H_
