#include "runtime/data/open.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "runtime/data/regular_file.h"
#include "runtime/data/synthetic.h"
#include "runtime/data/text.h"
#include "runtime/data/token_file.h"
#include "runtime/data/token_stream.h"
#include "runtime/data/token_windows.h"

namespace millrace {
namespace {

constexpr double kDefaultValidationFraction = 0.1;

absl::Status CheckConfig(const proto::DataConfig& config) {
  const std::string& format = config.format();
  if (!format.empty() && format != "text" && format != "nanogpt" && format != "llmc" && format != "synthetic") {
    return absl::InvalidArgumentError(
        absl::StrCat("--data-format=", format, " is not known; the formats are text, nanogpt, llmc and synthetic"));
  }
  if (!(config.validation_fraction() >= 0 && config.validation_fraction() < 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--validation-fraction=", config.validation_fraction(), " is not in [0, 1)"));
  }
  if (config.path().empty() && !format.empty() && format != "synthetic") {
    return absl::InvalidArgumentError(absl::StrCat("--data-format=", format, " needs --data=PATH, the file to read"));
  }
  if (!config.path().empty() && format == "synthetic") {
    return absl::InvalidArgumentError(
        absl::StrCat("--data-format=synthetic reads no file, but --data=", config.path(), " names one; leave one out"));
  }
  return absl::OkStatus();
}

// T, from inputs that token data can fill.
absl::StatusOr<int64_t> WindowLength(const DataNeeds& needs, absl::string_view path) {
  int64_t length = 0;
  for (const proto::Input& input : needs.inputs) {
    const proto::TensorType& type = input.type();
    const bool windows = (input.role() == proto::Input::TOKENS || input.role() == proto::Input::LABELS) &&
                         type.dtype() == proto::I64 && type.dims_size() == 2 && type.dims(1) > 0;
    if (!windows || (length != 0 && type.dims(1) != length)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the model's input ", input.name(), " (", input.ShortDebugString(), ") cannot be filled from ", path,
          ", which holds tokens: TOKENS and LABELS of type I64 [-1, T] with one T can; --data-format=synthetic ",
          "fills features"));
    }
    length = type.dims(1);
  }
  if (length == 0) return absl::InvalidArgumentError("the model has no inputs to fill with data");
  return length;
}

absl::StatusOr<std::vector<std::string>> ShardsIn(const std::string& folder) {
  MR_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListFolder(folder));
  std::vector<std::string> paths;
  for (const std::string& name : names) {
    if (absl::EndsWith(name, ".bin")) paths.push_back(absl::StrCat(folder, "/", name));
  }
  if (paths.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        folder, ": no file in this folder ends in .bin; a folder of token shards (nanogpt or llmc) is read ",
        "that way, and text is given as one file"));
  }
  return paths;
}

absl::StatusOr<FormatGuess> ChooseFormat(const std::vector<std::string>& paths, const std::string& asked) {
  if (!asked.empty()) return FormatGuess{asked, absl::StrCat("--data-format=", asked)};
  MR_ASSIGN_OR_RETURN(const FormatGuess first, GuessFormat(paths[0]));
  for (const std::string& path : paths) {
    MR_ASSIGN_OR_RETURN(const FormatGuess other, GuessFormat(path));
    if (other.format != first.format) {
      return absl::InvalidArgumentError(absl::StrCat(path, " looks like ", other.format, " by ", other.how, ", but ",
                                                     paths[0], " like ", first.format, " by ", first.how,
                                                     ": the shards of a folder must be of one kind"));
    }
  }
  return first;
}

absl::StatusOr<std::shared_ptr<const TokenStream>> ReadStream(const std::vector<std::string>& paths,
                                                              const std::string& asked, int64_t vocabulary) {
  MR_ASSIGN_OR_RETURN(const FormatGuess guess, ChooseFormat(paths, asked));
  if (guess.format == "text" && paths.size() > 1) {
    return absl::InvalidArgumentError("text is read from one file, not from a folder: join the files first");
  }
  auto tokens = std::make_shared<TokenStream>();
  if (guess.format == "text") {
    MR_ASSIGN_OR_RETURN(*tokens, ReadText(paths[0], guess.how));
  } else {
    MR_ASSIGN_OR_RETURN(*tokens, ReadTokenFiles(paths, guess));
  }
  MR_RETURN_IF_ERROR(ScanTokens(vocabulary, tokens.get()));
  return std::shared_ptr<const TokenStream>(std::move(tokens));
}

