#include "runtime/plan/durations.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <utility>

#include "proto/status_macros.h"
#include "runtime/plan/broken.h"

namespace millrace {
namespace {

using proto::Instruction;

bool Good(double x) { return std::isfinite(x) && x >= 0; }

class Planned {
 public:
  Planned(const proto::ExecutionPlan& plan, const proto::Program& program, const Wiring& wiring)
      : plan_(plan), program_(program), wiring_(wiring) {}

  absl::StatusOr<Durations> Make() {
    for (int rank = 0; rank < program_.ranks_size(); ++rank) MR_RETURN_IF_ERROR(AddRank(rank));
    AddGroups();
    MR_RETURN_IF_ERROR(AddMeetings());
    return std::move(out_);
  }

 private:
  absl::Status AddRank(int rank) {
    std::vector<double>& alone = out_.instructions.emplace_back();
    std::vector<double>& shared = out_.shared.emplace_back();
    for (const Instruction& instruction : program_.ranks(rank).instructions()) {
      const double seconds = instruction.seconds();
      alone.push_back(seconds);
      shared.push_back(seconds);
      bool good = Good(seconds);
      for (const Instruction& member : instruction.group()) good = good && Good(member.seconds());
      if (instruction.kind() == Instruction::RUN) {
        const int p = wiring_.phases[instruction.stage()][instruction.phase()];
        const proto::PhaseProgram& phase = program_.stages(static_cast<int>(instruction.stage())).phases(p);
        good = good && Good(phase.seconds_shared()) && Good(phase.seconds());
        // The instruction's own seconds count; the phase says how much slower it is in company.
        if (phase.seconds_shared() > 0 && phase.seconds() > 0) {
          shared.back() = seconds * (phase.seconds_shared() / phase.seconds());
        }
      }
      if (!good || !Good(shared.back())) {
        return Broken("figures", {&program_, rank, static_cast<int>(alone.size()) - 1},
                      "its duration is negative or no number");
      }
    }
    return absl::OkStatus();
  }

  void AddGroups() {
    std::map<std::string, int> index;
    std::vector<int64_t> threads;  // by group
    for (int rank = 0; rank < program_.ranks_size(); ++rank) {
      const int mine = static_cast<int>(
          std::clamp<uint32_t>(rank < plan_.ranks_size() ? plan_.ranks(rank).threads() : 1, 1, kMostThreads));
      out_.threads.push_back(mine);
      out_.group_of_rank.push_back(-1);
      if (rank >= plan_.ranks_size() || plan_.ranks(rank).shares().empty()) continue;
      const auto [found, is_new] = index.emplace(plan_.ranks(rank).shares(), static_cast<int>(out_.groups.size()));
      if (is_new) {
        out_.groups.push_back(
            {static_cast<int>(std::min<uint32_t>(plan_.ranks(rank).shared_cores(), kMostThreads)), 0});
        threads.push_back(0);
      }
      out_.group_of_rank.back() = found->second;
      threads[found->second] += mine;
    }
    for (size_t g = 0; g < out_.groups.size(); ++g) {
      CoreGroup& group = out_.groups[g];
      const int all = static_cast<int>(std::min<int64_t>(threads[g], 1 << 30));
      if (group.cores == 0) group.cores = all;
      group.most_busy = std::min(group.cores, all);
    }
    LeaveCoresToReplicas();
  }

  // Replicas do the same at the same time: where they sit on the same cores, each pipeline has its share of them, and
  // what is less than a core makes everything take longer.
  void LeaveCoresToReplicas() {
    const int pipeline = static_cast<int>(out_.group_of_rank.size());
    std::vector<int> replicas(out_.groups.size(), 1);
    for (int rank = pipeline; pipeline > 0 && rank < plan_.ranks_size(); rank += pipeline) {
      // A replica's first rank of the group stands for all of it.
      std::vector<bool> counted(out_.groups.size(), false);
      for (int place = 0; place < pipeline && rank + place < plan_.ranks_size(); ++place) {
        const int group = out_.group_of_rank[place];
        if (group < 0 || counted[group] || plan_.ranks(rank + place).shares() != plan_.ranks(place).shares()) continue;
        counted[group] = true;
        ++replicas[group];
      }
    }
    std::vector<double> slower(out_.groups.size(), 1);
    for (size_t g = 0; g < out_.groups.size(); ++g) {
      CoreGroup& group = out_.groups[g];
      const int share = std::max(1, group.cores / replicas[g]);
      slower[g] = static_cast<double>(share) * replicas[g] / group.cores;
      group.cores = share;
      group.most_busy = std::min(group.most_busy, share);
    }
    for (int rank = 0; rank < pipeline; ++rank) {
      const int group = out_.group_of_rank[rank];
      if (group < 0 || slower[group] <= 1) continue;
      for (double& seconds : out_.instructions[rank]) seconds *= slower[group];
      for (double& seconds : out_.shared[rank]) seconds *= slower[group];
    }
  }

  absl::Status AddMeetings() {
    std::map<std::pair<uint32_t, uint32_t>, const proto::PlannedLink*> links;
    std::map<std::string, int> wires;
    for (const proto::PlannedLink& link : plan_.links()) {
      if (!Good(link.latency_seconds()) || !Good(link.bytes_per_second())) {
        return Broken("figures", {}, "a link's latency or bandwidth is negative or no number");
      }
      links.emplace(std::pair(link.from_rank(), link.to_rank()), &link);
      if (!link.wire().empty()) wires.emplace(link.wire(), static_cast<int>(wires.size()));
    }
    out_.wires = static_cast<int>(wires.size());
    for (const Meeting& meeting : wiring_.meetings) {
      out_.meetings.push_back(wiring_.SecondsOf(program_, meeting));
      out_.latencies.push_back(0);
      out_.wire_of_meeting.push_back(-1);
      const Instruction& first = InstructionOf(program_, meeting.parties[0]);
      if (first.kind() != Instruction::SEND || meeting.parties.size() != 2) continue;
      const auto found = links.find({meeting.parties[0].rank, meeting.parties[1].rank});
      if (found == links.end() || !(found->second->bytes_per_second() > 0)) continue;
      const proto::PlannedLink& link = *found->second;
      const double transmission =
          static_cast<double>(program_.edges(static_cast<int>(first.edge())).bytes()) / link.bytes_per_second();
      out_.latencies.back() = link.latency_seconds();
      out_.meetings.back() = link.latency_seconds() + transmission;
      if (!Good(out_.meetings.back())) return Broken("figures", {}, "a link's transfer takes no number of seconds");
      if (!link.wire().empty()) out_.wire_of_meeting.back() = wires.at(link.wire());
    }
    return absl::OkStatus();
  }

  static constexpr uint32_t kMostThreads = 1 << 16;

  const proto::ExecutionPlan& plan_;
  const proto::Program& program_;
  const Wiring& wiring_;
  Durations out_;
};

}  // namespace

absl::StatusOr<Durations> PlannedDurations(const proto::ExecutionPlan& plan, const proto::Program& program,
                                           const Wiring& wiring) {
  return Planned(plan, program, wiring).Make();
}

}  // namespace millrace
