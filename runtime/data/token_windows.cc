#include "runtime/data/token_windows.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/data/permutation.h"
#include "runtime/data/text.h"

namespace millrace {
namespace {

class TokenWindows : public DataSource {
 public:
  TokenWindows(std::shared_ptr<const TokenStream> tokens, const WindowOptions& options)
      : tokens_(std::move(tokens)), options_(options), windows_((options.end - options.begin - 1) / options.length) {}

  absl::Status Fetch(const proto::Input& input, uint64_t first, uint64_t count, void* memory,
                     uint64_t bytes) const override {
    const uint64_t sample_bytes = options_.length * sizeof(int64_t);
    if (input.role() != proto::Input::TOKENS && input.role() != proto::Input::LABELS) {
      return absl::InvalidArgumentError(absl::StrCat("input ", input.name(), " is neither TOKENS nor LABELS, and ",
                                                     tokens_->origin, " holds tokens"));
    }
    if (input.type().dtype() != proto::I64 || count > bytes / sample_bytes || bytes != count * sample_bytes) {
      return absl::InvalidArgumentError(absl::StrCat("input ", input.name(), ": ", count, " windows of ",
                                                     options_.length, " I64 tokens are not ", bytes, " bytes"));
    }
    const uint64_t shift = input.role() == proto::Input::LABELS ? 1 : 0;
    int64_t* ids = static_cast<int64_t*>(memory);
    for (uint64_t sample = first; sample < first + count; ++sample, ids += options_.length) {
      const uint64_t window = options_.begin + WindowOf(sample) * options_.length;
      tokens_->Widen(window + shift, options_.length, ids);
    }
    return absl::OkStatus();
  }

  uint64_t samples_per_epoch() const override { return windows_; }

  int64_t vocabulary() const override {
    return tokens_->format == "text" ? kByteVocabulary : int64_t{tokens_->largest} + 1;
  }

  std::string description() const override {
    return absl::StrCat(tokens_->format, " tokens=", tokens_->size, " sha256=", tokens_->digest, " range=[",
                        options_.begin, ",", options_.end, ") window=", options_.length,
                        " order=", options_.shuffle ? "shuffled" : "file");
  }

 private:
  uint64_t WindowOf(uint64_t sample) const {
    const uint64_t epoch = sample / windows_, index = sample % windows_;
    return options_.shuffle ? Permutation(windows_, options_.seed, epoch)(index) : index;
  }

  std::shared_ptr<const TokenStream> tokens_;
  WindowOptions options_;
  uint64_t windows_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<DataSource>> MakeTokenWindows(std::shared_ptr<const TokenStream> tokens,
                                                             const WindowOptions& options) {
  const uint64_t available = options.end - options.begin;
  if (options.length < 1 || available < static_cast<uint64_t>(options.length) + 1) {
    return absl::InvalidArgumentError(absl::StrCat(tokens->origin, ": ", available,
                                                   " tokens are too few for one window of ", options.length,
                                                   " and the token after it", "; use more data or a shorter sequence (",
                                                   FormatNote(tokens->format, tokens->how), ")"));
  }
  return std::make_unique<TokenWindows>(std::move(tokens), options);
}

}  // namespace millrace
