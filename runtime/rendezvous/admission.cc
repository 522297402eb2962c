#include "runtime/rendezvous/admission.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace millrace {
namespace {

constexpr size_t kShownBytes = 80;
constexpr size_t kShownRanks = 8;

// What another process says is shown harmless and short.
std::string Shown(absl::string_view text) {
  return absl::StrCat("'", absl::CHexEscape(text.substr(0, kShownBytes)), text.size() > kShownBytes ? "...'" : "'");
}

absl::Status Refused(const proto::Claim& claim, absl::string_view from, absl::string_view why) {
  return absl::FailedPreconditionError(absl::StrCat("rank ", claim.rank(), " (", from, ") is refused: ", why));
}

}  // namespace

std::string RankList(const std::vector<int>& ranks) {
  if (ranks.empty()) return "none";
  std::string text;
  const size_t shown = std::min(ranks.size(), kShownRanks);
  for (size_t i = 0; i < shown; ++i) absl::StrAppend(&text, i == 0 ? "" : ", ", ranks[i]);
  if (shown < ranks.size()) absl::StrAppend(&text, " and ", ranks.size() - shown, " more");
  return text;
}

absl::Status CheckProtocol(uint32_t protocol) {
  if (protocol == kControlProtocol) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("a rank speaks protocol ", protocol, ", the coordinator protocol ",
                                                    kControlProtocol,
                                                    ": run the same version of the program everywhere"));
}

absl::Status CheckClaim(const JobIdentity& expected, const proto::Claim& claim, absl::string_view from) {
  if (claim.job() != expected.job) {
    return Refused(claim, from,
                   absl::StrCat("it belongs to job ", Shown(claim.job()), ", the coordinator here to job ",
                                Shown(expected.job), "; check the coordinator's address, or end the other job"));
  }
  if (claim.incarnation() != static_cast<uint32_t>(expected.incarnation)) {
    return Refused(claim, from,
                   absl::StrCat("it belongs to start ", claim.incarnation(), " of the job, which is now at start ",
                                expected.incarnation, "; it is left over, or another one is: end it"));
  }
  if (!expected.version.empty() && claim.version() != expected.version) {
    return Refused(claim, from,
                   absl::StrCat("it runs version ", Shown(claim.version()), ", the others ", Shown(expected.version),
                                "; install the same version everywhere"));
  }
  if (!expected.plan_hash.empty() && claim.plan_hash() != expected.plan_hash) {
    return Refused(claim, from,
                   absl::StrCat("its plan has the hash ", Shown(claim.plan_hash()), ", that of the others ",
                                Shown(expected.plan_hash), "; give every rank the same plan file"));
  }
  if (claim.size() != static_cast<uint32_t>(expected.size)) {
    return Refused(claim, from,
                   absl::StrCat("it was started as one of ", claim.size(), " ranks, the job has ", expected.size,
                                "; start as many processes as the plan has ranks"));
  }
  if (claim.rank() >= claim.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("rank ", claim.rank(), " (", from, ") is refused: the job has ranks 0 to ", expected.size - 1));
  }
  return absl::OkStatus();
}

}  // namespace millrace
