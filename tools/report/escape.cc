#include "tools/report/escape.h"

#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace millrace {
namespace {

constexpr absl::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

// Length of the well-formed UTF-8 sequence at the start of `text` and its code point; 0: none is well formed (RFC 3629:
// no overlong forms, no surrogates).
int Decode(absl::string_view text, uint32_t* code) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) {
    *code = lead;
    return 1;
  }
  const int length = lead >= 0xF0 && lead < 0xF5   ? 4
                     : lead >= 0xE0 && lead < 0xF0 ? 3
                     : lead >= 0xC2 && lead < 0xE0 ? 2
                                                   : 0;
  if (length == 0 || text.size() < static_cast<size_t>(length)) return 0;
  *code = lead & (0x7F >> length);
  for (int i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
    *code = *code << 6 | (byte(i) & 0x3F);
  }
  const uint32_t least = length == 2 ? 0x80 : length == 3 ? 0x800 : 0x10000;
  if (*code < least || *code > 0x10FFFF || (*code >= 0xD800 && *code < 0xE000)) return 0;
  return length;
}

bool Hidden(uint32_t code) {
  return code < 0x20 || (code >= 0x7F && code < 0xA0) || code == 0x200E || code == 0x200F || code == 0x2028 ||
         code == 0x2029 || (code >= 0x202A && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069) || code == 0xFEFF ||
         (code & 0xFFFE) == 0xFFFE;
}

// Calls `emit` with every character, or with an empty view for one that must not be shown.
template <typename Emit>
void Characters(absl::string_view text, size_t most, Emit emit) {
  size_t at = 0;
  while (at < text.size()) {
    uint32_t code = 0;
    const int length = Decode(text.substr(at), &code);
    const size_t step = length == 0 ? 1 : static_cast<size_t>(length);
    if (at + step > most) {
      emit("...");
      return;
    }
    emit(length == 0 || Hidden(code) ? absl::string_view() : text.substr(at, step));
    at += step;
  }
}

}  // namespace

std::string HtmlText(absl::string_view text, size_t most) {
  std::string out;
  Characters(text, most, [&](absl::string_view character) {
    if (character.empty()) {
      absl::StrAppend(&out, kReplacement);
    } else if (character == "&") {
      out += "&amp;";
    } else if (character == "<") {
      out += "&lt;";
    } else if (character == ">") {
      out += "&gt;";
    } else if (character == "\"") {
      out += "&quot;";
    } else if (character == "'") {
      out += "&#39;";
    } else {
      absl::StrAppend(&out, character);
    }
  });
  return out;
}

std::string TerminalText(absl::string_view text, size_t most) {
  std::string out;
  Characters(text, most,
             [&](absl::string_view character) { absl::StrAppend(&out, character.empty() ? "?" : character); });
  return out;
}

std::string CsvField(absl::string_view text) {
  std::string field(text);
  double number = 0;
  const bool formula = !field.empty() && absl::string_view("=+-@\t\r").find(field[0]) != absl::string_view::npos &&
                       !absl::SimpleAtod(field, &number);
  if (formula) field.insert(0, 1, '\'');
  if (field.find_first_of(",\"\r\n") == std::string::npos) return field;
  return absl::StrCat("\"", absl::StrReplaceAll(field, {{"\"", "\"\""}}), "\"");
}

std::string ShellQuoted(absl::string_view word) {
  bool plain = !word.empty();
  for (char c : word) {
    plain = plain && (absl::ascii_isalnum(c) || absl::string_view("_./:=,@%+-").find(c) != absl::string_view::npos);
  }
  if (plain) return std::string(word);
  return absl::StrCat("'", absl::StrReplaceAll(word, {{"'", "'\\''"}}), "'");
}

}  // namespace millrace
