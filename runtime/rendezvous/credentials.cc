#include "runtime/rendezvous/credentials.h"

#include <grpc/support/log.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>

#include <mutex>

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "proto/text_proto.h"
#include "runtime/log/log.h"
#include "runtime/rendezvous/address.h"

namespace millrace {
namespace {

constexpr uint64_t kMostPemBytes = uint64_t{1} << 20;

absl::Status PlainText(absl::string_view host, bool insecure, absl::string_view files) {
  if (IsLoopback(host) || insecure) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("the control connection at ", host,
                                                    " leaves this machine and would not be encrypted: give ", files,
                                                    ", or say --insecure if the network is yours alone"));
}

void LogGrpc(gpr_log_func_args* args) { Log(LogLevel::kDebug, absl::StrCat("gRPC: ", args->message)); }

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> ServerSide(const TlsFiles& tls, absl::string_view host,
                                                                    bool insecure) {
  if (tls.certificate.empty() != tls.key.empty()) {
    return absl::InvalidArgumentError("TLS needs both a certificate and its key; only one of them is given");
  }
  if (tls.certificate.empty()) {
    MR_RETURN_IF_ERROR(PlainText(host, insecure, "a TLS certificate and its key"));
    return grpc::InsecureServerCredentials();
  }
  grpc::SslServerCredentialsOptions options;
  grpc::SslServerCredentialsOptions::PemKeyCertPair pair;
  MR_ASSIGN_OR_RETURN(pair.cert_chain, ReadFile(tls.certificate, kMostPemBytes));
  MR_ASSIGN_OR_RETURN(pair.private_key, ReadFile(tls.key, kMostPemBytes));
  options.pem_key_cert_pairs.push_back(std::move(pair));
  return grpc::SslServerCredentials(options);
}

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> RankSide(const TlsFiles& tls, absl::string_view host,
                                                                   bool insecure) {
  if (tls.authority.empty()) {
    MR_RETURN_IF_ERROR(PlainText(host, insecure, "the certificate of the TLS authority"));
    return grpc::InsecureChannelCredentials();
  }
  grpc::SslCredentialsOptions options;
  MR_ASSIGN_OR_RETURN(options.pem_root_certs, ReadFile(tls.authority, kMostPemBytes));
  return grpc::SslCredentials(options);
}

void QuietGrpc() {
  static std::once_flag once;
  std::call_once(once, [] { gpr_set_log_function(&LogGrpc); });
}

absl::Status FromGrpc(const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

grpc::Status ToGrpc(const absl::Status& status) {
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()));
}

}  // namespace millrace
