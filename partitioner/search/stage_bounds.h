// Lower bounds for the search with replicas: of a chain for one micro-batch size, in constant time for any run of
// pieces.
#ifndef PARTITIONER_SEARCH_STAGE_BOUNDS_H_
#define PARTITIONER_SEARCH_STAGE_BOUNDS_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "partitioner/paper/chain.h"
#include "partitioner/paper/machine.h"

namespace millrace {

// A run of pieces [begin, end) as a stage.
struct StageChoice {
  int begin = 0, end = 0;
  int64_t replicas = 1;
  int64_t devices_after = 0;  // tensor-parallel groups of the stages after it
  double sends_after = 0;     // seconds of one micro-batch's sends from it to the last stage, at least
};

class StageBounds {
 public:
  // `chain` and `machine` must outlive it.
  StageBounds(const PaperChain& chain, const PaperMachine& machine, int64_t tensor_parallel, int64_t micro_batches,
              int sharding);

  int pieces() const { return static_cast<int>(forward_.size()) - 1; }
  // Seconds of one micro-batch, all phases.
  double Work(int begin, int end) const { return work_[end] - work_[begin]; }
  int64_t WarmUp(const StageChoice& stage) const;
  // Of the pipeline, by this stage alone.
  double Pipeline(const StageChoice& stage) const;
  // Of what follows it, by this stage alone.
  double After(const StageChoice& stage) const;
  double MemoryBytes(const StageChoice& stage) const;
  // Of one micro-batch over the border after piece `end` - 1, one way.
  double Send(int end) const { return send_[end]; }
  // First pieces of `stages` stages with the smallest largest Work.
  std::vector<int> MostEven(int stages) const;

 private:
  double Parameters(int begin, int end) const;
  // What most_even_ lacks up to so many stages.
  void Extend(int stages) const;

  const PaperChain& chain_;
  const PaperMachine& machine_;
  const int64_t tensor_parallel_, micro_batches_;
  const int sharding_;
  // Sums up to a piece, not included.
  std::vector<double> work_, forward_, parameters_, stash_, moment_;
  std::vector<double> send_;  // by border
  // [stages - 1][end]: the smallest largest work of the pieces before `end`, and where the last of these stages begins.
  mutable std::vector<std::vector<std::pair<double, int>>> most_even_;
};

}  // namespace millrace

#endif  // PARTITIONER_SEARCH_STAGE_BOUNDS_H_
