#include <condition_variable>
#include <map>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/comm/exchange.h"

namespace millrace {
namespace {

struct Board {
  struct Round {
    std::vector<std::string> values;
    std::vector<bool> present;
    int arrived = 0;
  };
  explicit Board(int size) : size(size) {}

  const int size;
  std::mutex mutex;
  std::condition_variable changed;
  std::map<std::string, Round> rounds;
};

class InProcessExchange : public Exchange {
 public:
  InProcessExchange(std::shared_ptr<Board> board, int rank) : board_(std::move(board)), rank_(rank) {}
  int rank() const override { return rank_; }
  int size() const override { return board_->size; }

  absl::StatusOr<std::vector<std::string>> AllGather(absl::string_view key, absl::string_view mine,
                                                     absl::Time deadline) override {
    std::unique_lock<std::mutex> lock(board_->mutex);
    Board::Round& round = board_->rounds[std::string(key)];
    round.values.resize(board_->size);
    round.present.resize(board_->size, false);
    if (round.present[rank_]) {
      return absl::FailedPreconditionError(absl::StrCat("rank ", rank_, " uses the key '", key, "' twice"));
    }
    round.present[rank_] = true;
    round.values[rank_] = std::string(mine);
    ++round.arrived;
    board_->changed.notify_all();
    const auto complete = [&] { return round.arrived == board_->size; };
    if (!board_->changed.wait_until(lock, absl::ToChronoTime(deadline), complete)) {
      std::string missing;
      for (int r = 0; r < board_->size; ++r) {
        if (!round.present[r]) absl::StrAppend(&missing, " ", r);
      }
      return absl::DeadlineExceededError(absl::StrCat("'", key, "': no word from ranks", missing));
    }
    return round.values;
  }

 private:
  const std::shared_ptr<Board> board_;
  const int rank_;
};

}  // namespace

std::vector<std::unique_ptr<Exchange>> MakeInProcessExchanges(int size) {
  auto board = std::make_shared<Board>(size);
  std::vector<std::unique_ptr<Exchange>> exchanges;
  for (int rank = 0; rank < size; ++rank) exchanges.push_back(std::make_unique<InProcessExchange>(board, rank));
  return exchanges;
}

}  // namespace millrace
