#include "runtime/plan/verify/rendezvous.h"

#include <algorithm>
#include <deque>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "runtime/plan/broken.h"
#include "runtime/plan/plan.h"

namespace millrace {
namespace {

constexpr int kRanksShown = 16;
constexpr int kLinesAround = 2;

class Queues {
 public:
  Queues(const proto::Program& program, const Wiring& wiring)
      : program_(program),
        wiring_(wiring),
        at_(program.ranks_size(), -1),
        open_(program.ranks_size(), 0),
        arrived_(wiring.meetings.size(), 0) {}

  bool Finish() {
    std::deque<int> ready;
    for (int rank = 0; rank < program_.ranks_size(); ++rank) ready.push_back(rank);
    while (!ready.empty()) {
      const int rank = ready.front();
      ready.pop_front();
      Advance(rank, &ready);
    }
    for (int rank = 0; rank < program_.ranks_size(); ++rank) {
      if (Stuck(rank)) return false;
    }
    return true;
  }

  std::string Picture() const {
    std::string text;
    int shown = 0, stuck = 0;
    for (int rank = 0; rank < program_.ranks_size(); ++rank) {
      if (!Stuck(rank)) continue;
      ++stuck;
      if (++shown <= kRanksShown) DrawRank(rank, &text);
    }
    if (stuck > shown || stuck > kRanksShown)
      absl::StrAppend(&text, "  ... and ", stuck - kRanksShown, " more stuck ranks\n");
    return text;
  }

  // Follows "waits for" from rank to rank until one comes back, or has ended its list.
  std::string Cycle(int* first) const {
    std::vector<int> path;
    std::vector<int> seen(program_.ranks_size(), -1);
    int rank = 0;
    while (!Stuck(rank)) ++rank;
    while (Stuck(rank) && seen[rank] < 0) {
      seen[rank] = static_cast<int>(path.size());
      path.push_back(rank);
      rank = WaitsFor(rank);
    }
    const size_t begin = Stuck(rank) ? seen[rank] : 0;
    *first = path[begin];
    std::string text;
    for (size_t i = begin; i < path.size(); ++i) {
      absl::StrAppend(&text, i == begin ? absl::StrCat("rank ", path[i]) : absl::StrCat("rank ", path[i], ", which"),
                      " waits at ", InstructionText(path[i]), " for ");
    }
    if (Stuck(rank)) return absl::StrCat(text, "rank ", rank, path.size() - begin > 1 ? " again" : "");
    return absl::StrCat(text, "rank ", rank, ", which has ended its list");
  }

  int Instruction(int rank) const { return at_[rank]; }

 private:
  bool Stuck(int rank) const { return at_[rank] < program_.ranks(rank).instructions_size(); }

  // Goes on until an instruction must wait. Ranks whose wait ends by this rank's arrival become ready.
  void Advance(int rank, std::deque<int>* ready) {
    while (open_[rank] == 0) {
      ++at_[rank];
      if (!Stuck(rank)) return;
      const absl::Span<const int> meetings = wiring_.MeetingsOf(rank, at_[rank]);
      open_[rank] = static_cast<int>(meetings.size());
      for (int m : meetings) {
        const Meeting& meeting = wiring_.meetings[m];
        if (++arrived_[m] < static_cast<int>(meeting.parties.size())) continue;
        for (const Party& party : meeting.parties) {
          if (--open_[party.rank] == 0 && party.rank != rank) ready->push_back(party.rank);
        }
      }
    }
  }

  int WaitsFor(int rank) const {
    for (int m : wiring_.MeetingsOf(rank, at_[rank])) {
      const Meeting& meeting = wiring_.meetings[m];
      if (arrived_[m] == static_cast<int>(meeting.parties.size())) continue;
      for (const Party& party : meeting.parties) {
        if (at_[party.rank] < party.instruction) return party.rank;
      }
    }
    return rank;
  }

  std::string InstructionText(int rank) const {
    return absl::StrCat("instruction ", at_[rank], " (",
                        Describe(program_, program_.ranks(rank).instructions(at_[rank])), ")");
  }

  void DrawRank(int rank, std::string* text) const {
    absl::StrAppend(text, "  rank ", rank, "\n");
    const int last = std::min(at_[rank] + kLinesAround, program_.ranks(rank).instructions_size() - 1);
    for (int i = std::max(0, at_[rank] - kLinesAround); i <= last; ++i) {
      absl::StrAppend(text, i == at_[rank] ? "  --> " : "      ", absl::Dec(i, absl::kSpacePad6), "  ",
                      Describe(program_, program_.ranks(rank).instructions(i)), "\n");
    }
  }

  const proto::Program& program_;
  const Wiring& wiring_;
  std::vector<int> at_;    // where each rank stands
  std::vector<int> open_;  // meetings that it waits for there
  std::vector<int> arrived_;
};

}  // namespace

absl::Status CheckRendezvous(const proto::Program& program, const Wiring& wiring) {
  Queues queues(program, wiring);
  if (queues.Finish()) return absl::OkStatus();
  int rank = 0;
  const std::string cycle = queues.Cycle(&rank);
  return Broken("rendezvous", {&program, rank, queues.Instruction(rank)},
                absl::StrCat("deadlock: ", cycle, ".\n", queues.Picture()));
}

}  // namespace millrace
