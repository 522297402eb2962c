// Range checks that the model builders share. Errors are INVALID_ARGUMENT and read "gpt2: heads = 5: why".
#ifndef PARTITIONER_GRAPH_MODEL_OPTIONS_H_
#define PARTITIONER_GRAPH_MODEL_OPTIONS_H_

#include <cmath>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "proto/model.pb.h"

namespace millrace {

// Remembers the first option found wrong.
class OptionCheck {
 public:
  explicit OptionCheck(std::string model) : model_(std::move(model)) {}

  void Require(bool good, const char* option, double value, const std::string& why) {
    if (!good && status_.ok()) {
      status_ = absl::InvalidArgumentError(absl::StrCat(model_, ": ", option, " = ", value, ": ", why));
    }
  }
  // In 1 .. 2^31.
  void Size(const char* option, int64_t value) {
    Require(value >= 1 && value <= int64_t{1} << 31, option, static_cast<double>(value), "must be in 1 .. 2^31");
  }
  void Layers(int64_t value) { Require(value >= 1 && value <= 10000, "layers", value, "must be in 1 .. 10000"); }
  void Divides(const char* option, int64_t value, const char* whole_name, int64_t whole) {
    Require(value >= 1 && whole % value == 0, option, static_cast<double>(value),
            absl::StrCat("must divide ", whole_name, " = ", whole));
  }
  void Ratio(const char* option, double value) { Require(value >= 0 && value < 1, option, value, "must be in [0, 1)"); }
  void Floats(const char* option, proto::DataType value) {
    Require(value == proto::F32 || value == proto::BF16 || value == proto::F16, option, value,
            "must be F32, BF16 or F16");
  }
  void NotNegative(const char* option, double value) {
    Require(std::isfinite(value) && value >= 0, option, value, "must be finite and not negative");
  }

  const absl::Status& status() const { return status_; }

 private:
  std::string model_;
  absl::Status status_;
};

}  // namespace millrace

#endif  // PARTITIONER_GRAPH_MODEL_OPTIONS_H_
