// Where micro-batches come from. Position is part of the state, and a sample is a pure function of its global index.
#ifndef RUNTIME_DATA_DATA_SOURCE_H_
#define RUNTIME_DATA_DATA_SOURCE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "proto/job.pb.h"
#include "proto/model.pb.h"

namespace millrace {

// Thread-safe: Fetch may be called by all ranks at once.
class DataSource {
 public:
  virtual ~DataSource() = default;

  // Writes samples [first, first + count) of `input` one after the other; `bytes` is what they take together. Sample
  // indices run on for ever: epoch after epoch, each in its own order when shuffled.
  virtual absl::Status Fetch(const proto::Input& input, uint64_t first, uint64_t count, void* memory,
                             uint64_t bytes) const = 0;
  virtual uint64_t samples_per_epoch() const = 0;
  virtual int64_t vocabulary() const = 0;  // largest token id + 1 that it may give; 0: no tokens
  // What a checkpoint remembers, so that resuming on other data is refused: format, sizes, a digest of the content.
  virtual std::string description() const = 0;
};

}  // namespace millrace

#endif  // RUNTIME_DATA_DATA_SOURCE_H_
