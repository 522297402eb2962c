#include "partitioner/schedule/check_schedule.h"

#include <array>
#include <vector>

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"

namespace millrace {
namespace {

// Per stage and micro-batch: where in its rank's list each phase stands, -1: nowhere.
using Positions = std::vector<std::vector<std::array<int, 6>>>;

absl::Status Bad(const Action& action, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("schedule: ", action.ToString(), " ", what));
}

absl::Status CheckSizes(const Schedule& schedule) {
  if (schedule.stages < 1 || schedule.micro_batches < 1 || schedule.ranks.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("schedule: ", schedule.stages, " stages, ", schedule.micro_batches,
                                                   " micro-batches on ", schedule.ranks.size(),
                                                   " ranks; each must be at least 1"));
  }
  if (static_cast<int>(schedule.rank_of_stage.size()) != schedule.stages) {
    return absl::InvalidArgumentError(
        absl::StrCat("schedule: ", schedule.rank_of_stage.size(), " stages are placed, ", schedule.stages, " must be"));
  }
  for (int s = 0; s < schedule.stages; ++s) {
    const int rank = schedule.rank_of_stage[s];
    if (rank >= 0 && rank < static_cast<int>(schedule.ranks.size())) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("schedule: stage ", s, " is on rank ", rank, "; there are ", schedule.ranks.size()));
  }
  return absl::OkStatus();
}

absl::Status Locate(const Schedule& schedule, Positions* at) {
  std::vector<std::array<int, 6>> last(schedule.stages);  // micro-batch of the last action of each phase
  for (auto& phases : last) phases.fill(-1);
  for (int r = 0; r < static_cast<int>(schedule.ranks.size()); ++r) {
    for (int i = 0; i < static_cast<int>(schedule.ranks[r].size()); ++i) {
      const Action& action = schedule.ranks[r][i];
      if (action.stage < 0 || action.stage >= schedule.stages || action.micro_batch < 0 ||
          action.micro_batch >= schedule.micro_batches) {
        return Bad(action, absl::StrCat("on rank ", r, " is outside the ", schedule.stages, " stages and ",
                                        schedule.micro_batches, " micro-batches"));
      }
      if (schedule.rank_of_stage[action.stage] != r) {
        return Bad(action,
                   absl::StrCat("stands on rank ", r, "; its stage is on rank ", schedule.rank_of_stage[action.stage]));
      }
      if (action.phase < proto::F || action.phase > proto::R) {
        return Bad(action, "is of a phase that cannot be lowered; there are F, R, B, W and BW");
      }
      int& position = (*at)[action.stage][action.micro_batch][action.phase];
      if (position >= 0) return Bad(action, "stands there twice");
      position = i;
      // BW adds what B and what W add.
      for (proto::Phase phase : {proto::B, proto::W}) {
        if (action.phase != phase && action.phase != proto::BW) continue;
        int& before = last[action.stage][phase];
        if (action.micro_batch < before) {
          return Bad(action, absl::StrCat("comes after micro-batch ", before,
                                          "; gradients of a stage are added in micro-batch order"));
        }
        before = action.micro_batch;
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckTrainSchedule(const Schedule& schedule) {
  MR_RETURN_IF_ERROR(CheckSizes(schedule));
  Positions at(schedule.stages, std::vector<std::array<int, 6>>(schedule.micro_batches));
  for (auto& stage : at) {
    for (auto& phases : stage) phases.fill(-1);
  }
  MR_RETURN_IF_ERROR(Locate(schedule, &at));
  for (int s = 0; s < schedule.stages; ++s) {
    for (int m = 0; m < schedule.micro_batches; ++m) {
      const auto& p = at[s][m];
      if (p[proto::F] < 0) return Bad({s, proto::F, m}, "is missing");
      const bool joint = p[proto::BW] >= 0;
      if (joint && (p[proto::B] >= 0 || p[proto::W] >= 0)) {
        return Bad({s, proto::BW, m}, "stands beside B or W of the same micro-batch");
      }
      if (!joint && p[proto::B] < 0) return Bad({s, proto::B, m}, "is missing, and so is BW");
      if (!joint && p[proto::W] < 0) return Bad({s, proto::W, m}, "is missing");
      const int backward = joint ? p[proto::BW] : p[proto::B];
      if ((p[proto::R] >= 0) != (at[s][0][proto::R] >= 0)) {
        return Bad({s, proto::R, p[proto::R] >= 0 ? 0 : m},
                   "is missing; a stage is recomputed for all micro-batches or none");
      }
      if (p[proto::R] >= 0 && p[proto::R] < p[proto::F]) return Bad({s, proto::R, m}, "stands before its F");
      if (p[proto::R] > backward) return Bad({s, proto::R, m}, "stands after its backward pass");
      if (backward < p[proto::F]) return Bad({s, joint ? proto::BW : proto::B, m}, "stands before its F");
      if (!joint && p[proto::W] < backward) return Bad({s, proto::W, m}, "stands before its B");
    }
  }
  return absl::OkStatus();
}

}  // namespace millrace
