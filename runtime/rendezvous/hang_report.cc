#include "runtime/rendezvous/hang_report.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "runtime/rendezvous/position.h"

namespace millrace {
namespace {

using State = Standing::State;

std::string Seconds(absl::Duration duration) { return absl::StrFormat("%.1f s", absl::ToDoubleSeconds(duration)); }

// "edge relu5 of micro-batch 7", "RECV of micro-batch 7", "edge relu5".
std::string Object(const proto::Position& position) {
  std::string text = position.edge().empty() ? absl::CHexEscape(position.action())
                                             : absl::StrCat("edge ", absl::CHexEscape(position.edge()));
  if (position.micro_batch() >= 0) absl::StrAppend(&text, " of micro-batch ", position.micro_batch());
  return text;
}

// "instruction 41, RECV edge relu5 of micro-batch 7".
std::string Place(const proto::Position& position) {
  if (position.instruction() < 0 && !position.action().empty()) return absl::CHexEscape(position.action());
  if (position.instruction() < 0) return "the start of its list";
  std::string text = absl::StrCat("instruction ", position.instruction());
  if (!position.action().empty()) absl::StrAppend(&text, ", ", absl::CHexEscape(position.action()));
  if (!position.edge().empty()) absl::StrAppend(&text, " edge ", absl::CHexEscape(position.edge()));
  if (position.micro_batch() >= 0) absl::StrAppend(&text, " of micro-batch ", position.micro_batch());
  return text;
}

class Ranks {
 public:
  Ranks(const std::vector<Standing>& ranks, const HangReportOptions& options) : ranks_(ranks), options_(options) {}

  bool Silent(int rank) const {
    return ranks_[rank].state == State::kThere && ranks_[rank].silence > options_.silent_after;
  }
  // It has said that it waits until all ranks have come.
  bool Meets(int rank) const {
    const Standing& standing = ranks_[rank];
    return standing.state == State::kThere && standing.noted && !Silent(rank) &&
           standing.position.peer() == kEveryone;
  }
  // The rank that `rank` waits for, -1 for none. Of a meeting it is one that has not come, best one that is at no other.
  int PeerOf(int rank) const {
    const Standing& standing = ranks_[rank];
    if (Meets(rank)) return MissingAt(rank);
    if (standing.state != State::kThere || !standing.noted || Silent(rank)) return -1;
    const int peer = standing.position.peer();
    return peer >= 0 && peer < static_cast<int>(ranks_.size()) && peer != rank ? peer : -1;
  }
  // Each stands at its half of the same transfer, and still nothing comes through.
  bool BothAtTheirHalves(int rank) const {
    const int peer = PeerOf(rank);
    if (peer < 0 || Meets(rank) || Meets(peer) || PeerOf(peer) != rank) return false;
    const Standing &here = ranks_[rank], &there = ranks_[peer];
    return here.position.peer_instruction() == there.position.instruction() &&
           there.position.peer_instruction() == here.position.instruction() && here.since >= options_.settled_after &&
           there.since >= options_.settled_after;
  }
  // The peer is past its half of what `rank` waits for.
  bool PeerHasPassed(int rank) const {
    const Standing& peer = ranks_[PeerOf(rank)];
    const int64_t half = ranks_[rank].position.peer_instruction();
    return half >= 0 && ranks_[rank].since >= options_.settled_after && peer.noted && peer.state == State::kThere &&
           peer.position.instruction() > half;
  }
  // What keeps a rank that waits for nobody: "has not been heard for 3.0 s".
  std::string Trouble(int rank) const {
    const Standing& standing = ranks_[rank];
    if (standing.state == State::kAbsent) return "has not joined";
    if (standing.state == State::kLeft) return "has left the job";
    if (standing.state == State::kGone) return "is gone";
    if (Silent(rank)) {
      return absl::StrCat("has not been heard for ", Seconds(standing.silence),
                          standing.noted ? absl::StrCat(", last seen at ", Place(standing.position)) : "");
    }
    if (!standing.noted) return "has not begun its instructions";
    return absl::StrCat("stands at ", Place(standing.position), " for ", Seconds(standing.since),
                        " and waits for nobody");
  }
  std::string Wait(int rank) const {
    const proto::Position& position = ranks_[rank].position;
    // A collective has no edge: what is waited for is the other rank.
    if (position.edge().empty() && position.micro_batch() < 0) {
      return absl::StrCat("rank ", rank, " waits at ", Place(position), " for rank ", PeerOf(rank));
    }
    return absl::StrCat("rank ", rank, " waits for ", Object(position), " from rank ", PeerOf(rank));
  }

 private:
  int MissingAt(int rank) const {
    int missing = -1;
    for (int other = 0; other < static_cast<int>(ranks_.size()); ++other) {
      const bool came = Meets(other) && ranks_[other].position.action() == ranks_[rank].position.action();
      if (other == rank || came || ranks_[other].state == State::kLeft) continue;
      if (missing < 0 || Meets(missing)) missing = other;
    }
    return missing;
  }

