// Where all ranks stand, and which of them keeps the others waiting. Pure: notes in, text out.
#ifndef RUNTIME_RENDEZVOUS_HANG_REPORT_H_
#define RUNTIME_RENDEZVOUS_HANG_REPORT_H_

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "proto/control.pb.h"

namespace millrace {

// What is known of one rank.
struct Standing {
  enum class State { kAbsent, kThere, kLeft, kGone };
  State state = State::kAbsent;
  bool noted = false;        // it has said where it stands
  proto::Position position;  // the last word on it
  absl::Duration since;      // how long it has stood there
  absl::Duration silence;    // how long nothing was heard of it
};

struct HangReportOptions {
  absl::Duration silent_after = absl::Seconds(1);  // a rank not heard for so long is named as silent
  // Notes of two ranks are some beats apart: only a wait this old says something of what its peer has passed.
  absl::Duration settled_after = absl::Milliseconds(500);
  size_t most_lines = 64;  // of a report; more ranks are counted, those that wait come first
};

struct HangCause {
  int rank = -1;     // the one that keeps the others waiting; -1: it cannot be told, or a message was lost
  std::string text;  // one line: "rank 1 waits for edge x of micro-batch 3 from rank 0, which ..., so ..."
};
HangCause FindHangCause(const std::vector<Standing>& ranks, const HangReportOptions& options = {});

// The cause, then a line for each rank: instruction, edge, micro-batch, the peer it waits for, and for how long.
std::string HangReport(const std::vector<Standing>& ranks, const HangReportOptions& options = {});

}  // namespace millrace

#endif  // RUNTIME_RENDEZVOUS_HANG_REPORT_H_
