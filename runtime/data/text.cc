#include "runtime/data/text.h"

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "runtime/data/regular_file.h"

namespace millrace {

absl::StatusOr<TokenStream> ReadText(absl::string_view path, absl::string_view how) {
  MR_ASSIGN_OR_RETURN(RegularFile file, RegularFile::Open(path));
  if (file.size() == 0) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": is empty; there is no text to train on"));
  }
  if (file.size() > kMaxTokenBytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat(path, ": ", file.size(), " bytes, more than the limit of ", kMaxTokenBytes));
  }
  TokenStream tokens;
  tokens.format = "text";
  tokens.origin = std::string(path);
  tokens.how = std::string(how);
  tokens.size = file.size();
  tokens.bytes = std::make_unique_for_overwrite<uint8_t[]>(file.size());
  MR_RETURN_IF_ERROR(file.ReadAt(0, tokens.bytes.get(), file.size()));
  return tokens;
}

bool LooksLikeText(absl::string_view bytes) {
  for (size_t i = 0; i < bytes.size();) {
    const unsigned char lead = bytes[i];
    if (lead == 0) return false;
    int tail = 0;
    if (lead >= 0x80) {
      if (lead < 0xC2 || lead > 0xF4) return false;
      tail = lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
    }
    for (int k = 1; k <= tail && i + k < bytes.size(); ++k) {
      if ((static_cast<unsigned char>(bytes[i + k]) & 0xC0) != 0x80) return false;
    }
    i += 1 + tail;
  }
  return true;
}

}  // namespace millrace
