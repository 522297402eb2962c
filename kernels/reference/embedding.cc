// Gather, GatherGrad, RotaryEmbedding (Su et al., "RoFormer", 2021).
#include <cstring>

#include "absl/strings/str_cat.h"
#include "kernels/reference/call.h"

namespace millrace::reference {
namespace {

absl::Status CheckIndices(const Call& call, const int64_t* indices, int64_t count, int64_t rows) {
  for (int64_t i = 0; i < count; ++i) {
    if (indices[i] < 0 || indices[i] >= rows) {
      return absl::InvalidArgumentError(
          absl::StrCat(call.desc().op, ": index ", indices[i], " at position ", i, " is not in [0, ", rows, ")"));
    }
  }
  return absl::OkStatus();
}

// Elements of one row of a table.
int64_t RowElements(const TensorSpec& table) {
  int64_t n = 1;
  for (size_t i = 1; i < table.dims.size(); ++i) n *= table.dims[i];
  return n;
}

// Moves bytes: any element type.
absl::Status Gather(const Call& call) {
  const int64_t* indices = call.Integers(1);
  const int64_t count = call.in(1).elements();
  if (auto s = CheckIndices(call, indices, count, call.in(0).dims[0]); !s.ok()) return s;
  const int64_t row_bytes = RowElements(call.in(0)) * SizeOf(call.in(0).dtype);
  const auto* data = static_cast<const char*>(call.InputMemory(0));
  auto* y = static_cast<char*>(call.OutputMemory(0));
  for (int64_t i = 0; i < count && row_bytes > 0; ++i) {
    std::memcpy(y + i * row_bytes, data + indices[i] * row_bytes, row_bytes);
  }
  return absl::OkStatus();
}

absl::Status GatherGrad(const Call& call) {
  const Doubles dy = call.Input(0);
  const int64_t* indices = call.Integers(1);
  const int64_t count = call.in(1).elements(), n = RowElements(call.out(0));
  if (auto s = CheckIndices(call, indices, count, call.out(0).dims[0]); !s.ok()) return s;
  Doubles d_data(call.out(0).elements(), 0.0);
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t e = 0; e < n; ++e) d_data[indices[i] * n + e] += dy[i * n + e];
  }
  call.Add(0, d_data);
  return absl::OkStatus();
}

absl::Status RotaryEmbedding(const Call& call) {
  const Doubles x = call.Input(0), cosine = call.Input(1), sine = call.Input(2);
  const int64_t heads = call.attributes().Int("num_heads", 0);
  const bool interleaved = call.attributes().Int("interleaved", 0) != 0;
  const double direction = call.attributes().Int("inverse", 0) != 0 ? -1 : 1;
  const int64_t positions = call.in(0).dims[1], half = call.in(0).columns() / heads / 2;
  Doubles y(x.size());
  for (int64_t row = 0; row < call.in(0).rows(); ++row) {
    const int64_t t = row % positions;
    for (int64_t h = 0; h < heads; ++h) {
      for (int64_t i = 0; i < half; ++i) {
        const int64_t head = (row * heads + h) * 2 * half;
        const int64_t first = head + (interleaved ? 2 * i : i), second = head + (interleaved ? 2 * i + 1 : half + i);
        const double c = cosine[t * half + i], s = direction * sine[t * half + i];
        y[first] = x[first] * c - x[second] * s;
        y[second] = x[second] * c + x[first] * s;
      }
    }
  }
  call.Set(0, y);
  return absl::OkStatus();
}

}  // namespace

const std::vector<Operator>& EmbeddingOperators() {
  static const auto* const operators = new std::vector<Operator>{
      {"Gather", Gather},
      {"GatherGrad", GatherGrad},
      {"RotaryEmbedding", RotaryEmbedding},
  };
  return *operators;
}

}  // namespace millrace::reference
