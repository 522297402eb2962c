#include "runtime/plan/play.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/plan/broken.h"

namespace millrace {
namespace {

constexpr int kStuckShown = 16;

// Every instruction starts when the last of what it waits for has ended, so times follow from one walk in order of
// dependence; no queue of events is needed.
class Player {
 public:
  Player(const proto::Program& program, const Wiring& wiring, const Durations& durations)
      : program_(program), wiring_(wiring), durations_(durations), meetings_(wiring.meetings.size()) {
    for (size_t m = 0; m < meetings_.size(); ++m)
      meetings_[m].missing = static_cast<int>(wiring.meetings[m].parties.size());
    ranks_.resize(program.ranks_size());
    for (int rank = 0; rank < program.ranks_size(); ++rank) Prepare(rank);
  }

  absl::StatusOr<std::vector<std::vector<PlayedSpan>>> Play() {
    for (int rank = 0; rank < program_.ranks_size(); ++rank) {
      for (int i = 0; i < program_.ranks(rank).instructions_size(); ++i) {
        if (ranks_[rank].waits[i] == 0) ready_.push_back({rank, i});
      }
    }
    while (!ready_.empty()) {
      const auto [rank, i] = ready_.back();
      ready_.pop_back();
      Post(rank, i);
    }
    for (const Rank& rank : ranks_) {
      if (rank.done < static_cast<int>(rank.spans.size())) return Deadlock();
    }
    std::vector<std::vector<PlayedSpan>> spans;
    for (Rank& rank : ranks_) spans.push_back(std::move(rank.spans));
    return spans;
  }

 private:
  struct Rank {
    std::vector<PlayedSpan> spans;  // begin: the latest end of what was waited for, until the work begins
    std::vector<int> waits;         // earlier instructions and, once posted, meetings still open
    std::vector<bool> ended;
    std::vector<int> first_follower, followers;  // who waits for instruction i
    std::vector<bool> next_on_channel;           // by follower entry: waits for its turn, not by `after`
    int done = 0;
  };
  struct Meeting {
    int missing = 0;
    double begin = 0;
  };

  void Prepare(int rank) {
    Rank& mine = ranks_[rank];
    const auto& instructions = program_.ranks(rank).instructions();
    const int n = instructions.size();
    mine.spans.resize(n);
    mine.waits.assign(n, 0);
    mine.ended.assign(n, false);
    mine.first_follower.assign(n + 1, 0);
    std::vector<std::pair<int, std::pair<int, bool>>> pairs;  // who is waited for; by whom, and is it a turn
    std::vector<int> last(wiring_.ranks[rank].channels, -1);
    for (int i = 0; i < n; ++i) {
      int& previous = last[wiring_.ranks[rank].channel[i]];
      if (previous >= 0) pairs.push_back({previous, {i, true}});
      previous = i;
      for (uint32_t earlier : instructions[i].after()) pairs.push_back({static_cast<int>(earlier), {i, false}});
    }
    std::sort(pairs.begin(), pairs.end());
    for (const auto& [earlier, follower] : pairs) {
      ++mine.first_follower[earlier + 1];
      ++mine.waits[follower.first];
      mine.followers.push_back(follower.first);
      mine.next_on_channel.push_back(follower.second);
    }
    for (int i = 0; i < n; ++i) mine.first_follower[i + 1] += mine.first_follower[i];
  }

  // All that instruction i waits for on its own rank has ended.
  void Post(int rank, int i) {
    PlayedSpan& span = ranks_[rank].spans[i];
    const absl::Span<const int> meetings = wiring_.MeetingsOf(rank, i);
    if (meetings.empty()) {
      span.end = span.begin + durations_.instructions[rank][i];
      End(rank, i);
      return;
    }
    ranks_[rank].waits[i] = static_cast<int>(meetings.size());
    const double posted = span.begin;  // the span's begin moves on when a meeting of a GROUP takes place
    for (int m : meetings) {
      meetings_[m].begin = std::max(meetings_[m].begin, posted);
      if (--meetings_[m].missing == 0) Meet(m);
    }
  }

  void Meet(int m) {
    const double end = meetings_[m].begin + durations_.meetings[m];
    for (const Party& party : wiring_.meetings[m].parties) {
      PlayedSpan& span = ranks_[party.rank].spans[party.instruction];
      // Of a GROUP the work begins with the first meeting that does.
      span.begin = span.end == 0 && !Begun(party) ? meetings_[m].begin : std::min(span.begin, meetings_[m].begin);
      span.end = std::max(span.end, end);
      ranks_[party.rank].ended[party.instruction] = true;
      if (--ranks_[party.rank].waits[party.instruction] == 0) End(party.rank, party.instruction);
    }
  }

  bool Begun(const Party& party) const { return ranks_[party.rank].ended[party.instruction]; }

  void End(int rank, int i) {
    Rank& mine = ranks_[rank];
    ++mine.done;
    mine.ended[i] = true;
    const double end = mine.spans[i].end;
    for (int f = mine.first_follower[i]; f < mine.first_follower[i + 1]; ++f) {
      PlayedSpan& follower = mine.spans[mine.followers[f]];
      if (mine.next_on_channel[f]) follower.turn = end;
      follower.begin = std::max(follower.begin, end);
      if (--mine.waits[mine.followers[f]] == 0) ready_.push_back({rank, mine.followers[f]});
    }
  }

  absl::Status Deadlock() const {
    std::string text = absl::StrCat("program ", Quoted(program_.name()), " deadlocks:");
    int shown = 0;
    for (int rank = 0; rank < program_.ranks_size(); ++rank) {
      const Rank& mine = ranks_[rank];
      if (mine.done == static_cast<int>(mine.spans.size())) continue;
      if (++shown > kStuckShown) break;
      int i = 0;
      while (mine.ended[i] && mine.waits[i] == 0) ++i;
      absl::StrAppend(&text, "\n  stuck: ", Place({&program_, rank, i}));
    }
    return absl::FailedPreconditionError(text);
  }

  const proto::Program& program_;
  const Wiring& wiring_;
  const Durations& durations_;
  std::vector<Meeting> meetings_;
  std::vector<Rank> ranks_;
  std::vector<std::pair<int, int>> ready_;
};

}  // namespace

absl::StatusOr<Durations> PlannedDurations(const proto::Program& program, const Wiring& wiring) {
  Durations durations;
  for (int rank = 0; rank < program.ranks_size(); ++rank) {
    std::vector<double>& mine = durations.instructions.emplace_back();
    for (const proto::Instruction& instruction : program.ranks(rank).instructions()) {
      mine.push_back(instruction.seconds());
      bool good = std::isfinite(instruction.seconds()) && instruction.seconds() >= 0;
      for (const proto::Instruction& member : instruction.group()) {
        good = good && std::isfinite(member.seconds()) && member.seconds() >= 0;
      }
      if (!good) {
        return Broken("extent", {&program, rank, static_cast<int>(mine.size()) - 1},
                      "its duration is negative or no number");
      }
    }
  }
  for (const Meeting& meeting : wiring.meetings) durations.meetings.push_back(wiring.SecondsOf(program, meeting));
  return durations;
}

absl::StatusOr<std::vector<std::vector<PlayedSpan>>> Play(const proto::Program& program, const Wiring& wiring,
                                                          const Durations& durations) {
  return Player(program, wiring, durations).Play();
}

}  // namespace millrace
