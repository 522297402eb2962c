#include "runtime/job/shared_clock.h"

#include <chrono>
#include <cmath>
#include <limits>

#include "proto/status_macros.h"
#include "runtime/job/agree.h"

namespace millrace {
namespace {

constexpr int kRounds = 5;

absl::Status AnswerWithTheTime(Ranks* ranks, int process) {
  for (int round = 0; round < kRounds; ++round) {
    char question = 0;
    MR_RETURN_IF_ERROR(ReceiveFrom(ranks, process, &question, 1, "for the time"));
    const double now = Now();
    MR_RETURN_IF_ERROR(SendTo(ranks, process, &now, sizeof(now), "the time"));
  }
  return absl::OkStatus();
}

absl::StatusOr<double> AskForTheTime(Ranks* ranks) {
  double fastest = std::numeric_limits<double>::infinity(), behind = 0;
  for (int round = 0; round < kRounds; ++round) {
    const char question = 0;
    double roots = 0;
    const double asked = Now();
    MR_RETURN_IF_ERROR(SendTo(ranks, 0, &question, 1, "for the time"));
    MR_RETURN_IF_ERROR(ReceiveFrom(ranks, 0, &roots, sizeof(roots), "the time"));
    const double answered = Now();
    if (answered - asked >= fastest) continue;
    fastest = answered - asked;
    behind = roots - (asked + answered) / 2;
  }
  // No more than the messages themselves explain: the same clock.
  return std::abs(behind) <= fastest / 2 ? 0 : behind;
}

}  // namespace

double Now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

absl::StatusOr<double> SecondsBehindRoot(Ranks* ranks) {
  if (!ranks->has_root()) return AskForTheTime(ranks);
  for (int process : ranks->processes()) {
    if (process != 0) MR_RETURN_IF_ERROR(AnswerWithTheTime(ranks, process));
  }
  return 0;
}

}  // namespace millrace
