#include "partitioner/schedule/dualpipev.h"

#include <deque>
#include <utility>
#include <vector>

#include "partitioner/schedule/placement.h"

namespace millrace {
namespace {

// One rank's list as it grows.
class RankList {
 public:
  RankList(int ranks, int rank) : stages_{rank, 2 * ranks - 1 - rank} {}

  void F(int chunk) { list_.push_back({stages_[chunk], proto::F, forwards_[chunk]++}); }
  void BW(int chunk) { list_.push_back({stages_[chunk], proto::BW, backwards_[chunk]++}); }
  void B(int chunk) {
    const Action action{stages_[chunk], proto::B, backwards_[chunk]++};
    list_.push_back(action);
    waiting_.push_back({action.stage, proto::W, action.micro_batch});
  }
  void Backward(int chunk, bool split) { split ? B(chunk) : BW(chunk); }
  void W() {
    list_.push_back(waiting_.front());
    waiting_.pop_front();
  }

  std::vector<Action> Take() { return std::move(list_); }

 private:
  const int stages_[2];
  int forwards_[2] = {}, backwards_[2] = {};
  std::deque<Action> waiting_;
  std::vector<Action> list_;
};

std::vector<Action> ListOf(int ranks, int rank, int micro_batches) {
  RankList list(ranks, rank);
  const int after = ranks - 1 - rank;
  for (int i = 0; i < 2 * after; ++i) list.F(0);
  for (int i = 0; i < rank + 1; ++i) {
    list.F(0);
    list.F(1);
  }
  for (int i = 0; i < after; ++i) {
    list.B(1);
    list.W();
    list.F(1);
  }
  for (int i = 0; i < micro_batches - 2 * ranks + rank + 1; ++i) {
    list.F(0);
    list.BW(1);
    list.F(1);
    list.BW(0);
  }
  for (int i = 0; i < after; ++i) {
    list.BW(1);
    list.F(1);
    list.BW(0);
  }
  // The second half delays W; on odd ranks it begins a chunk earlier.
  bool split = false;
  for (int i = 0; i < rank + 1; ++i) {
    if (i == (rank + 1) / 2 && rank % 2 == 1) split = true;
    list.Backward(1, split);
    if (i == (rank + 1) / 2 && rank % 2 == 0) split = true;
    list.Backward(0, split);
  }
  for (int i = 0; i < after; ++i) {
    list.W();
    list.B(0);
  }
  for (int i = 0; i < rank + 1; ++i) list.W();
  return list.Take();
}

}  // namespace

Schedule DualPipeV(int ranks, int micro_batches) {
  Schedule schedule{.stages = 2 * ranks, .micro_batches = micro_batches, .rank_of_stage = VPlacement(ranks)};
  for (int r = 0; r < ranks; ++r) schedule.ranks.push_back(ListOf(ranks, r, micro_batches));
  return schedule;
}

}  // namespace millrace
