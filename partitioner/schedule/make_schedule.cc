#include "partitioner/schedule/make_schedule.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <numeric>
#include <optional>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "partitioner/schedule/dualpipev.h"
#include "partitioner/schedule/gpipe.h"
#include "partitioner/schedule/interleaved.h"
#include "partitioner/schedule/one_f_one_b.h"
#include "partitioner/schedule/placement.h"
#include "partitioner/schedule/span.h"
#include "partitioner/schedule/v_half.h"
#include "partitioner/schedule/v_min.h"
#include "partitioner/schedule/zb_auto.h"
#include "partitioner/schedule/zb_h.h"
#include "partitioner/schedule/zb_v.h"
#include "proto/status_macros.h"

namespace millrace {
namespace {

// Actions of one phase; three phases of 16 bytes an action stay under 1 GiB.
constexpr int64_t kMostActions = 20'000'000;

struct Kind {
  const char* name;
  enum { kOneChunk, kAnyChunks, kV } shape;
  absl::StatusOr<Schedule> (*make)(const ScheduleRequest& request, const ScheduleCosts& costs);
};

const Kind kKinds[] = {
    {"gpipe", Kind::kOneChunk,
     [](const ScheduleRequest& r, const ScheduleCosts&) -> absl::StatusOr<Schedule> {
       return GPipe(r.ranks, r.micro_batches);
     }},
    {"1f1b", Kind::kOneChunk,
     [](const ScheduleRequest& r, const ScheduleCosts&) -> absl::StatusOr<Schedule> {
       return OneFOneB(r.ranks, r.micro_batches);
     }},
    {"interleaved", Kind::kAnyChunks,
     [](const ScheduleRequest& r, const ScheduleCosts& costs) -> absl::StatusOr<Schedule> {
       return Interleaved(r.ranks, r.chunks, r.micro_batches, costs);
     }},
    {"zb-h1", Kind::kOneChunk,
     [](const ScheduleRequest& r, const ScheduleCosts&) -> absl::StatusOr<Schedule> {
       return ZbH1(r.ranks, r.micro_batches);
     }},
    {"zb-h2", Kind::kOneChunk,
     [](const ScheduleRequest& r, const ScheduleCosts&) -> absl::StatusOr<Schedule> {
       return ZbH2(r.ranks, r.micro_batches);
     }},
    {"zb-auto", Kind::kOneChunk,
     [](const ScheduleRequest& r, const ScheduleCosts& costs) -> absl::StatusOr<Schedule> {
       if (r.memory_limit > 0 && r.memory_limit < 1) {
         return absl::InvalidArgumentError(absl::StrCat("schedule zb-auto: a memory limit of ", r.memory_limit,
                                                        "; a rank must hold at least 1 micro-batch"));
       }
       return ZbAuto(r.ranks, r.micro_batches, costs, r.memory_limit);
     }},
    {"zb-v", Kind::kV,
     [](const ScheduleRequest& r, const ScheduleCosts& costs) -> absl::StatusOr<Schedule> {
       return ZbV(r.ranks, r.micro_batches, costs);
     }},
    {"v-half", Kind::kV,
     [](const ScheduleRequest& r, const ScheduleCosts& costs) -> absl::StatusOr<Schedule> {
       return VHalf(r.ranks, r.micro_batches, costs);
     }},
    {"v-min", Kind::kV,
     [](const ScheduleRequest& r, const ScheduleCosts& costs) -> absl::StatusOr<Schedule> {
       return VMin(r.ranks, r.micro_batches, costs);
     }},
    {"dualpipev", Kind::kV,
     [](const ScheduleRequest& r, const ScheduleCosts&) -> absl::StatusOr<Schedule> {
       if (r.micro_batches < 2 * r.ranks && r.ranks > 1) {
         return absl::InvalidArgumentError(
             absl::StrCat("schedule dualpipev: ", r.micro_batches, " micro-batches on ", r.ranks, " ranks; it needs ",
                          2 * r.ranks, ", because every rank fills both of its chunks before the steady state begins"));
       }
       return DualPipeV(r.ranks, r.micro_batches);
     }},
};

const Kind* Find(const std::string& name) {
  for (const Kind& kind : kKinds) {
    if (name == kind.name) return &kind;
  }
  return nullptr;
}

absl::Status Bad(const ScheduleRequest& request, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("schedule ", request.kind, ": ", what));
}

absl::StatusOr<int> ChunksOf(const ScheduleRequest& request) {
  const Kind* kind = Find(request.kind);
  if (kind == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("there is no schedule \"", request.kind, "\"; there are ", absl::StrJoin(ScheduleKinds(), ", ")));
  }
  if (request.ranks < 1 || request.chunks < 1 || request.micro_batches < 1) {
    return Bad(request, absl::StrCat(request.ranks, " ranks, ", request.chunks, " chunks, ", request.micro_batches,
                                     " micro-batches; each must be at least 1"));
  }
  if (int64_t{request.ranks} * request.chunks > kMostActions / request.micro_batches) {
    return Bad(request, absl::StrCat(request.ranks, " ranks x ", request.chunks, " chunks x ", request.micro_batches,
                                     " micro-batches are more than the ", kMostActions, " that fit"));
  }
  switch (kind->shape) {
    case Kind::kAnyChunks:
      return request.chunks;
    case Kind::kOneChunk:
      if (request.chunks == 1) return 1;
      return Bad(request, absl::StrCat(request.chunks, " chunks; a rank has one (\"interleaved\" takes any number)"));
    case Kind::kV:
      if (request.chunks <= 2) return 2;
      return Bad(request, absl::StrCat(request.chunks, " chunks; a V has 2"));
  }
  return absl::InternalError("unreachable");
}

