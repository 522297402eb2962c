#include "runtime/data/token_stream.h"

#include <openssl/evp.h>

#include <algorithm>
#include <bit>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace millrace {
namespace {

static_assert(std::endian::native == std::endian::little, "token files are little endian and are read as they are");

template <typename T>
void WidenAs(const uint8_t* bytes, uint64_t first, uint64_t count, int64_t* ids) {
  const T* from = reinterpret_cast<const T*>(bytes) + first;
  for (uint64_t i = 0; i < count; ++i) ids[i] = from[i];
}

template <typename T>
uint32_t LargestOf(const T* ids, uint64_t count) {
  T largest = 0;
  for (uint64_t i = 0; i < count; ++i) largest = std::max(largest, ids[i]);
  return largest;
}

// Blocks, so that the loop without an early exit is one the compiler vectorises, and a bad id is still found.
template <typename T>
uint64_t FirstNotBelow(const T* ids, uint64_t size, uint64_t limit, uint32_t* largest) {
  constexpr uint64_t kBlock = 1 << 16;
  for (uint64_t begin = 0; begin < size; begin += kBlock) {
    const uint64_t count = std::min(kBlock, size - begin);
    *largest = std::max(*largest, LargestOf(ids + begin, count));
    if (*largest < limit) continue;
    for (uint64_t i = begin; i < begin + count; ++i) {
      if (ids[i] >= limit) return i;
    }
  }
  return size;
}

std::string Sha256OfBytes(const uint8_t* bytes, uint64_t size) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  EVP_Digest(bytes, size, digest, &length, EVP_sha256(), nullptr);
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(digest), length));
}

}  // namespace

void TokenStream::Widen(uint64_t first, uint64_t count, int64_t* ids) const {
  if (width == 1) return WidenAs<uint8_t>(bytes.get(), first, count, ids);
  if (width == 2) return WidenAs<uint16_t>(bytes.get(), first, count, ids);
  WidenAs<uint32_t>(bytes.get(), first, count, ids);
}

absl::Status ScanTokens(int64_t vocabulary, TokenStream* tokens) {
  const uint64_t limit = vocabulary > 0 ? vocabulary : uint64_t{1} << 32;
  const uint8_t* bytes = tokens->bytes.get();
  tokens->largest = 0;
  const uint64_t bad =
      tokens->width == 1 ? FirstNotBelow(bytes, tokens->size, limit, &tokens->largest)
      : tokens->width == 2
          ? FirstNotBelow(reinterpret_cast<const uint16_t*>(bytes), tokens->size, limit, &tokens->largest)
          : FirstNotBelow(reinterpret_cast<const uint32_t*>(bytes), tokens->size, limit, &tokens->largest);
  if (bad < tokens->size) {
    int64_t id = 0;
    tokens->Widen(bad, 1, &id);
    return absl::InvalidArgumentError(absl::StrCat(
        tokens->origin, ": token ", bad, " is ", id, ", but the vocabulary has ", vocabulary, " ids (0 to ",
        vocabulary - 1, "): the file was made with another tokenizer, or it is not a file of tokens (",
        FormatNote(tokens->format, tokens->how), ")"));
  }
  tokens->digest = Sha256OfBytes(bytes, tokens->size * tokens->width);
  return absl::OkStatus();
}

std::string FormatNote(absl::string_view format, absl::string_view how) {
  return absl::StrCat("read as ", format, ", by ", how, "; --data-format=text|nanogpt|llmc|synthetic chooses another");
}

}  // namespace millrace
