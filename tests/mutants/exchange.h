// Tensors on their way between the ranks of a test-only worker, and a detector of ranks that wait for ever.
#ifndef TESTS_MUTANTS_EXCHANGE_H_
#define TESTS_MUTANTS_EXCHANGE_H_

#include <compare>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace millrace {

// One tensor of one micro-batch for one rank.
struct Parcel {
  int to = 0;
  int value = 0;
  int micro_batch = 0;
  friend auto operator<=>(const Parcel&, const Parcel&) = default;
};

// How the ranks came out.
enum class Outcome {
  kFinished,
  kRace,  // a rank read a value that is not there
  kHang,  // ranks wait for what nobody will send, or something was sent that nobody took
};

// Sending never blocks, taking does. No clock: ranks hang exactly when every rank that has not finished waits for a
// parcel that is not there, and then nothing can ever change. The ranks are a Kahn network (Kahn 1974: which values
// flow does not depend on timing), so the outcome is the same in every run. Thread-safe; one thread per rank.
class Exchange {
 public:
  explicit Exchange(int ranks) : waits_(ranks), finished_(ranks, false) {}

  void Send(const Parcel& parcel, std::vector<char> bytes);
  // Nothing when the run is over: the ranks hang, or one has raced.
  std::optional<std::vector<char>> Take(int rank, const Parcel& parcel);
  // A rank read what is not there: the run is over.
  void Race(const std::string& what);
  void Finish(int rank);

  // Once all threads have ended. What was sent and never taken is a hang too: a sender waits for its receiver.
  Outcome outcome() const;
  // What raced or hung.
  std::string why() const;

 private:
  bool Stuck() const;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<Parcel, std::deque<std::vector<char>>> under_way_;  // no empty queues
  std::vector<std::optional<Parcel>> waits_;
  std::vector<bool> finished_;
  bool hangs_ = false;
  std::string race_;
};

}  // namespace millrace

#endif  // TESTS_MUTANTS_EXCHANGE_H_
