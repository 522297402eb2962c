// The hand-made zero-bubble schedules (Qi et al. 2024, "Zero Bubble Pipeline Parallelism", arXiv 2401.10241). B is the
// input gradient only; W waits and fills what would be a bubble.
//
// ZB-H1 holds no more than 1F1B, and its bubble is about a third of 1F1B's:
//
//   p = 4, m = 6, equal times:
//   rank 0 |F0--F1--F2--F3--............b0==w0~~F4--b1==w1~~F5--b2==w2~~b3==w3~~b4==w4~~b5==w5~~|  86 %
//   rank 1 |....F0--F1--F2--........b0==F3--b1==w0~~F4--b2==w1~~F5--b3==w2~~b4==w3~~b5==w4~~w5~~|  86 %
//   rank 2 |........F0--F1--....b0==F2--b1==F3--b2==w0~~F4--b3==w1~~F5--b4==w2~~b5==w3~~w4~~w5~~|  86 %
//   rank 3 |............F0--b0==F1--b1==F2--b2==F3--b3==w0~~F4--b4==w1~~F5--b5==w2~~w3~~w4~~w5~~|  86 %
//   F0- forward   b0= input gradient   w0~ weight gradient   .. idle
//
// ZB-H2 admits 2(p - 1 - r) + 1 forwards first and has no bubble once there are 2p - 1 micro-batches and T_F, T_B >=
// T_W:
//
//   p = 4, m = 7, equal times:
//   rank 0 |F0--F1--F2--F3--F4--F5--F6--b0==w0~~b1==w1~~b2==w2~~b3==w3~~b4==w4~~b5==w5~~b6==w6~~............|  88 %
//   rank 1 |....F0--F1--F2--F3--F4--b0==F5--b1==F6--b2==w0~~b3==w1~~b4==w2~~b5==w3~~b6==w4~~w5~~w6~~........|  88 %
//   rank 2 |........F0--F1--F2--b0==F3--b1==F4--b2==F5--b3==F6--b4==w0~~b5==w1~~b6==w2~~w3~~w4~~w5~~w6~~....|  88 %
//   rank 3 |............F0--b0==F1--b1==F2--b2==F3--b3==F4--b4==F5--b5==F6--b6==w0~~w1~~w2~~w3~~w4~~w5~~w6~~|  88 %
//   F0- forward   b0= input gradient   w0~ weight gradient   .. idle
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