absl::StatusOr<std::vector<std::string>> PathsOf(const std::string& path) {
  if (IsFolder(path)) return ShardsIn(path);
  return std::vector<std::string>{path};
}

std::string BaseName(absl::string_view path) { return std::string(path.substr(path.rfind('/') + 1)); }

// Moves the shards that name themselves validation data out of `train`, unless all of them do.
std::vector<std::string> TakeValidationShards(std::vector<std::string>* train) {
  const auto is_train = [](const std::string& path) { return !absl::StrContains(BaseName(path), "val"); };
  const auto middle = std::stable_partition(train->begin(), train->end(), is_train);
  if (middle == train->begin()) return {};
  std::vector<std::string> validation(middle, train->end());
  train->erase(middle, train->end());
  return validation;
}

std::string Describe(const TokenStream& tokens) {
  return absl::StrCat(tokens.origin, ": ", tokens.size, " tokens, ", FormatNote(tokens.format, tokens.how));
}

absl::StatusOr<DataSources> OpenTokens(const proto::DataConfig& config, const DataNeeds& needs, int64_t vocabulary) {
  MR_ASSIGN_OR_RETURN(const int64_t length, WindowLength(needs, config.path()));
  MR_ASSIGN_OR_RETURN(std::vector<std::string> paths, PathsOf(config.path()));
  std::vector<std::string> validation_paths;
  if (!config.validation_path().empty()) {
    MR_ASSIGN_OR_RETURN(validation_paths, PathsOf(config.validation_path()));
  } else if (paths.size() > 1) {
    validation_paths = TakeValidationShards(&paths);
  }
  MR_ASSIGN_OR_RETURN(const std::shared_ptr<const TokenStream> tokens, ReadStream(paths, config.format(), vocabulary));
  WindowOptions train{
      .begin = 0, .end = tokens->size, .length = length, .shuffle = config.shuffle(), .seed = needs.seed};
  WindowOptions held_out{.begin = 0, .end = 0, .length = length, .shuffle = false, .seed = needs.seed};
  std::shared_ptr<const TokenStream> held_out_tokens = tokens;
  DataSources sources;
  sources.format = tokens->format;
  sources.summary = Describe(*tokens);
  if (!validation_paths.empty()) {
    MR_ASSIGN_OR_RETURN(held_out_tokens, ReadStream(validation_paths, config.format(), vocabulary));
    held_out.end = held_out_tokens->size;
    absl::StrAppend(&sources.summary, "; held out: ", Describe(*held_out_tokens));
  } else {
    const double fraction =
        config.validation_fraction() == 0 ? kDefaultValidationFraction : config.validation_fraction();
    // Never less than one window, so that a small file still tells whether the model learns.
    const uint64_t kept = std::max<uint64_t>(tokens->size * fraction, length + 1);
    if (tokens->size < kept + length + 1) {
      return absl::InvalidArgumentError(absl::StrCat(Describe(*tokens), ": too short to train on windows of ", length,
                                                     " tokens and hold out ", kept,
                                                     "; use more data, a shorter sequence, or --validation=PATH"));
    }
    train.end = held_out.begin = tokens->size - kept;
    held_out.end = tokens->size;
    absl::StrAppend(&sources.summary, "; held out: the last ", kept, " tokens");
  }
  MR_ASSIGN_OR_RETURN(sources.train, MakeTokenWindows(tokens, train));
  MR_ASSIGN_OR_RETURN(sources.validation, MakeTokenWindows(std::move(held_out_tokens), held_out));
  return sources;
}

}  // namespace

absl::StatusOr<DataSources> OpenData(const proto::DataConfig& config, const DataNeeds& needs) {
  MR_RETURN_IF_ERROR(CheckConfig(config));
  const int64_t asked = config.vocabulary();
  if (asked > 0 && needs.vocabulary > 0 && asked > needs.vocabulary) {
    return absl::InvalidArgumentError(
        absl::StrCat("--vocabulary=", asked, ", but the model has room for only ", needs.vocabulary, " ids"));
  }
  const int64_t vocabulary = asked > 0 ? asked : needs.vocabulary;
  if (!config.path().empty()) return OpenTokens(config, needs, vocabulary);
  SyntheticOptions options{.inputs = needs.inputs, .vocabulary = vocabulary, .seed = needs.seed};
  DataSources sources;
  MR_ASSIGN_OR_RETURN(sources.train, MakeSynthetic(options));
  options.validation = true;
  MR_ASSIGN_OR_RETURN(sources.validation, MakeSynthetic(options));
  sources.format = "synthetic";
  sources.summary = sources.train->description();
  return sources;
}

}  // namespace millrace