  const std::vector<Standing>& ranks_;
  const HangReportOptions& options_;
};

std::string BothHalves(const Ranks& ranks, const std::vector<Standing>& all, int rank) {
  const int peer = ranks.PeerOf(rank);
  return absl::StrCat(ranks.Wait(rank), ", which stands at the other half, ", Place(all[peer].position), " for ",
                      Seconds(all[peer].since), ", so the message between rank ", rank, " and rank ", peer,
                      " was lost");
}

// Follows the waits from `first` to a rank that waits for nobody. Without text when they run in a circle.
HangCause ChainCause(const Ranks& ranks, int size, int first) {
  int waiter = first;
  for (int steps = 0; steps < size; ++steps) {
    const int peer = ranks.PeerOf(waiter);
    if (ranks.PeerOf(peer) < 0) {
      return {peer, absl::StrCat(ranks.Wait(waiter), ", which ", ranks.Trouble(peer), ", so rank ", peer,
                                 " keeps the others waiting")};
    }
    waiter = peer;
  }
  return {};
}

std::string Line(const Ranks& ranks, const Standing& standing, int rank) {
  const int peer = ranks.PeerOf(rank);
  if (ranks.Meets(rank)) {
    return absl::StrCat("  rank ", rank, " stands at ", Place(standing.position), " for ", Seconds(standing.since),
                        ", waiting for all ranks");
  }
  if (peer < 0) return absl::StrCat("  rank ", rank, " ", ranks.Trouble(rank));
  std::string line = absl::StrCat("  rank ", rank, " stands at ", Place(standing.position), " for ",
                                  Seconds(standing.since), ", waiting for rank ", peer);
  if (standing.position.peer_instruction() >= 0) {
    absl::StrAppend(&line, " at its instruction ", standing.position.peer_instruction());
  }
  return line;
}

}  // namespace

HangCause FindHangCause(const std::vector<Standing>& all, const HangReportOptions& options) {
  const Ranks ranks(all, options);
  const int size = static_cast<int>(all.size());
  int waiting = -1;
  for (int rank = 0; rank < size; ++rank) {
    if (ranks.PeerOf(rank) < 0) continue;
    if (ranks.BothAtTheirHalves(rank)) return {-1, BothHalves(ranks, all, rank)};
    if (ranks.PeerHasPassed(rank)) {
      const int peer = ranks.PeerOf(rank);
      return {-1, absl::StrCat(ranks.Wait(rank), ", which has passed its half (instruction ",
                               all[rank].position.peer_instruction(), ") and stands at ", Place(all[peer].position),
                               ", so the message was lost between rank ", peer, " and rank ", rank)};
    }
    // The one that has stood longest is nearest to the cause.
    if (waiting < 0 || all[rank].since > all[waiting].since) waiting = rank;
  }
  if (waiting >= 0) {
    HangCause cause = ChainCause(ranks, size, waiting);
    if (!cause.text.empty()) return cause;
    return {-1, absl::StrCat(ranks.Wait(waiting), ", which waits for ", Object(all[ranks.PeerOf(waiting)].position),
                             " from rank ", ranks.PeerOf(ranks.PeerOf(waiting)),
                             ", and so on in a circle, so a message between them was lost or never sent")};
  }
  int slowest = -1;
  for (int rank = 0; rank < size; ++rank) {
    if (ranks.Meets(rank)) {
      return {-1, absl::StrCat("all ranks have come to ", Place(all[rank].position), ", and rank ", rank,
                               " still waits there, so a message between them was lost")};
    }
    if (ranks.Silent(rank) || all[rank].state == State::kAbsent || all[rank].state == State::kGone) {
      return {rank, absl::StrCat("rank ", rank, " ", ranks.Trouble(rank), ", and no other says that it waits")};
    }
    if (all[rank].state == State::kThere && (slowest < 0 || all[rank].since > all[slowest].since)) slowest = rank;
  }
  if (slowest < 0) return {-1, "all ranks have left"};
  return {-1,
          absl::StrCat("no rank waits for another; rank ", slowest, " has stood longest: it ", ranks.Trouble(slowest))};
}

std::string HangReport(const std::vector<Standing>& all, const HangReportOptions& options) {
  const Ranks ranks(all, options);
  std::vector<int> order(all.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int>(i);
  if (order.size() > options.most_lines) {
    std::stable_partition(order.begin(), order.end(),
                          [&](int rank) { return ranks.PeerOf(rank) >= 0 || ranks.Silent(rank); });
    order.resize(options.most_lines);
    std::sort(order.begin(), order.end());
  }
  std::string text = FindHangCause(all, options).text;
  for (const int rank : order) absl::StrAppend(&text, "\n", Line(ranks, all[rank], rank));
  if (order.size() < all.size()) absl::StrAppend(&text, "\n  and ", all.size() - order.size(), " more ranks");
  return text;
}

}  // namespace millrace
