// Which instructions of a rank are sure to have finished before another starts: the order given by channels and
// `after`, kept as one vector clock per instruction.
#ifndef RUNTIME_PLAN_VERIFY_ORDERING_H_
#define RUNTIME_PLAN_VERIFY_ORDERING_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/plan.pb.h"
#include "runtime/plan/wiring.h"

namespace millrace {

class Ordering {
 public:
  // Rule `extent` when the rank has so many instructions and channels that the clocks would not fit in memory.
  static absl::StatusOr<Ordering> Of(const proto::Program& program, const Wiring& wiring, int rank);

  // Is `earlier` finished before `later` starts? REQUIRES: earlier < later.
  bool Before(int earlier, int later) const {
    const int channel = (*channel_)[earlier];
    return clocks_[static_cast<size_t>(later) * channels_ + channel] >= earlier;
  }
  int ChannelOf(int instruction) const { return (*channel_)[instruction]; }

 private:
  const std::vector<int>* channel_ = nullptr;  // the wiring's
  int channels_ = 1;
  // clocks_[i * channels_ + c]: the last instruction of channel c that has finished before i starts, -1: none.
  std::vector<int> clocks_;
};

}  // namespace millrace

#endif  // RUNTIME_PLAN_VERIFY_ORDERING_H_
