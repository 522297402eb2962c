#include "runtime/checkpoint/checksums.h"

#include <isa-l/crc.h>

#include <algorithm>

namespace millrace {

uint32_t Crc32c(const void* memory, uint64_t bytes, uint32_t previous) {
  // The library takes an int and leaves the inversions to the caller; it does not write through the pointer.
  unsigned char* at = const_cast<unsigned char*>(static_cast<const unsigned char*>(memory));
  uint32_t crc = ~previous;
  while (bytes > 0) {
    const int part = static_cast<int>(std::min<uint64_t>(bytes, 1 << 30));
    crc = crc32_iscsi(at, part, crc);
    at += part;
    bytes -= part;
  }
  return ~crc;
}

Sha256::Sha256() : state_(EVP_MD_CTX_new(), EVP_MD_CTX_free) { EVP_DigestInit_ex(state_.get(), EVP_sha256(), nullptr); }

void Sha256::Update(const void* memory, uint64_t bytes) { EVP_DigestUpdate(state_.get(), memory, bytes); }

std::string Sha256::Finish() {
  std::string digest(32, '\0');
  EVP_DigestFinal_ex(state_.get(), reinterpret_cast<unsigned char*>(digest.data()), nullptr);
  return digest;
}

}  // namespace millrace
