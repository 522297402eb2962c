// The strict reader of the header: a SAX parser, because a DOM has already lost duplicate keys and exact numbers.
#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "kernels/dtype.h"
#include "proto/status_macros.h"
#include "runtime/checkpoint/safetensors.h"

namespace millrace {
namespace {

// Names come from the file: what is printed of them is short and has no control characters.
std::string Short(absl::string_view name) {
  constexpr size_t kShown = 96;
  return absl::StrCat(absl::CHexEscape(name.substr(0, kShown)), name.size() > kShown ? "..." : "");
}
std::string Shown(absl::string_view name) { return absl::StrCat("'", Short(name), "'"); }

struct Entry {
  std::string name;
  std::optional<std::string> dtype;
  std::optional<std::vector<uint64_t>> shape;
  std::optional<std::vector<uint64_t>> data_offsets;
};

// Where the parser stands: {top {tensor [array]} {metadata}}.
class HeaderReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit HeaderReader(const SafetensorsLimits& limits) : limits_(limits) {}

  std::vector<Entry> entries;
  std::map<std::string, std::string> metadata;
  std::string problem;

  bool start_object(std::size_t) override {
    if (place_ == kStart) return Go(kTop);
    if (place_ != kTop) return Fail("an object where none may stand");
    if (key_ == "__metadata__") return Go(kMetadata);
    if (entries.size() >= limits_.max_tensors) return Fail(absl::StrCat("more than ", limits_.max_tensors, " tensors"));
    entries.push_back({key_});
    return Go(kTensor);
  }

  bool end_object() override {
    if (place_ == kTensor) {
      const Entry& entry = entries.back();
      if (!entry.dtype || !entry.shape || !entry.data_offsets) return Fail("lacks dtype, shape or data_offsets");
    }
    return Go(place_ == kTop ? kEnd : kTop);
  }

  bool start_array(std::size_t) override {
    if (place_ != kTensor || (field_ != "shape" && field_ != "data_offsets")) {
      return Fail("an array where none may stand");
    }
    (field_ == "shape" ? entries.back().shape : entries.back().data_offsets).emplace();
    return Go(kArray);
  }
  bool end_array() override { return Go(kTensor); }

  bool key(string_t& name) override {
    if (place_ == kTop) {
      key_ = name;
      if (name.size() > limits_.max_name_bytes) return Fail("a name that is too long");
      for (unsigned char c : name) {
        if (c < 0x20 || c == 0x7f) return Fail("a name with control characters");
      }
      return names_.insert(name).second || Fail("is named twice");
    }
    field_ = name;
    if (place_ == kMetadata)
      return metadata.emplace(name, "").second || Fail(absl::StrCat("has ", Short(name), " twice"));
    const Entry& entry = entries.back();
    const bool twice = (name == "dtype" && entry.dtype) || (name == "shape" && entry.shape) ||
                       (name == "data_offsets" && entry.data_offsets);
    if (twice) return Fail(absl::StrCat("has ", Short(name), " twice"));
    if (name != "dtype" && name != "shape" && name != "data_offsets") {
      return Fail(absl::StrCat("has the unknown field ", Short(name)));
    }
    return true;
  }

  bool string(string_t& value) override {
    if (place_ == kMetadata) {
      metadata[field_] = value;
      metadata_bytes_ += field_.size() + value.size();
      return metadata_bytes_ <= (1 << 20) || Fail("is larger than 1 MiB");
    }
    if (place_ != kTensor || field_ != "dtype") return Fail("a string where none may stand");
    entries.back().dtype = value;
    return true;
  }

  bool number_unsigned(number_unsigned_t value) override {
    if (place_ != kArray) return Fail("a number where none may stand");
    std::vector<uint64_t>& numbers = field_ == "shape" ? *entries.back().shape : *entries.back().data_offsets;
    if (numbers.size() >= (field_ == "shape" ? static_cast<size_t>(limits_.max_dims) : 2)) {
      return Fail(absl::StrCat(field_, " has too many numbers"));
    }
    numbers.push_back(value);
    return true;
  }

  bool null() override { return Fail("a null where none may stand"); }
  bool boolean(bool) override { return Fail("a boolean where none may stand"); }
  bool number_integer(number_integer_t) override { return Fail("a negative number"); }
  bool number_float(number_float_t, const string_t& text) override {
    return Fail(absl::StrCat("the number ", text, ", which is not a whole one below 2^64"));
  }
  bool binary(binary_t&) override { return Fail("binary content"); }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    if (problem.empty()) problem = absl::StrCat("is not JSON at byte ", position);
    return false;
  }

