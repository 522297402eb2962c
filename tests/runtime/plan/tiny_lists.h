// The instruction lists of the tiny plan.
#ifndef TESTS_RUNTIME_PLAN_TINY_LISTS_H_
#define TESTS_RUNTIME_PLAN_TINY_LISTS_H_

#include "proto/plan.pb.h"
#include "tests/runtime/plan/tiny_plan.h"

namespace millrace {

// Pool numbers of rank s; -1: it has none.
struct TinyPools {
  int in = 0, out = -1, dy = -1, dx = -1;
  TinyPools(int s, int p) {
    int next = 1;
    if (s < p - 1) out = next++;
    dy = next++;
    if (s > 0) dx = next++;
  }
};

// Fills the lists, pools, scratch range and live bytes of all ranks in one total order of time.
void ListTinyInstructions(const TinyPlanOptions& options, proto::Program* program);

}  // namespace millrace

#endif  // TESTS_RUNTIME_PLAN_TINY_LISTS_H_
