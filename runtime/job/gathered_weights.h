// The tensors of all processes as rank 0's process reads them: one at a time, from whoever has it.
//
//   rank 0's process                         the others
//   auto all = GatheredWeights::Of(...);     ServeWeights(store, ranks);
//   all.Read(...); all.Read(...); ...          sends what is asked for, in pieces,
//   all.Release();                             and returns OK
#ifndef RUNTIME_JOB_GATHERED_WEIGHTS_H_
#define RUNTIME_JOB_GATHERED_WEIGHTS_H_

#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/checkpoint/tensor_source.h"
#include "runtime/job/ranks.h"

namespace millrace {

// In rank 0's process, between two Ranks::Each. Nobody keeps more than one tensor in memory. After an error, abort the
// ranks: the others wait for the next question.
class GatheredWeights : public TensorSource {
 public:
  // Both must outlive it.
  static absl::StatusOr<GatheredWeights> Of(const ParameterStore& store, Ranks* ranks);

  const std::vector<NamedTensor>& tensors() const override { return store_.tensors(); }
  absl::Status Read(int tensor, void* memory, uint64_t bytes) const override;

  // Nothing more will be asked. Once, at the end.
  absl::Status Release();

 private:
  GatheredWeights(const ParameterStore& store, Ranks* ranks, std::vector<TensorPart> parts)
      : store_(store), ranks_(ranks), parts_(std::move(parts)) {}

  const ParameterStore& store_;
  Ranks* const ranks_;
  const std::vector<TensorPart> parts_;
};

// In every other process at the same time. The store lists the same tensors there.
absl::Status ServeWeights(const ParameterStore& store, Ranks* ranks);

}  // namespace millrace

#endif  // RUNTIME_JOB_GATHERED_WEIGHTS_H_