 private:
  enum Place { kStart, kTop, kTensor, kMetadata, kArray, kEnd };

  bool Go(Place place) {
    place_ = place;
    return true;
  }
  bool Fail(absl::string_view what) {
    if (problem.empty()) problem = place_ == kStart ? std::string(what) : absl::StrCat(Shown(key_), ": ", what);
    return false;
  }

  const SafetensorsLimits& limits_;
  Place place_ = kStart;
  std::string key_, field_;
  std::set<std::string> names_;
  uint64_t metadata_bytes_ = 0;
};

constexpr std::pair<absl::string_view, proto::DataType> kTypes[] = {
    {"F32", proto::F32}, {"F64", proto::F64}, {"BF16", proto::BF16}, {"F16", proto::F16},
    {"I32", proto::I32}, {"I64", proto::I64}, {"U8", proto::U8},     {"BOOL", proto::BOOL}};

absl::StatusOr<NamedTensor> CheckEntry(const Entry& entry) {
  NamedTensor tensor{entry.name, {}};
  for (const auto& [name, dtype] : kTypes) {
    if (*entry.dtype == name) tensor.type.set_dtype(dtype);
  }
  if (tensor.type.dtype() == proto::DATA_TYPE_UNSPECIFIED) {
    return absl::InvalidArgumentError(absl::StrCat("dtype ", Short(*entry.dtype), " is not one of those we have"));
  }
  for (uint64_t dim : *entry.shape) {
    if (dim > std::numeric_limits<int64_t>::max()) {
      return absl::InvalidArgumentError(absl::StrCat("dimension ", dim, " is too large"));
    }
    tensor.type.add_dims(dim);
  }
  MR_ASSIGN_OR_RETURN(const uint64_t bytes, TensorBytes(tensor.type));
  const std::vector<uint64_t>& range = *entry.data_offsets;
  if (range.size() != 2 || range[0] > range[1] || range[1] - range[0] != bytes) {
    return absl::InvalidArgumentError(absl::StrCat("data_offsets do not hold the ", bytes, " bytes of its shape"));
  }
  return tensor;
}

}  // namespace

absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(absl::string_view json, uint64_t buffer_bytes,
                                                         absl::string_view origin, const SafetensorsLimits& limits) {
  const auto refuse = [&](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat(origin, ": safetensors header: ", why));
  };
  // The JSON parser takes this byte for the end of the text and would leave what follows unread.
  if (absl::StrContains(json, '\0')) return refuse("holds a byte of zero");
  HeaderReader reader(limits);
  const bool parsed = nlohmann::json::sax_parse(json.begin(), json.end(), &reader);
  if (!reader.problem.empty()) return refuse(reader.problem);
  if (!parsed) return refuse("is not JSON");
  std::vector<Entry>& entries = reader.entries;
  // Empty tensors first among those that begin together, or they would seem to overlap.
  const auto key = [](const Entry& entry) {
    return std::make_pair((*entry.data_offsets).size() == 2
                              ? std::make_pair((*entry.data_offsets)[0], (*entry.data_offsets)[1])
                              : std::make_pair(uint64_t{0}, uint64_t{0}),
                          entry.name);
  };
  std::sort(entries.begin(), entries.end(), [&](const Entry& a, const Entry& b) { return key(a) < key(b); });
  SafetensorsHeader header;
  header.metadata = std::move(reader.metadata);
  uint64_t end = 0;
  for (const Entry& entry : entries) {
    absl::StatusOr<NamedTensor> tensor = CheckEntry(entry);
    if (!tensor.ok()) return refuse(absl::StrCat(Shown(entry.name), ": ", tensor.status().message()));
    const uint64_t begin = (*entry.data_offsets)[0];
    if (begin != end) {
      return refuse(absl::StrCat(Shown(entry.name), ": begins at byte ", begin,
                                 " of the buffer, but the tensor before it ends at ", end,
                                 ": tensors must follow each other without overlap or hole"));
    }
    end = (*entry.data_offsets)[1];
    header.tensors.push_back(*std::move(tensor));
    header.offsets.push_back(begin);
  }
  if (end != buffer_bytes) {
    return refuse(
        absl::StrCat("its tensors take ", end, " bytes, but the file has ", buffer_bytes, " after the header"));
  }
  return header;
}

}  // namespace millrace
