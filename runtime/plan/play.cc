#include "runtime/plan/play.h"

#include <algorithm>
#include <limits>
#include <map>
#include <queue>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/plan/broken.h"
#include "runtime/plan/fluid.h"

namespace millrace {
namespace {

constexpr int kStuckShown = 16;

// Events in order of time; of one time, in the order in which they were made.
class Player {
 public:
  Player(const proto::Program& program, const Wiring& wiring, const Durations& durations)
      : program_(program), wiring_(wiring), durations_(durations), missing_(wiring.meetings.size()) {
    for (size_t m = 0; m < missing_.size(); ++m) missing_[m] = static_cast<int>(wiring.meetings[m].parties.size());
    ranks_.resize(program.ranks_size());
    for (int rank = 0; rank < program.ranks_size(); ++rank) Prepare(rank);
    for (const CoreGroup& group : durations.groups) fluids_.emplace_back(group.cores, group.most_busy);
    for (int wire = 0; wire < durations.wires; ++wire) fluids_.emplace_back(1, 1);
    version_.assign(fluids_.size(), 0);
  }

  absl::StatusOr<std::vector<std::vector<PlayedSpan>>> Play() {
    for (int rank = 0; rank < program_.ranks_size(); ++rank) {
      for (int i = 0; i < program_.ranks(rank).instructions_size(); ++i) {
        if (ranks_[rank].waits[i] == 0) ready_.push_back({rank, i});
      }
    }
    PostReady();
    while (!events_.empty()) {
      const Event event = events_.top();
      events_.pop();
      if (event.kind == Event::kFluid && event.version != version_[event.id]) continue;
      now_ = event.at;
      Happen(event);
      PostReady();
    }
    for (const Rank& rank : ranks_) {
      if (rank.done < static_cast<int>(rank.spans.size())) return Deadlock();
    }
    std::vector<std::vector<PlayedSpan>> spans;
    for (Rank& rank : ranks_) spans.push_back(std::move(rank.spans));
    return spans;
  }

 private:
  // Where inside a RUN another instruction may begin.
  struct Point {
    double fraction = 0;  // of the RUN's duration
    int instruction = 0;
  };
  struct Rank {
    std::vector<PlayedSpan> spans;
    std::vector<int> waits;  // earlier instructions and, once posted, meetings still open
    std::vector<bool> begun, ended;
    std::vector<int> first_follower, followers;  // who waits for instruction i
    std::vector<bool> next_on_channel;           // by follower entry: waits for its turn, not by `after`
    std::map<int, std::vector<Point>> points;    // by RUN, ascending
    std::map<int, size_t> passed;                // how many of them
    int done = 0;
  };
  struct Event {
    enum Kind { kEnd, kMet, kOnWire, kFluid };
    double at = 0;
    uint64_t order = 0;
    Kind kind = kEnd;
    int id = 0;  // kEnd: rank; kMet, kOnWire: meeting; kFluid: index into fluids_
    int instruction = 0;
    uint64_t version = 0;
    friend bool operator<(const Event& a, const Event& b) { return std::tie(a.at, a.order) > std::tie(b.at, b.order); }
  };

