#include "runtime/plan/verify/ordering.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "runtime/plan/broken.h"

namespace millrace {

absl::StatusOr<Ordering> Ordering::Of(const proto::Program& program, const Wiring& wiring, int rank) {
  constexpr int64_t kMostEntries = int64_t{1} << 28;
  const auto& instructions = program.ranks(rank).instructions();
  Ordering order;
  order.channel_ = &wiring.ranks[rank].channel;
  order.channels_ = wiring.ranks[rank].channels;
  int64_t rows = instructions.size();
  for (const proto::Instruction& instruction : instructions) rows += instruction.after_size();
  if (rows * order.channels_ > kMostEntries) {
    return Broken("extent", {&program, rank},
                  absl::StrCat(instructions.size(), " instructions on ", order.channels_,
                               " channels are more than can be checked"));
  }
  const int channels = order.channels_;
  order.clocks_.assign(static_cast<size_t>(instructions.size()) * channels, -1);
  std::vector<int> last(channels, -1);
  for (int i = 0; i < instructions.size(); ++i) {
    int* clock = order.clocks_.data() + static_cast<size_t>(i) * channels;
    const auto join = [&](int earlier) {
      const int* other = order.clocks_.data() + static_cast<size_t>(earlier) * channels;
      for (int c = 0; c < channels; ++c) clock[c] = std::max(clock[c], other[c]);
      int& own = clock[order.ChannelOf(earlier)];
      own = std::max(own, earlier);
    };
    int& previous = last[order.ChannelOf(i)];
    if (previous >= 0) join(previous);
    for (uint32_t earlier : instructions[i].after()) join(static_cast<int>(earlier));
    previous = i;
  }
  return order;
}

}  // namespace millrace