// A list of the request, checked: empty, of one value, of one for each rank, or of one for each stage.
absl::Status CheckTimes(const ScheduleRequest& request, int ranks, int stages, absl::string_view name,
                        const std::vector<double>& given) {
  const int size = static_cast<int>(given.size());
  if (size > 1 && size != ranks && size != stages) {
    return Bad(request,
               absl::StrCat(size, " values of ", name, " for ", ranks, " ranks; give one, or one for each",
                            stages > ranks ? absl::StrCat(", or one for each of the ", stages, " stages") : ""));
  }
  for (double value : given) {
    if (std::isfinite(value) && value >= 0) continue;
    return Bad(request, absl::StrCat(name, " of ", value, "; times are finite and not negative"));
  }
  return absl::OkStatus();
}

double ForRank(const std::vector<double>& given, int rank, double otherwise) {
  return given.empty() ? otherwise : given[given.size() == 1 ? 0 : rank];
}

// One value for each stage of a checked list of times: a rank's divided among its `chunks`.
std::vector<double> PerStage(const std::vector<double>& given, const std::vector<int>& rank_of_stage,
                             const std::vector<int>& chunks) {
  if (given.size() > 1 && given.size() == rank_of_stage.size()) return given;
  std::vector<double> times;
  for (int rank : rank_of_stage) times.push_back(ForRank(given, rank, 1) / chunks[rank]);
  return times;
}

// A transfer does not divide. Where stages go back up a V, from rank r to r - 1, they use the link that r - 1 sends
// over on the way down; a ring of two ranks has a link of its own from the last to the first.
std::vector<double> TransferPerStage(const std::vector<double>& given, const std::vector<int>& rank_of_stage) {
  if (given.size() > 1 && given.size() == rank_of_stage.size()) return given;
  std::vector<double> times;
  const int stages = static_cast<int>(rank_of_stage.size());
  for (int s = 0; s < stages; ++s) {
    const int rank = rank_of_stage[s];
    const bool up = s + 1 < stages && rank_of_stage[s + 1] == rank - 1;
    const bool ring = up && rank - 1 == 0 && s > 0 && rank_of_stage[s - 1] == rank - 1;
    times.push_back(ForRank(given, up && !ring ? rank - 1 : rank, 0));
  }
  return times;
}

bool PlacesByCosts(const std::string& kind) {
  return kind == "interleaved" || kind == "zb-auto" || kind == "zb-v" || kind == "v-half" || kind == "v-min";
}

// The request with every list's mean in the list's place; nothing where they are that already. The last transfer of a
// list may not exist: once with and once without it.
std::vector<ScheduleRequest> Averaged(const ScheduleRequest& request) {
  const auto mean = [](const std::vector<double>& list, size_t count) {
    return std::vector<double>{std::accumulate(list.begin(), list.begin() + count, 0.0) / static_cast<double>(count)};
  };
  ScheduleRequest averaged = request;
  bool uneven = false;
  for (auto* list : {&averaged.forward, &averaged.backward_input, &averaged.backward_weight, &averaged.communication}) {
    if (list->size() <= 1) continue;
    uneven |= std::any_of(list->begin(), list->end(), [&](double value) { return value != list->front(); });
    *list = mean(*list, list->size());
  }
  if (!uneven) return {};
  std::vector<ScheduleRequest> requests = {averaged};
  const size_t transfers = request.communication.size();
  if (transfers > 1) averaged.communication = mean(request.communication, transfers - 1);
  if (averaged.communication != requests[0].communication) requests.push_back(averaged);
  return requests;
}

