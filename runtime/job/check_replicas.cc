#include "runtime/job/check_replicas.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "proto/status_macros.h"
#include "runtime/checkpoint/checksums.h"
#include "runtime/checkpoint/tensor_source.h"
#include "runtime/job/agree.h"
#include "runtime/plan/chunks.h"
#include "runtime/plan/plan.h"

namespace millrace {
namespace {

constexpr size_t kDigestBytes = 32;

absl::StatusOr<std::string> DigestOf(const proto::ExecutionPlan& plan, const Seat& seat) {
  Sha256 sha256;
  std::vector<char> memory;
  for (int p = 0; p < plan.parameters_size(); ++p) {
    MR_ASSIGN_OR_RETURN(const uint64_t bytes, TensorBytes(plan.parameters(p).type()));
    memory.resize(bytes);
    const absl::Status read = seat.worker->ReadParameter(p, memory.data(), bytes);
    if (absl::IsNotFound(read)) continue;
    MR_RETURN_IF_ERROR(read);
    sha256.Update(memory.data(), bytes);
  }
  return sha256.Finish();
}

}  // namespace

absl::Status CheckReplicas(const proto::ExecutionPlan& plan, Ranks* ranks) {
  if (!HasReplicas(plan) || DividesParameters(plan)) return absl::OkStatus();
  std::vector<std::array<char, kDigestBytes>> digests(ranks->size());
  MR_RETURN_IF_ERROR(ranks->Each([&](Seat& seat) -> absl::Status {
    MR_ASSIGN_OR_RETURN(const std::string digest, DigestOf(plan, seat));
    std::memcpy(digests[seat.rank].data(), digest.data(), kDigestBytes);
    return absl::OkStatus();
  }));
  MR_RETURN_IF_ERROR(Share(ranks, &digests));
  std::vector<std::string> digest_of_rank;
  for (const auto& digest : digests) digest_of_rank.emplace_back(digest.data(), kDigestBytes);
  return CheckDigests(plan, digest_of_rank);
}

absl::Status CheckDigests(const proto::ExecutionPlan& plan, const std::vector<std::string>& digest_of_rank) {
  for (int place = 0; place < PipelineRanks(plan); ++place) {
    std::map<std::string, std::vector<int>> holders;
    for (int rank : RanksAt(plan, place)) holders[digest_of_rank[rank]].push_back(rank);
    if (holders.size() <= 1) continue;
    size_t most = 0;
    for (const auto& [digest, ranks] : holders) most = std::max(most, ranks.size());
    std::vector<int> drifted, others;
    for (const auto& [digest, ranks] : holders) {
      std::vector<int>& into = ranks.size() == most ? others : drifted;
      into.insert(into.end(), ranks.begin(), ranks.end());
    }
    std::sort(others.begin(), others.end());
    std::sort(drifted.begin(), drifted.end());
    const std::string what =
        drifted.empty()
            ? absl::StrCat("ranks ", absl::StrJoin(others, " and "), " hold different weights")
            : absl::StrCat("rank ", absl::StrJoin(drifted, ", rank "),
                           " has drifted: its weights are not those of ranks ", absl::StrJoin(others, ", "));
    return absl::DataLossError(absl::StrCat(
        what, ", which are replicas of each other (place ", place,
        " of the pipeline); a machine or its memory is faulty, or this is a bug: resume from the last checkpoint"));
  }
  return absl::OkStatus();
}

}  // namespace millrace
