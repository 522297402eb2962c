// The two checksums of checkpoints: CRC32C for each piece, SHA-256 for each file.
#ifndef RUNTIME_CHECKPOINT_CHECKSUMS_H_
#define RUNTIME_CHECKPOINT_CHECKSUMS_H_

#include <openssl/evp.h>

#include <cstdint>
#include <memory>
#include <string>

namespace millrace {

// CRC32C (Castagnoli), as iSCSI and SSE4.2 have it: of "123456789" it is 0xe3069283. `previous` is the CRC of the bytes
// before these.
uint32_t Crc32c(const void* memory, uint64_t bytes, uint32_t previous = 0);

// SHA-256 of bytes that come piece by piece.
class Sha256 {
 public:
  Sha256();
  void Update(const void* memory, uint64_t bytes);
  std::string Finish();  // 32 bytes; once

 private:
  std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> state_;
};

}  // namespace millrace

#endif  // RUNTIME_CHECKPOINT_CHECKSUMS_H_
