// The one bounded reader of message files. Every file that holds a Millrace message is read here, in text or binary
// form, and every such file is hostile until it has passed.
#ifndef PROTO_TEXT_PROTO_H_
#define PROTO_TEXT_PROTO_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/message.h"

namespace millrace {

struct ReadLimits {
  uint64_t max_bytes = uint64_t{512} << 20;
  int max_depth = 64;
};

// The supported version of every message that has a `schema_version` field.
inline constexpr uint32_t kSchemaVersion = 1;

// Whole contents of a regular file. NOT_FOUND, PERMISSION_DENIED, or RESOURCE_EXHAUSTED when larger than max_bytes;
// INVALID_ARGUMENT when it is a folder, a pipe or a device.
absl::StatusOr<std::string> ReadFile(absl::string_view path, uint64_t max_bytes);

// Reads a message file, text or binary (told apart by the content), refusing unknown fields, nesting over max_depth,
// strings that are not UTF-8 and a schema_version other than kSchemaVersion. Errors are INVALID_ARGUMENT and read
// "file:line:column: what"; binary ones name the byte count.
absl::Status ReadMessage(absl::string_view path, google::protobuf::Message* message, const ReadLimits& limits = {});

// The same on bytes already in memory; `origin` stands for the file's name in messages.
absl::Status ParseMessage(absl::string_view bytes, absl::string_view origin, google::protobuf::Message* message,
                          const ReadLimits& limits = {});

// Writes temp + fsync + rename + fsync of the folder, so that the file is the old one or the new one, never a piece.
// Text form when the name ends in "textproto", "pbtxt" or "txt", else deterministic binary.
absl::Status WriteMessage(absl::string_view path, const google::protobuf::Message& message);
absl::Status WriteFileAtomically(absl::string_view path, absl::string_view bytes);

// Deterministic binary form: what hashes are taken over.
std::string CanonicalBytes(const google::protobuf::Message& message);

// SHA-256, lower-case hexadecimal.
std::string Sha256Hex(absl::string_view bytes);

}  // namespace millrace

#endif  // PROTO_TEXT_PROTO_H_
