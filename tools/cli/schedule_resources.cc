#include "tools/cli/schedule_resources.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <numeric>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "partitioner/schedule/make_schedule.h"
#include "proto/status_macros.h"
#include "tools/cli/command.h"

namespace millrace {
namespace {

struct WireName {
  const char* name;
  ScheduleResources::Wire wire;
};
constexpr WireName kWires[] = {{"direction", ScheduleResources::Wire::kDirection},
                               {"pair", ScheduleResources::Wire::kPair},
                               {"port", ScheduleResources::Wire::kPort},
                               {"rank", ScheduleResources::Wire::kRank},
                               {"shared", ScheduleResources::Wire::kShared}};

constexpr int kMostSlots = 1 << 30;

using Words = std::vector<std::string>;

absl::Status CheckLength(absl::string_view flag, const Words& words, int ranks, int stages) {
  const int size = static_cast<int>(words.size());
  if (size <= 1 || size == ranks || size == stages) return absl::OkStatus();
  return UsageError(absl::StrCat("--", flag, " has ", size, " values for ", ranks, " devices",
                                 stages > ranks ? absl::StrCat(" and ", stages, " stages") : "",
                                 "; give one, or one for each"));
}

// By stage: which of the words its edge to the next stage has, by the rule that --communication follows.
std::vector<int> WordOfEdge(size_t words, const std::vector<int>& rank_of_stage) {
  ScheduleRequest request;
  request.communication.resize(words);
  std::iota(request.communication.begin(), request.communication.end(), 0);
  const std::vector<double> values = CostsOfStages(request, rank_of_stage).value().communication;
  return std::vector<int>(values.begin(), values.end());
}

std::vector<int> WordOfStage(size_t words, const std::vector<int>& rank_of_stage) {
  std::vector<int> index(rank_of_stage.size(), 0);
  if (words == rank_of_stage.size()) {
    std::iota(index.begin(), index.end(), 0);
  } else if (words > 1) {
    index = rank_of_stage;
  }
  return index;
}

absl::StatusOr<std::vector<double>> PerEdge(absl::string_view flag, const Words& words, bool is_rate, int ranks,
                                            const std::vector<int>& rank_of_stage) {
  MR_RETURN_IF_ERROR(CheckLength(flag, words, ranks, static_cast<int>(rank_of_stage.size())));
  std::vector<double> given;
  for (const std::string& word : words) {
    double& value = given.emplace_back();
    const bool number = absl::SimpleAtod(word, &value) && !std::isnan(value);
    if (number && (is_rate ? value > 0 : value >= 0 && std::isfinite(value))) continue;
    return UsageError(absl::StrCat("--", flag, "=", absl::StrJoin(words, ","), ": '", word, "' is not ",
                                   is_rate ? "a rate; numbers above 0 are needed, or inf"
                                           : "a size; numbers from 0 up "
                                             "are needed"));
  }
  std::vector<double> values;
  for (int word : WordOfEdge(given.size(), rank_of_stage)) values.push_back(given[word]);
  return values;
}

absl::StatusOr<std::vector<int>> Slots(absl::string_view flag, const Words& words, int ranks,
                                       const std::vector<int>& rank_of_stage) {
  MR_RETURN_IF_ERROR(CheckLength(flag, words, ranks, static_cast<int>(rank_of_stage.size())));
  std::vector<int> given, values;
  for (const std::string& word : words) {
    int& value = given.emplace_back();
    if (absl::SimpleAtoi(word, &value) && value >= 1 && value <= kMostSlots) continue;
    return UsageError(absl::StrCat("--", flag, "=", absl::StrJoin(words, ","), ": '", word,
                                   "' is not a number of slots; whole numbers from 1 to ", kMostSlots, " are needed"));
  }
  if (given.empty()) return values;
  for (int word : WordOfStage(given.size(), rank_of_stage)) values.push_back(given[word]);
  return values;
}

}  // namespace

void ScheduleResourceFlags::Declare(FlagSet* flags) {
  flags->Strings("bandwidth", &bandwidth_,
                 "of a link, in units of --transfer-bytes per unit of time; a transfer keeps its wire busy for bytes / "
                 "bandwidth and arrives --communication later");
  flags->Strings("transfer-bytes", &transfer_bytes_, "size of one transfer over a link, with --bandwidth");
  flags->Strings("wire", &wire_,
                 "what carries one transfer at a time: direction (each way between two devices), pair (both ways), "
                 "port (all a device sends; all it receives), rank (both of these), shared (everything), or a name for "
                 "each link: equal names share");
  flags->Strings("stash-slots", &stash_slots_, "micro-batches that a stage may hold; fewer than needed is a deadlock");
  flags->Strings("receive-slots", &receive_slots_, "received tensors that a stage may hold, each way");
  flags->Strings("send-slots", &send_slots_, "tensors that a stage may have made and not sent, each way");
}

absl::Status ScheduleResourceFlags::ReadWires(const std::vector<int>& rank_of_stage, int ranks,
                                              ScheduleResources* resources) const {
  if (wire_.empty()) return absl::OkStatus();
  const auto* known = std::find_if(std::begin(kWires), std::end(kWires),
                                   [&](const WireName& wire) { return wire_.size() == 1 && wire.name == wire_[0]; });
  if (known != std::end(kWires)) {
    resources->wire = known->wire;
    return absl::OkStatus();
  }
  if (wire_.size() == 1 && rank_of_stage.size() > 1) {
    Words names;
    for (const WireName& wire : kWires) names.push_back(wire.name);
    const std::string nearest = Nearest(wire_[0], names);
    return UsageError(absl::StrCat("--wire=", wire_[0], ": there are ", absl::StrJoin(names, ", "),
                                   ", or a name for each link",
                                   nearest.empty() ? "" : absl::StrCat("; did you mean ", nearest, "?")));
  }
  MR_RETURN_IF_ERROR(CheckLength("wire", wire_, ranks, static_cast<int>(rank_of_stage.size())));
  for (int word : WordOfEdge(wire_.size(), rank_of_stage)) {
    resources->wire_of_edge.push_back(
        static_cast<int>(std::find(wire_.begin(), wire_.end(), wire_[word]) - wire_.begin()));
  }
  return absl::OkStatus();
}

absl::StatusOr<ScheduleResources> ScheduleResourceFlags::For(const Schedule& schedule) const {
  const int ranks = static_cast<int>(schedule.ranks.size());
  const std::vector<int>& placed = schedule.rank_of_stage;
  ScheduleResources resources;
  if (bandwidth_.empty() != transfer_bytes_.empty()) {
    return UsageError("--bandwidth and --transfer-bytes go together: one without the other says nothing of time");
  }
  if (bandwidth_.empty() && !wire_.empty()) {
    return UsageError("--wire needs --bandwidth and --transfer-bytes: without them no transfer keeps a wire busy");
  }
  if (!bandwidth_.empty()) {
    MR_ASSIGN_OR_RETURN(resources.transfer_bytes, PerEdge("transfer-bytes", transfer_bytes_, false, ranks, placed));
    MR_ASSIGN_OR_RETURN(resources.bandwidth, PerEdge("bandwidth", bandwidth_, true, ranks, placed));
    MR_RETURN_IF_ERROR(ReadWires(placed, ranks, &resources));
  }
  MR_ASSIGN_OR_RETURN(resources.stash_slots, Slots("stash-slots", stash_slots_, ranks, placed));
  MR_ASSIGN_OR_RETURN(resources.receive_slots, Slots("receive-slots", receive_slots_, ranks, placed));
  MR_ASSIGN_OR_RETURN(resources.send_slots, Slots("send-slots", send_slots_, ranks, placed));
  return resources;
}

std::vector<double> BusyTimes(const ScheduleResources& resources, int stages) {
  std::vector<double> times(stages, 0);
  if (resources.transfer_bytes.empty() || resources.bandwidth.empty()) return times;
  for (int s = 0; s < stages; ++s) times[s] = resources.transfer_bytes[s] / resources.bandwidth[s];
  return times;
}

}  // namespace millrace
