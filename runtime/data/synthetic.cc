#include "runtime/data/synthetic.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/dtype.h"
#include "kernels/random.h"
#include "proto/status_macros.h"
#include "runtime/data/permutation.h"

namespace millrace {
namespace {

constexpr int64_t kActiveTokens = 64;
constexpr int64_t kMostClasses = 16;
constexpr int64_t kTeacherColumns = 64;  // of a row, that decide its label
constexpr int64_t kMostElements = int64_t{1} << 31;

// Elements of one sample; 0 when the dimensions are not [-1, positive...] or overflow.
int64_t SampleElements(const proto::Input& input) {
  int64_t elements = 1;
  for (int i = 1; i < input.type().dims_size(); ++i) {
    const int64_t dim = input.type().dims(i);
    if (dim < 1 || elements > kMostElements / dim) return 0;
    elements *= dim;
  }
  return input.type().dims_size() == 0 ? 0 : elements;
}

class Synthetic : public DataSource {
 public:
  explicit Synthetic(const SyntheticOptions& options) : options_(options) {
    for (const proto::Input& input : options.inputs) {
      if (input.role() == proto::Input::TOKENS) has_tokens_ = true;
      if (input.role() == proto::Input::FEATURES && feature_elements_ == 0) {
        features_ = input;
        feature_elements_ = SampleElements(input);
      }
    }
    active_ = std::min(options.vocabulary, has_tokens_ ? kActiveTokens : kMostClasses);
  }

  absl::Status Fetch(const proto::Input& input, uint64_t first, uint64_t count, void* memory,
                     uint64_t bytes) const override {
    const int64_t elements = SampleElements(input);
    const uint64_t sample_bytes = elements * SizeOf(input.type().dtype());
    if (sample_bytes == 0 || count > bytes / sample_bytes || bytes != count * sample_bytes) {
      return absl::InvalidArgumentError(
          absl::StrCat("input ", input.name(), ": ", count, " synthetic samples are not ", bytes, " bytes"));
    }
    char* to = static_cast<char*>(memory);
    for (uint64_t sample = first; sample < first + count; ++sample, to += sample_bytes) {
      if (input.role() == proto::Input::FEATURES) {
        FillFeatures(input, sample, elements, to);
      } else if (has_tokens_) {
        FillTokens(sample, elements, input.role() == proto::Input::LABELS, reinterpret_cast<int64_t*>(to));
      } else {
        FillClasses(sample, elements, reinterpret_cast<int64_t*>(to));
      }
    }
    return absl::OkStatus();
  }

  uint64_t samples_per_epoch() const override { return uint64_t{1} << 31; }
  int64_t vocabulary() const override { return active_; }
  std::string description() const override {
    return absl::StrCat("synthetic ", has_tokens_ ? "tokens" : "features", " ids=", active_, " seed=", options_.seed,
                        options_.validation ? " validation" : " train");
  }

 private:
  Philox Generator(absl::string_view name, uint64_t sample) const {
    return Philox(options_.seed, RandomKey(name), sample, options_.validation ? 1 : 0);
  }

  void FillTokens(uint64_t sample, int64_t length, bool shifted, int64_t* ids) const {
    const Philox random = Generator("synthetic/tokens", sample);
    const Permutation successor(active_, options_.seed, 0);
    int64_t token = random.Word(0) % active_;
    for (int64_t i = 0; i <= length; ++i) {
      if (i > 0 || !shifted) {
        if (i - shifted < length) ids[i - shifted] = token;
      }
      const uint32_t word = random.Word(i + 1);
      // The low 16 bits decide whether to follow the pattern, the high ones where to go otherwise.
      token = (word & 0xffff) < 6554 ? (word >> 16) % active_ : static_cast<int64_t>(successor(token));
    }
  }

  float Feature(const Philox& random, int64_t element) const { return 2 * random.Uniform(element) - 1; }

  void FillFeatures(const proto::Input& input, uint64_t sample, int64_t elements, char* to) const {
    const Philox random = Generator(absl::StrCat("synthetic/", input.name()), sample);
    for (int64_t i = 0; i < elements; ++i) {
      const float value = Feature(random, i);
      if (input.type().dtype() == proto::F32) reinterpret_cast<float*>(to)[i] = value;
      if (input.type().dtype() == proto::F64) reinterpret_cast<double*>(to)[i] = value;
      if (input.type().dtype() == proto::BF16) reinterpret_cast<BFloat16*>(to)[i] = BFloat16(value);
    }
  }

  void FillClasses(uint64_t sample, int64_t labels, int64_t* ids) const {
    const Philox random = Generator(absl::StrCat("synthetic/", features_.name()), sample);
    const Philox teacher(options_.seed, RandomKey("synthetic/teacher"), 0, 0);  // shared with validation
    const int64_t row = feature_elements_ / labels, columns = std::min(row, kTeacherColumns);
    for (int64_t label = 0; label < labels; ++label) {
      float best = 0;
      for (int64_t c = 0; c < active_; ++c) {
        float score = 0;
        for (int64_t k = 0; k < columns; ++k) {
          score += Feature(random, label * row + k) * Feature(teacher, c * kTeacherColumns + k);
        }
        if (c == 0 || score > best) {
          best = score;
          ids[label] = c;
        }
      }
    }
  }

  SyntheticOptions options_;
  bool has_tokens_ = false;
  proto::Input features_;
  int64_t feature_elements_ = 0;
  int64_t active_ = 0;
};

absl::Status Check(const SyntheticOptions& options) {
  int64_t tokens = 0, labels = 0, features = 0;
  for (const proto::Input& input : options.inputs) {
    const int64_t elements = SampleElements(input);
    const proto::DataType dtype = input.type().dtype();
    const bool is_float = dtype == proto::F32 || dtype == proto::F64 || dtype == proto::BF16;
    if (elements == 0 || (input.role() == proto::Input::FEATURES ? !is_float : dtype != proto::I64)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "input ", input.name(), ": synthetic data fills I64 tokens and labels and floating-point features, ",
          "with the samples first and the other dimensions known; this one is ", input.ShortDebugString()));
    }
    if (input.role() == proto::Input::TOKENS) tokens = elements;
    if (input.role() == proto::Input::LABELS) labels = elements;
    if (input.role() == proto::Input::FEATURES && features == 0) features = elements;
  }
  if (labels > 0 && (tokens > 0 ? tokens != labels : features % labels != 0 || features == 0)) {
    return absl::InvalidArgumentError(absl::StrCat("synthetic data: ", labels,
                                                   " labels for each sample go with neither ", tokens, " tokens nor ",
                                                   features, " features"));
  }
  if (options.vocabulary < 1 && tokens + labels > 0) {
    return absl::InvalidArgumentError(
        "synthetic data needs to know how many token ids or classes there are: --vocabulary=N");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<DataSource>> MakeSynthetic(const SyntheticOptions& options) {
  MR_RETURN_IF_ERROR(Check(options));
  return std::make_unique<Synthetic>(options);
}

}  // namespace millrace
