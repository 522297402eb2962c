// The heuristic of automatic zero bubble (zb_auto.h): one order of F, B and W, played against the clock while it is
// made. zb_auto.cc tries it under many choices; here is one try.
#ifndef PARTITIONER_SCHEDULE_ZB_GREEDY_H_
#define PARTITIONER_SCHEDULE_ZB_GREEDY_H_

#include <cstdint>
#include <vector>

#include "runtime/plan/action.h"
#include "runtime/plan/schedule.h"

namespace millrace {

// The heuristic's choices.
struct ZbChoices {
  bool wait_for_first_b = false;  // run one more F before the first B even though B could then be here already
  bool hold_back_f = false;       // leave an F out where the next rank is two behind and it would delay a B
  bool always_fill = false;       // W in every gap, also in one that is no longer than others accepted
  double allowed_bubble = 0;      // per rank, from the start
};

struct ZbTry {
  double span = 0;       // the longest of a rank; infinite: given up, it would have been longer than asked for
  double bubble = 0;     // the largest of a rank
  bool limited = false;  // the memory limit changed something: under a larger one the try may end differently
};

// Keeps its tables from one try to the next.
class ZbGreedy {
 public:
  ZbGreedy(int ranks, int micro_batches, const ScheduleCosts& costs);

  // A rank holds at most `limit` half micro-batches. Gives up where the span is sure to be longer than `worth`.
  ZbTry Run(int64_t limit, const ZbChoices& choices, double worth);

  // Of the last try, which was not given up.
  Schedule Last() const;

 private:
  struct Rank {
    double forward = 0, backward_input = 0, backward_weight = 0;  // seconds of an action
    double to_next = 0;                                           // seconds of a transfer
    double now = 0;                                               // end of the list
    double first_start = 0;
    double bubble = 0;        // so far
    int f = 0, b = 0, w = 0;  // how many of each stand in the list
    int64_t held = 0;         // in half micro-batches
    double* forward_end = nullptr;
    double* backward_end = nullptr;
    char* phases = nullptr;  // where the next one goes
  };

  void Start(int64_t limit, const ZbChoices& choices);
  double ForwardArrival(int r) const;
  double BackwardArrival(int r) const;
  double Put(Rank* rank, proto::Phase phase, double start, double duration, int64_t held);
  void PutF(int r);
  void PutB(int r);
  void PutW(Rank* rank);
  static bool HasW(const Rank& rank) { return rank.w < rank.b; }
  bool OverLimit(int64_t held);
  void WarmUp();
  bool HoldsBack(int r);
  void Forwards();
  void Backward(int r);
  void Fill(Rank* rank, double arrival);
  bool IsLongerThan(double worth) const;

  const int p_, m_;
  std::vector<Rank> ranks_;
  std::vector<double> ends_;  // of F and B, by rank and micro-batch
  // By rank and position. Micro-batches of a phase come in order on a rank, so the phase says it all.
  std::vector<char> phases_;
  std::vector<char> runs_;  // by rank: does it take part in this round of F's?
  ZbChoices choices_;
  int64_t limit_ = 0;
  bool limited_ = false;
  double largest_bubble_ = 0;
};

}  // namespace millrace

#endif  // PARTITIONER_SCHEDULE_ZB_GREEDY_H_
