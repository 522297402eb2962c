// How far a misspelt word is from a known one: the ground of every "did you mean".
#ifndef PROTO_EDIT_DISTANCE_H_
#define PROTO_EDIT_DISTANCE_H_

#include <algorithm>
#include <cstddef>
#include <vector>

#include "absl/strings/string_view.h"

namespace millrace {

// Levenshtein distance: insertions, deletions and substitutions of bytes. O(|a| |b|).
inline size_t EditDistance(absl::string_view a, absl::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substitution = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substitution});
    }
  }
  return row[b.size()];
}

}  // namespace millrace

#endif  // PROTO_EDIT_DISTANCE_H_
