#include "runtime/rendezvous/job_failure.h"

namespace millrace {

const char* NameOf(JobFailure::Kind kind) {
  switch (kind) {
    case JobFailure::Kind::kReported:
      return "reported";
    case JobFailure::Kind::kDied:
      return "died";
    case JobFailure::Kind::kHung:
      return "hung";
    case JobFailure::Kind::kStopped:
      return "stopped";
  }
  return "failed";
}

proto::Failure ToProto(const JobFailure& failure) {
  proto::Failure out;
  out.set_kind(static_cast<proto::Failure::Kind>(static_cast<int>(failure.kind) + 1));
  out.set_rank(failure.rank);
  out.set_code(static_cast<int>(failure.code));
  out.set_message(failure.message);
  return out;
}

JobFailure FromProto(const proto::Failure& failure) {
  JobFailure out;
  if (failure.kind() >= proto::Failure::REPORTED && failure.kind() <= proto::Failure::STOPPED) {
    out.kind = static_cast<JobFailure::Kind>(failure.kind() - 1);
  }
  out.rank = failure.rank();
  const int last = static_cast<int>(absl::StatusCode::kUnauthenticated);
  if (failure.code() > 0 && failure.code() <= last) out.code = static_cast<absl::StatusCode>(failure.code());
  out.message = failure.message();
  return out;
}

bool IsConsequence(absl::StatusCode code) {
  return code == absl::StatusCode::kUnavailable || code == absl::StatusCode::kAborted ||
         code == absl::StatusCode::kCancelled;
}

}  // namespace millrace
