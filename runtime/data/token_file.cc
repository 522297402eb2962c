#include "runtime/data/token_file.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "runtime/data/regular_file.h"
#include "runtime/data/text.h"

namespace millrace {
namespace {

// Where the ids lie in one file.
struct Shard {
  RegularFile file;
  uint64_t offset = 0;
  uint64_t bytes = 0;
  int width = 2;
};

absl::Status Refuse(const RegularFile& file, const FormatGuess& guess, absl::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat(file.path(), ": ", why, " (", FormatNote(guess.format, guess.how), ")"));
}

absl::StatusOr<Shard> CheckNanoGpt(RegularFile file, const FormatGuess& guess) {
  if (file.size() % 2 != 0) {
    return Refuse(file, guess,
                  absl::StrCat(file.size(), " bytes, an odd number: nanoGPT files are two bytes for each token"));
  }
  Shard shard;
  shard.bytes = file.size();
  shard.file = std::move(file);
  return shard;
}

absl::StatusOr<Shard> CheckLlmc(RegularFile file, const FormatGuess& guess) {
  if (file.size() < kLlmcHeaderBytes) {
    return Refuse(file, guess, absl::StrCat(file.size(), " bytes; an llm.c header alone is ", kLlmcHeaderBytes));
  }
  int32_t header[3];
  MR_RETURN_IF_ERROR(file.ReadAt(0, header, sizeof(header)));
  const auto [magic, version, count] = header;
  if (magic != kGpt2Magic && magic != kLlama3Magic) {
    return Refuse(file, guess,
                  absl::StrCat("begins with ", magic, ", not with the magic ", kGpt2Magic, " (GPT-2) or ", kLlama3Magic,
                               " (Llama-3) of an llm.c shard"));
  }
  const int expected_version = magic == kGpt2Magic ? 1 : 7;
  if (version != expected_version) {
    return Refuse(
        file, guess,
        absl::StrCat("version ", version, " of magic ", magic, "; this program reads version ", expected_version));
  }
  if (count <= 0) return Refuse(file, guess, absl::StrCat("the header counts ", count, " tokens"));
  Shard shard;
  shard.width = magic == kGpt2Magic ? 2 : 4;
  shard.offset = kLlmcHeaderBytes;
  shard.bytes = static_cast<uint64_t>(count) * shard.width;
  if (file.size() != shard.offset + shard.bytes) {
    return Refuse(file, guess,
                  absl::StrCat("the header counts ", count, " tokens of ", shard.width, " bytes, which makes ",
                               shard.offset + shard.bytes, " bytes with the header, but the file has ", file.size(),
                               ": it is cut off or is another kind of file"));
  }
  shard.file = std::move(file);
  return shard;
}

absl::StatusOr<Shard> CheckShard(const std::string& path, const FormatGuess& guess) {
  MR_ASSIGN_OR_RETURN(RegularFile file, RegularFile::Open(path));
  if (file.size() == 0) return Refuse(file, guess, "is empty");
  return guess.format == "llmc" ? CheckLlmc(std::move(file), guess) : CheckNanoGpt(std::move(file), guess);
}

}  // namespace

absl::StatusOr<FormatGuess> GuessFormat(absl::string_view path) {
  MR_ASSIGN_OR_RETURN(const RegularFile file, RegularFile::Open(path));
  if (file.size() == 0)
    return absl::InvalidArgumentError(absl::StrCat(path, ": is empty; there is nothing to train on"));
  std::string start(std::min<uint64_t>(file.size(), 1 << 16), '\0');
  MR_RETURN_IF_ERROR(file.ReadAt(0, start.data(), start.size()));
  uint32_t magic = 0;
  if (start.size() >= sizeof(magic)) std::memcpy(&magic, start.data(), sizeof(magic));
  if (magic == kGpt2Magic || magic == kLlama3Magic) return FormatGuess{"llmc", absl::StrCat("its magic ", magic)};
  if (absl::EndsWith(path, ".bin")) return FormatGuess{"nanogpt", "its name (.bin) and no magic of llm.c"};
  if (LooksLikeText(start)) return FormatGuess{"text", "its content (UTF-8)"};
  return absl::InvalidArgumentError(
      absl::StrCat(path, ": cannot tell what this is: no magic of llm.c, no name ending in .bin, and not UTF-8 text; ",
                   "say --data-format=text, nanogpt or llmc"));
}

absl::StatusOr<TokenStream> ReadTokenFiles(const std::vector<std::string>& paths, const FormatGuess& guess) {
  std::vector<Shard> shards;
  uint64_t total = 0;
  for (const std::string& path : paths) {
    MR_ASSIGN_OR_RETURN(Shard shard, CheckShard(path, guess));
    if (!shards.empty() && shard.width != shards[0].width) {
      return Refuse(shard.file, guess,
                    absl::StrCat("tokens of ", shard.width, " bytes, but those of ", shards[0].file.path(), " have ",
                                 shards[0].width, ": the shards of a folder must be of one kind"));
    }
    if (shard.bytes > kMaxTokenBytes - total) {
      return absl::ResourceExhaustedError(
          absl::StrCat(path, ": the token files take more than the limit of ", kMaxTokenBytes, " bytes together"));
    }
    total += shard.bytes;
    shards.push_back(std::move(shard));
  }
  if (shards.empty()) return absl::InvalidArgumentError("no token files were named");
  TokenStream tokens;
  tokens.format = guess.format;
  tokens.how = guess.how;
  tokens.origin = paths.size() == 1 ? paths[0] : absl::StrCat(paths[0], " and ", paths.size() - 1, " more shards");
  tokens.width = shards[0].width;
  tokens.size = total / tokens.width;
  tokens.bytes = std::make_unique_for_overwrite<uint8_t[]>(total);
  uint64_t at = 0;
  for (const Shard& shard : shards) {
    MR_RETURN_IF_ERROR(shard.file.ReadAt(shard.offset, tokens.bytes.get() + at, shard.bytes));
    at += shard.bytes;
  }
  return tokens;
}

}  // namespace millrace
