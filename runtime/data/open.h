// From a DataConfig to the sources of a run.
#ifndef RUNTIME_DATA_OPEN_H_
#define RUNTIME_DATA_OPEN_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/job.pb.h"
#include "proto/model.pb.h"
#include "runtime/data/data_source.h"

namespace millrace {

// What the model asks of its data.
struct DataNeeds {
  std::vector<proto::Input> inputs;  // with the micro-batch still symbolic: [-1, T]
  int64_t vocabulary = 0;            // ids the model has room for; 0: unknown
  uint64_t seed = 0;                 // of the order and of synthetic samples
};

struct DataSources {
  std::unique_ptr<DataSource> train;
  std::unique_ptr<DataSource> validation;  // never shuffled
  std::string format;                      // "text", "nanogpt", "llmc", "synthetic"
  std::string summary;                     // one line for people: what was read, how it was guessed, how it was split
};

// Reads everything into memory and checks every token id. A folder is its *.bin files in name order, as one stream;
// when some of them have "val" in their names and there is no validation_path, those are the validation data. Otherwise
// the last validation_fraction (0: a tenth) of the training data is; no window lies in both. Every refusal is
// INVALID_ARGUMENT (NOT_FOUND, RESOURCE_EXHAUSTED, ...) and says what was guessed and how to say else.
absl::StatusOr<DataSources> OpenData(const proto::DataConfig& config, const DataNeeds& needs);

}  // namespace millrace

#endif  // RUNTIME_DATA_OPEN_H_
