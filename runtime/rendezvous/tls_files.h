// The files that TLS needs, in PEM form.
#ifndef RUNTIME_RENDEZVOUS_TLS_FILES_H_
#define RUNTIME_RENDEZVOUS_TLS_FILES_H_

#include <string>

namespace millrace {

struct TlsFiles {
  std::string certificate, key;  // of the coordinator: both or none
  std::string authority;         // for ranks: the certificate that signed the coordinator's
};

}  // namespace millrace

#endif  // RUNTIME_RENDEZVOUS_TLS_FILES_H_
