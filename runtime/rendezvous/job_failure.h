// Why a job ended: the first error, in the same words for every rank.
#ifndef RUNTIME_RENDEZVOUS_JOB_FAILURE_H_
#define RUNTIME_RENDEZVOUS_JOB_FAILURE_H_

#include <string>

#include "absl/status/status.h"
#include "proto/control.pb.h"

namespace millrace {

struct JobFailure {
  enum class Kind { kReported, kDied, kHung, kStopped };

  Kind kind = Kind::kReported;
  int rank = -1;  // the culprit; -1: none of the ranks
  absl::StatusCode code = absl::StatusCode::kUnknown;
  std::string message;

  absl::Status status() const { return absl::Status(code, message); }
};

// "reported", "died", "hung", "stopped".
const char* NameOf(JobFailure::Kind kind);

proto::Failure ToProto(const JobFailure& failure);
// Whatever arrives, the result is an error: unknown codes become UNKNOWN.
JobFailure FromProto(const proto::Failure& failure);

// Whether the error is what somebody else's end looks like from outside: UNAVAILABLE, ABORTED, CANCELLED. Such a report
// waits for the cause before it counts.
bool IsConsequence(absl::StatusCode code);

}  // namespace millrace

#endif  // RUNTIME_RENDEZVOUS_JOB_FAILURE_H_
