// The hand-made zero-bubble schedules (Qi et al. 2024, "Zero Bubble Pipeline Parallelism", arXiv 2401.10241). B is the
// input gradient only; W waits and fills what would be a bubble.
//
// ZB-H1 holds no more than 1F1B, and its bubble is about a third of 1F1B's:
//
//   rank 0  0 1 2 3 . . . . . . a 4 A b . . .      pp = 4: digits are F, small letters B, capitals W
//   rank 1  . 0 1 2 . . . . a 3 b A ...
//   rank 2  . . 0 1 . . a 2 b 3 A ...
//   rank 3  . . . 0 a A 1 b B 2 c C ...            on the last rank W follows at once; rank r lags r B's behind
//
// ZB-H2 admits 2(p - 1 - r) + 1 forwards first and has no bubble once there are 2p - 1 micro-batches and T_F, T_B >=
// T_W:
//
//   rank 0  0 1 2 3 4 5 6 a A 7 b B 8 ...
//   rank 1  . 0 1 2 3 4 a 5 b A 6 ...
//   rank 2  . . 0 1 2 a 3 b 4 c A ...
//   rank 3  . . . 0 a 1 b 2 c 3 A ...
#ifndef PARTITIONER_SCHEDULE_ZB_H_H_
#define PARTITIONER_SCHEDULE_ZB_H_H_

#include <vector>

#include "runtime/plan/action.h"

namespace millrace {

// Stage s on rank s; any number of micro-batches. REQUIRES: both positive.
Schedule ZbH1(int stages, int micro_batches);
Schedule ZbH2(int stages, int micro_batches);

// The pattern that both are: rank r runs warm_up[r] forwards (at least 1, no fewer than rank r + 1), then in turn a B,
// a W if more than w_lag[r] B's are ahead of the W's, and an F while any is left; the remaining W's at the end.
Schedule ZbPattern(const std::vector<int>& warm_up, const std::vector<int>& w_lag, int micro_batches);

}  // namespace millrace

#endif  // PARTITIONER_SCHEDULE_ZB_H_H_