// Shows what the kind makes of the average costs. For "zb-auto" more memory is never slower here either: also under the
// smaller limits that ZbAuto tries, largest first.
absl::Status ForAverages(const ScheduleRequest& request, const Kind& kind, absl::FunctionRef<void(Schedule)> consider) {
  const std::vector<ScheduleRequest> averages = Averaged(request);
  if (request.kind != "zb-auto") {
    for (const ScheduleRequest& average : averages) {
      MR_ASSIGN_OR_RETURN(const ScheduleCosts costs, CostsOfRequest(average));
      MR_ASSIGN_OR_RETURN(Schedule schedule, kind.make(average, costs));
      consider(std::move(schedule));
    }
    return absl::OkStatus();
  }
  std::vector<double> limits = {request.memory_limit};
  for (int times : {2, 1}) {
    const double less = static_cast<double>(times) * request.ranks;
    if (request.memory_limit == 0 || request.memory_limit > less) limits.push_back(less);
  }
  std::vector<std::function<Schedule(double)>> makers;
  for (const ScheduleRequest& average : averages) {
    MR_ASSIGN_OR_RETURN(const ScheduleCosts costs, CostsOfRequest(average));
    makers.push_back(ZbAutoUnder(request.ranks, request.micro_batches, costs, limits));
  }
  for (double limit : limits) {
    for (const auto& make : makers) consider(make(limit));
  }
  return absl::OkStatus();
}

}  // namespace

std::vector<std::string> ScheduleKinds() {
  std::vector<std::string> names;
  for (const Kind& kind : kKinds) names.push_back(kind.name);
  return names;
}

absl::StatusOr<ScheduleCosts> CostsOfStages(const ScheduleRequest& request, const std::vector<int>& rank_of_stage) {
  std::vector<int> chunks;
  for (int rank : rank_of_stage) {
    if (rank >= static_cast<int>(chunks.size())) chunks.resize(rank + 1, 0);
    ++chunks[rank];
  }
  const int ranks = static_cast<int>(chunks.size()), stages = static_cast<int>(rank_of_stage.size());
  MR_RETURN_IF_ERROR(CheckTimes(request, ranks, stages, "forward", request.forward));
  MR_RETURN_IF_ERROR(CheckTimes(request, ranks, stages, "backward_input", request.backward_input));
  MR_RETURN_IF_ERROR(CheckTimes(request, ranks, stages, "backward_weight", request.backward_weight));
  MR_RETURN_IF_ERROR(CheckTimes(request, ranks, stages, "communication", request.communication));
  ScheduleCosts costs;
  costs.forward = PerStage(request.forward, rank_of_stage, chunks);
  costs.backward_input = PerStage(request.backward_input, rank_of_stage, chunks);
  costs.backward_weight = PerStage(request.backward_weight, rank_of_stage, chunks);
  costs.communication = TransferPerStage(request.communication, rank_of_stage);
  for (int rank : rank_of_stage) {
    costs.stash.push_back(1.0 / chunks[rank]);
    costs.weight_stash.push_back(request.weight_stash / chunks[rank]);
  }
  return costs;
}

absl::StatusOr<ScheduleCosts> CostsOfRequest(const ScheduleRequest& request) {
  MR_ASSIGN_OR_RETURN(const int chunks, ChunksOf(request));
  const bool v = Find(request.kind)->shape == Kind::kV;
  return CostsOfStages(request, v ? VPlacement(request.ranks) : RoundRobinPlacement(request.ranks, chunks));
}

absl::StatusOr<Schedule> MakeSchedule(const ScheduleRequest& request) {
  if (!std::isfinite(request.weight_stash) || request.weight_stash < 0) {
    return Bad(request, absl::StrCat("a share of ", request.weight_stash, " that stays from B to W"));
  }
  MR_ASSIGN_OR_RETURN(const ScheduleCosts costs, CostsOfRequest(request));
  if (!std::isfinite(request.memory_limit) || request.memory_limit < 0) {
    return Bad(request, absl::StrCat("a memory limit of ", request.memory_limit,
                                     "; give the micro-batches that a rank may hold, or 0 for no limit"));
  }
  if (request.memory_limit > 0 && request.kind != "zb-auto") {
    return Bad(request, "keeps no memory limit; \"zb-auto\" does");
  }
  const Kind* kind = Find(request.kind);
  MR_ASSIGN_OR_RETURN(Schedule best, kind->make(request, costs));
  if (!PlacesByCosts(request.kind)) return best;
  // Heuristics: what they make of the average can be better.
  std::optional<double> best_span;
  MR_RETURN_IF_ERROR(ForAverages(request, *kind, [&](Schedule schedule) {
    if (!best_span.has_value()) best_span = LongestSpan(best, costs);
    const std::optional<double> span = LongestSpan(schedule, costs);
    if (!span.has_value() || *span >= *best_span) return;
    best_span = span;
    best = std::move(schedule);
  }));
  return best;
}

}  // namespace millrace