  void Prepare(int rank) {
    Rank& mine = ranks_[rank];
    const auto& instructions = program_.ranks(rank).instructions();
    const int n = instructions.size();
    mine.spans.resize(n);
    mine.waits.assign(n, 0);
    mine.begun.assign(n, false);
    mine.ended.assign(n, false);
    mine.first_follower.assign(n + 1, 0);
    std::vector<std::pair<int, std::pair<int, bool>>> pairs;  // who is waited for; by whom, and is it a turn
    std::vector<int> last(wiring_.ranks[rank].channels, -1);
    for (int i = 0; i < n; ++i) {
      int& previous = last[wiring_.ranks[rank].channel[i]];
      if (previous >= 0) pairs.push_back({previous, {i, true}});
      previous = i;
      if (instructions[i].has_begins()) AddPoint(rank, i);
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
    for (auto& [run, points] : mine.points) {
      std::stable_sort(points.begin(), points.end(),
                       [](const Point& a, const Point& b) { return a.fraction < b.fraction; });
    }
  }

  void AddPoint(int rank, int i) {
    const proto::CallPoint& point = program_.ranks(rank).instructions(i).begins();
    const proto::Instruction& run = program_.ranks(rank).instructions(static_cast<int>(point.instruction()));
    const int phase = wiring_.phases[run.stage()][run.phase()];
    const auto& calls = program_.stages(static_cast<int>(run.stage())).phases(phase).calls();
    double before = 0, all = 0;
    for (int c = 0; c < calls.size(); ++c) {
      const double seconds = calls[c].seconds() > 0 ? calls[c].seconds() : 0;
      all += seconds;
      if (c < static_cast<int>(point.calls())) before += seconds;
    }
    ranks_[rank].points[static_cast<int>(point.instruction())].push_back(
        {all > 0 ? std::min(1.0, before / all) : 1, i});
    ++ranks_[rank].waits[i];
  }

  void Schedule(double at, Event::Kind kind, int id, int instruction = 0, uint64_t version = 0) {
    events_.push({at, ++order_, kind, id, instruction, version});
  }

  void Happen(const Event& event) {
    switch (event.kind) {
      case Event::kEnd:
        return Advance(event.id, event.instruction);
      case Event::kMet:
        return Met(event.id);
      case Event::kOnWire:
        return Join(FluidOfWire(event.id),
                    {.id = event.id, .alone = Transmission(event.id), .shared = Transmission(event.id)});
      case Event::kFluid:
        return EndJobs(event.id);
    }
  }

  void PostReady() {
    while (!ready_.empty()) {
      const auto [rank, i] = ready_.back();
      ready_.pop_back();
      Post(rank, i);
    }
  }

  // All that instruction i waits for on its own rank has ended.
  void Post(int rank, int i) {
    Rank& mine = ranks_[rank];
    const absl::Span<const int> meetings = wiring_.MeetingsOf(rank, i);
    mine.spans[i].begin = now_;
    if (meetings.empty()) return Work(rank, i);
    mine.waits[i] = static_cast<int>(meetings.size());
    for (int m : meetings) {
      if (--missing_[m] == 0) Meet(m);
    }
  }

  // The next part of an instruction that meets nobody: up to a point where another may begin, or to its end.
  void Work(int rank, int i) {
    const double part = PartOf(rank, i);
    const double seconds = durations_.instructions[rank][i] * part;
    const int group = durations_.group_of_rank.empty() ? -1 : durations_.group_of_rank[rank];
    if (seconds <= 0) return Advance(rank, i);
    if (group < 0) return Schedule(now_ + seconds, Event::kEnd, rank, i);
    const double shared = durations_.shared.empty() ? seconds : durations_.shared[rank][i] * part;
    jobs_.push_back({rank, i});
    Join(group, {.id = static_cast<int>(jobs_.size()) - 1,
                 .threads = durations_.threads[rank],
                 .alone = seconds,
                 .shared = shared > 0 ? shared : seconds});
  }

  double PartOf(int rank, int i) {
    const auto found = ranks_[rank].points.find(i);
    if (found == ranks_[rank].points.end()) return 1;
    const std::vector<Point>& points = found->second;
    const size_t passed = ranks_[rank].passed[i];
    const double begin = passed == 0 ? 0 : points[passed - 1].fraction;
    return (passed == points.size() ? 1 : points[passed].fraction) - begin;
  }

  void Advance(int rank, int i) {
    Rank& mine = ranks_[rank];
    const auto found = mine.points.find(i);
    if (found == mine.points.end() || mine.passed[i] == found->second.size()) return End(rank, i);
    const int begins = found->second[mine.passed[i]++].instruction;
    if (--mine.waits[begins] == 0) ready_.push_back({rank, begins});
    Work(rank, i);
  }

  void Meet(int m) {
    for (const Party& party : wiring_.meetings[m].parties) {
      Rank& rank = ranks_[party.rank];
      if (!rank.begun[party.instruction]) rank.spans[party.instruction].begin = now_;  // a GROUP's with its first
      rank.begun[party.instruction] = true;
    }
    const double seconds = durations_.meetings[m];
    if (seconds <= 0) return Met(m);
    if (durations_.wire_of_meeting.empty() || durations_.wire_of_meeting[m] < 0 || Transmission(m) <= 0) {
      return Schedule(now_ + seconds, Event::kMet, m);
    }
    Schedule(now_ + durations_.latencies[m], Event::kOnWire, m);
  }

  void Met(int m) {
    for (const Party& party : wiring_.meetings[m].parties) {
      if (--ranks_[party.rank].waits[party.instruction] == 0) End(party.rank, party.instruction);
    }
  }

  double Transmission(int m) const { return durations_.meetings[m] - durations_.latencies[m]; }
  int FluidOfWire(int m) const { return static_cast<int>(durations_.groups.size()) + durations_.wire_of_meeting[m]; }

  void Join(int fluid, const Fluid::Job& job) {
    fluids_[fluid].Add(now_, job);
    Schedule(fluids_[fluid].NextEnd(), Event::kFluid, fluid, 0, ++version_[fluid]);
  }

  void EndJobs(int fluid) {
    std::vector<int> ids;
    fluids_[fluid].End(now_, &ids);
    const double next = fluids_[fluid].NextEnd();
    ++version_[fluid];
    if (next < std::numeric_limits<double>::infinity()) Schedule(next, Event::kFluid, fluid, 0, version_[fluid]);
    for (int id : ids) {
      if (fluid < static_cast<int>(durations_.groups.size())) {
        Advance(jobs_[id].first, jobs_[id].second);
      } else {
        Met(id);
      }
    }
  }

  void End(int rank, int i) {
    Rank& mine = ranks_[rank];
    ++mine.done;
    mine.ended[i] = true;
    mine.spans[i].end = now_;
    for (int f = mine.first_follower[i]; f < mine.first_follower[i + 1]; ++f) {
      if (mine.next_on_channel[f]) mine.spans[mine.followers[f]].turn = now_;
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
      while (mine.ended[i]) ++i;
      absl::StrAppend(&text, "\n  stuck: ", Place({&program_, rank, i}));
    }
    return absl::FailedPreconditionError(text);
  }

  const proto::Program& program_;
  const Wiring& wiring_;
  const Durations& durations_;
  std::vector<int> missing_;  // by meeting: parties that are not there yet
  std::vector<Rank> ranks_;
  std::vector<std::pair<int, int>> ready_;
  std::vector<std::pair<int, int>> jobs_;  // (rank, instruction) by a job's id
  std::vector<Fluid> fluids_;              // of the groups, then of the wires
  std::vector<uint64_t> version_;          // by fluid: events of older ones are void
  std::priority_queue<Event> events_;
  uint64_t order_ = 0;
  double now_ = 0;
};

}  // namespace

absl::StatusOr<std::vector<std::vector<PlayedSpan>>> Play(const proto::Program& program, const Wiring& wiring,
                                                          const Durations& durations) {
  return Player(program, wiring, durations).Play();
}

}  // namespace millrace
