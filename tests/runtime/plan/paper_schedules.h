// Textbook schedules for tests, written from their papers' orders and nothing else.
#ifndef TESTS_RUNTIME_PLAN_PAPER_SCHEDULES_H_
#define TESTS_RUNTIME_PLAN_PAPER_SCHEDULES_H_

#include <algorithm>
#include <vector>

#include "runtime/plan/action.h"

namespace millrace {

inline Schedule EmptySchedule(int ranks, int chunks, int micro_batches) {
  Schedule schedule;
  schedule.stages = ranks * chunks;
  schedule.micro_batches = micro_batches;
  schedule.ranks.resize(ranks);
  for (int s = 0; s < schedule.stages; ++s) schedule.rank_of_stage.push_back(s % ranks);
  return schedule;
}

inline Schedule PaperGPipe(int p, int m) {
  Schedule schedule = EmptySchedule(p, 1, m);
  for (int s = 0; s < p; ++s) {
    for (int k = 0; k < m; ++k) schedule.ranks[s].push_back({s, proto::F, k});
    for (int k = 0; k < m; ++k) schedule.ranks[s].push_back({s, proto::BW, k});
  }
  return schedule;
}

// Warm-up forwards, then forward and backward in turn, then backwards. p = 1 to v chunks, in Megatron's order.
inline Schedule PaperInterleaved(int p, int v, int m) {
  Schedule schedule = EmptySchedule(p, v, m);
  for (int r = 0; r < p; ++r) {
    const auto nth = [&](int k, proto::Phase phase) {
      const int chunk = k % (p * v) / p;
      return Action{(phase == proto::F ? chunk : v - 1 - chunk) * p + r, phase, k / (p * v) * p + k % p};
    };
    const int total = m * v;
    const int warm_up = m == p ? total : std::min(2 * (p - r - 1) + (v - 1) * p, total);
    int f = 0, b = 0;
    while (f < warm_up) schedule.ranks[r].push_back(nth(f++, proto::F));
    while (b < total) {
      if (f < total) schedule.ranks[r].push_back(nth(f++, proto::F));
      schedule.ranks[r].push_back(nth(b++, proto::BW));
    }
  }
  return schedule;
}

inline Schedule Paper1F1B(int p, int m) {
  Schedule schedule = EmptySchedule(p, 1, m);
  for (int s = 0; s < p; ++s) {
    int f = 0;
    while (f < std::min(p - s - 1, m)) schedule.ranks[s].push_back({s, proto::F, f++});
    for (int b = 0; b < m; ++b) {
      if (f < m) schedule.ranks[s].push_back({s, proto::F, f++});
      schedule.ranks[s].push_back({s, proto::BW, b});
    }
  }
  return schedule;
}

inline Schedule PaperZbH1(int p, int m) {
  Schedule schedule = EmptySchedule(p, 1, m);
  for (int s = 0; s < p; ++s) {
    std::vector<Action>& list = schedule.ranks[s];
    int f = 0, w = 0;
    while (f < std::min(p - s, m)) list.push_back({s, proto::F, f++});
    for (int b = 0; b < m;) {
      list.push_back({s, proto::B, b++});
      if (b - w > s) list.push_back({s, proto::W, w++});
      if (f < m) list.push_back({s, proto::F, f++});
    }
    while (w < m) list.push_back({s, proto::W, w++});
  }
  return schedule;
}

}  // namespace millrace

#endif  // TESTS_RUNTIME_PLAN_PAPER_SCHEDULES_H_
