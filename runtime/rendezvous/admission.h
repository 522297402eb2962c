// Who may take part in a job. Pure: a claim against what is expected, a status with the reason.
#ifndef RUNTIME_RENDEZVOUS_ADMISSION_H_
#define RUNTIME_RENDEZVOUS_ADMISSION_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "proto/control.pb.h"

namespace millrace {

// What both sides speak. A change to control.proto that the other side must know of makes it one more.
inline constexpr uint32_t kControlProtocol = 1;

// What every rank of a job must have in common.
struct JobIdentity {
  std::string job;
  std::string plan_hash;  // empty at the coordinator: that of the first rank to join
  std::string version;    // of the program; empty at the coordinator: that of the first rank to join
  int size = 1;
  int incarnation = 0;  // how often the job was started before
};

// "1, 3, 4 and 12 more"; "none" for an empty list.
std::string RankList(const std::vector<int>& ranks);

// The refusal of another protocol. FAILED_PRECONDITION.
absl::Status CheckProtocol(uint32_t protocol);
// `from` is the address it comes from. FAILED_PRECONDITION for another job, incarnation, version, plan or size;
// INVALID_ARGUMENT for a rank outside the job. Every message says both values and what to do.
absl::Status CheckClaim(const JobIdentity& expected, const proto::Claim& claim, absl::string_view from);

}  // namespace millrace

#endif  // RUNTIME_RENDEZVOUS_ADMISSION_H_
