#include "proto/text_proto.h"

#include <openssl/sha.h>

#include <cmath>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/tokenizer.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "google/protobuf/stubs/logging.h"
#include "google/protobuf/text_format.h"
#include "google/protobuf/unknown_field_set.h"
#include "proto/status_macros.h"

namespace millrace {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// Keeps the first error and its place.
class FirstError : public google::protobuf::io::ErrorCollector {
 public:
  void AddError(int line, int column, const std::string& message) override {
    if (found_) return;
    found_ = true;
    line_ = line + 1;
    column_ = column + 1;
    message_ = message;
  }
  void AddWarning(int, int, const std::string&) override {}

  absl::Status ToStatus(absl::string_view origin) const {
    return absl::InvalidArgumentError(
        found_ ? absl::StrCat(origin, ":", line_, ":", column_, ": ", message_)
               : absl::StrCat(origin, ":1:1: not a message in text form"));
  }

 private:
  bool found_ = false;
  int line_ = 0;
  int column_ = 0;
  std::string message_;
};

// Every top-level message has `schema_version = 1` as its first field, so its binary form begins with that field's tag.
// A text form never begins with this control character.
bool LooksBinary(absl::string_view bytes) { return !bytes.empty() && bytes[0] == '\x08'; }

bool IsUtf8(absl::string_view bytes) {
  for (size_t i = 0; i < bytes.size();) {
    const unsigned char lead = bytes[i];
    if (lead < 0x80) {
      ++i;
      continue;
    }
    if (lead < 0xC2 || lead > 0xF4) return false;
    const size_t tail = lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
    if (i + tail >= bytes.size()) return false;
    const unsigned char first = bytes[i + 1];
    // Overlong forms, surrogates, and what lies beyond U+10FFFF.
    if ((lead == 0xE0 && first < 0xA0) || (lead == 0xED && first > 0x9F) || (lead == 0xF0 && first < 0x90) ||
        (lead == 0xF4 && first > 0x8F)) {
      return false;
    }
    for (size_t k = 1; k <= tail; ++k) {
      if ((static_cast<unsigned char>(bytes[i + k]) & 0xC0) != 0x80) return false;
    }
    i += 1 + tail;
  }
  return true;
}

// What a parser lets through: "" when nothing.
class FieldCheck {
 public:
  std::string Problem(const Message& message) {
    const Reflection* reflection = message.GetReflection();
    if (!reflection->GetUnknownFields(message).empty()) {
      return "has fields that this program does not know; written by a newer millrace, or another kind of file";
    }
    std::vector<const FieldDescriptor*> fields;
    reflection->ListFields(message, &fields);
    for (const FieldDescriptor* field : fields) {
      const int count = field->is_repeated() ? reflection->FieldSize(message, field) : 1;
      for (int i = 0; i < count; ++i) {
        std::string problem = ProblemOf(message, *reflection, field, field->is_repeated() ? i : -1);
        if (!problem.empty()) return problem;
        if (!IsNested(field)) break;
      }
    }
    return "";
  }

 private:
  static bool IsNested(const FieldDescriptor* field) {
    return field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE || field->type() == FieldDescriptor::TYPE_STRING;
  }

  std::string ProblemOf(const Message& message, const Reflection& reflection, const FieldDescriptor* field, int index) {
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      return Problem(index < 0 ? reflection.GetMessage(message, field)
                               : reflection.GetRepeatedMessage(message, field, index));
    }
    // The text parser takes any bytes, which could then be neither written nor printed.
    if (field->type() != FieldDescriptor::TYPE_STRING) return "";
    const std::string& text = index < 0 ? reflection.GetStringReference(message, field, &space_)
                                        : reflection.GetRepeatedStringReference(message, field, index, &space_);
    if (IsUtf8(text)) return "";
    return absl::StrCat("has a string that is not UTF-8, \"", absl::CHexEscape(absl::string_view(text).substr(0, 64)),
                        "\", in field ", field->name());
  }

  std::string space_;
};

absl::Status CheckVersion(const Message& message, absl::string_view origin) {
  const FieldDescriptor* field = message.GetDescriptor()->FindFieldByName("schema_version");
  if (field == nullptr) return absl::OkStatus();
  const uint32_t version = message.GetReflection()->GetUInt32(message, field);
  if (version == kSchemaVersion) return absl::OkStatus();
  if (version == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(origin, ": ", message.GetDescriptor()->name(), " has no schema_version; this program reads version ",
                     kSchemaVersion, ": add 'schema_version: ", kSchemaVersion, "'"));
  }
  return absl::InvalidArgumentError(absl::StrCat(origin, ": schema_version ", version, " of ",
                                                 message.GetDescriptor()->name(), " is not known; this program reads version ",
                                                 kSchemaVersion, ". Use a newer millrace."));
}

absl::Status ParseBinary(absl::string_view bytes, absl::string_view origin, Message* message, int max_depth) {
  google::protobuf::LogSilencer silencer;  // the library would print its own view of damage to stderr
  google::protobuf::io::ArrayInputStream array(bytes.data(), static_cast<int>(bytes.size()));
  google::protobuf::io::CodedInputStream coded(&array);
  coded.SetRecursionLimit(max_depth);
  if (!message->ParseFromCodedStream(&coded) || !coded.ConsumedEntireMessage()) {
    return absl::InvalidArgumentError(absl::StrCat(origin, ": ", bytes.size(), " bytes that are not a whole binary ",
                                                   message->GetDescriptor()->name(),
                                                   " (cut short, damaged, or another kind of file)"));
  }
  return absl::OkStatus();
}

absl::Status ParseText(absl::string_view bytes, absl::string_view origin, Message* message, int max_depth) {
  google::protobuf::io::ArrayInputStream array(bytes.data(), static_cast<int>(bytes.size()));
  FirstError error;
  google::protobuf::TextFormat::Parser parser;
  parser.SetRecursionLimit(max_depth);
  parser.RecordErrorsTo(&error);
  if (!parser.Parse(&array, message)) return error.ToStatus(origin);
  return absl::OkStatus();
}

}  // namespace

absl::Status ParseMessage(absl::string_view bytes, absl::string_view origin, Message* message, const ReadLimits& limits) {
  const uint64_t cap = std::min<uint64_t>(limits.max_bytes, INT32_MAX);
  if (bytes.size() > cap) {
    return absl::InvalidArgumentError(absl::StrCat(origin, ": ", bytes.size(), " bytes, more than the limit of ", cap));
  }
  message->Clear();
  if (bytes.empty()) return absl::InvalidArgumentError(absl::StrCat(origin, ": the file is empty"));
  MR_RETURN_IF_ERROR(LooksBinary(bytes) ? ParseBinary(bytes, origin, message, limits.max_depth)
                                        : ParseText(bytes, origin, message, limits.max_depth));
  const std::string problem = FieldCheck().Problem(*message);
  if (!problem.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(origin, ": ", message->GetDescriptor()->name(), " ", problem));
  }
  return CheckVersion(*message, origin);
}

absl::Status ReadMessage(absl::string_view path, Message* message, const ReadLimits& limits) {
  MR_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path, limits.max_bytes));
  return ParseMessage(bytes, path, message, limits);
}

std::string CanonicalBytes(const Message& message) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    message.SerializeToCodedStream(&coded);
  }
  return bytes;
}

std::string Sha256Hex(absl::string_view bytes) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest);
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(digest), sizeof(digest)));
}

}  // namespace millrace
