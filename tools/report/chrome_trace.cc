#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "runtime/plan/instruction_name.h"
#include "tools/report/columns.h"
#include "tools/report/forms.h"

namespace millrace {
namespace {

using Json = nlohmann::ordered_json;
using proto::Instruction;

// Whole nanoseconds, so that what touches in the plan touches in the file. Three years at most: a trace is a file.
int64_t Nanoseconds(double seconds) { return std::llround(std::clamp(seconds, 0.0, 1e8) * 1e9); }
double Microseconds(int64_t nanoseconds) { return static_cast<double>(nanoseconds) / 1e3; }

// One of the two traces as the processes first_pid, first_pid + 1, ... of the file.
class Writer {
 public:
  Writer(const Report& report, const proto::StepTrace& trace, const Attribution& attribution, int first_pid,
         Json* events)
      : train_(report.train()), attribution_(attribution), first_pid_(first_pid), events_(*events) {
    for (const proto::RankProgram& rank : train_.ranks()) spans_.emplace_back(rank.instructions_size(), nullptr);
    for (const proto::Span& span : trace.spans()) spans_[span.rank()][span.instruction()] = &span;
    word_ = trace.predicted() ? "predicted" : "measured";
    for (const proto::RankProgram& rank : train_.ranks()) {
      for (int i = 0; i < rank.instructions_size(); ++i) {
        if (Transfers(rank.instructions(i))) span_of_[KeyOf(rank.instructions(i))] = spans_[rank.rank()][i];
      }
    }
  }

  void Write(const Balance& balance) {
    for (const RankBalance& rank : balance.ranks) {
      const int pid = first_pid_ + rank.rank;
      Name("process_name", pid, 0, absl::StrCat("rank ", rank.rank, " (stage ", StagesText(rank.stages), "), ", word_));
      events_.push_back({{"name", "process_sort_index"}, {"ph", "M"}, {"pid", pid}, {"args", {{"sort_index", pid}}}});
      Name("thread_name", pid, 0, "compute");
      Compute(rank.rank);
      Transfers(rank.rank);
    }
    Flows();
  }

 private:
  struct Slice {
    int64_t begin = 0, end = 0;
    int tid = -1;
  };

  void Name(const char* what, int pid, int tid, const std::string& name) {
    events_.push_back({{"name", what}, {"ph", "M"}, {"pid", pid}, {"tid", tid}, {"args", {{"name", name}}}});
  }

  void Event(const std::string& name, const char* category, int rank, int tid, int64_t begin, int64_t end, Json args) {
    events_.push_back({{"name", name},
                       {"cat", category},
                       {"ph", "X"},
                       {"ts", Microseconds(begin)},
                       {"dur", Microseconds(end - begin)},
                       {"pid", first_pid_ + rank},
                       {"tid", tid},
                       {"args", std::move(args)}});
  }

  void Compute(int rank) {
    for (const Segment& segment : attribution_.ranks[rank].segments) {
      const int64_t begin = Nanoseconds(segment.begin), end = Nanoseconds(segment.end);
      if (end == begin) continue;
      const std::string name =
          segment.instruction < 0 ? "" : InstructionName(train_, train_.ranks(rank).instructions(segment.instruction));
      if (segment.works) {
        Event(name, std::string(WorkName(segment.work)).c_str(), rank, 0, begin, end,
              {{"instruction", segment.instruction}, {"stage", segment.stage}});
        continue;
      }
      Json args = {{"cause", std::string(WaitName(segment.wait))}};
      if (!name.empty()) args["waits"] = name;
      if (segment.peer >= 0) args["for_rank"] = segment.peer;
      Event(absl::StrCat("wait: ", WaitName(segment.wait)), "wait", rank, 0, begin, end, std::move(args));
    }
  }

  static bool Transfers(const Instruction& instruction) {
    return instruction.kind() == Instruction::SEND || instruction.kind() == Instruction::RECV;
  }

  // Each channel is a track. A transfer's work begins when both sides have it next on their channels; what is before
  // that, from when this side was ready, is waiting.
  void Transfers(int rank) {
    std::map<uint32_t, int64_t> free;  // by channel
    const auto& list = train_.ranks(rank).instructions();
    for (int i = 0; i < list.size(); ++i) {
      const proto::Span* span = spans_[rank][i];
      if (list[i].channel() == 0 || span == nullptr) continue;
      const int tid = static_cast<int>(list[i].channel());
      const auto [at, is_new] = free.try_emplace(list[i].channel(), 0);
      if (is_new) Name("thread_name", first_pid_ + rank, tid, TrackName(list[i]));
      const int64_t turn = std::max(at->second, Nanoseconds(span->start_seconds()));
      const int64_t end = std::max(turn, Nanoseconds(Ends(rank, i)));
      const int64_t begin = std::clamp(Nanoseconds(Begins(rank, i)), turn, end);
      const std::string name = InstructionName(train_, list[i]);
      if (begin > turn) Event(absl::StrCat("wait: ", name), "wait", rank, tid, turn, begin, {{"waits", name}});
      if (end > begin) {
        Json args = {{"instruction", i}};
        if (list[i].kind() != Instruction::GROUP) {
          const proto::Edge& edge = train_.edges(static_cast<int>(list[i].edge()));
          args["edge"] = edge.name();
          args["bytes"] = edge.bytes();
        }
        Event(name, "transfer", rank, tid, begin, end, std::move(args));
        if (Transfers(list[i])) slices_[KeyOf(list[i])] = {begin, end, tid};
      }
      at->second = end;
    }
  }

  // Predicted spans say it themselves. Of measured ones the wait is known only as a length, part of it at the end.
  double Begins(int rank, int i) const {
    const proto::Span& span = *spans_[rank][i];
    return word_ == "predicted" ? span.start_seconds() + span.wait_seconds() : span.start_seconds();
  }

  // A measured end is when the host saw it: the side that saw it first is nearer to the truth.
  double Ends(int rank, int i) const {
    const Instruction& instruction = train_.ranks(rank).instructions(i);
    const double end = spans_[rank][i]->end_seconds();
    if (!Transfers(instruction)) return end;
    const auto other =
        span_of_.find({instruction.kind() != Instruction::SEND, instruction.edge(), instruction.micro_batch()});
    return other == span_of_.end() || other->second == nullptr ? end : std::min(end, other->second->end_seconds());
  }

  std::string TrackName(const Instruction& instruction) const {
    if (instruction.kind() == Instruction::GROUP) return "grouped transfers";
    const proto::Edge& edge = train_.edges(static_cast<int>(instruction.edge()));
    const bool sends = instruction.kind() == Instruction::SEND;
    const uint32_t stage = sends ? edge.to_stage() : edge.from_stage();
    return absl::StrCat(sends ? "send to rank " : "receive from rank ", attribution_.stages[stage].rank);
  }

  using SliceKey = std::tuple<bool, uint32_t, uint32_t>;  // (does it send, edge, micro-batch)
  static SliceKey KeyOf(const Instruction& transfer) {
    return {transfer.kind() == Instruction::SEND, transfer.edge(), transfer.micro_batch()};
  }

  // An arrow from the slice of each SEND to that of its RECV.
  void Flows() {
    for (const auto& [key, send] : slices_) {
      const auto& [sends, edge_index, micro_batch] = key;
      if (!sends) continue;
      const auto receive = slices_.find({false, edge_index, micro_batch});
      if (receive == slices_.end()) continue;
      const proto::Edge& edge = train_.edges(static_cast<int>(edge_index));
      const int64_t id = static_cast<int64_t>(first_pid_) << 40 | static_cast<int64_t>(edge_index) << 20 | micro_batch;
      const int64_t leaves = send.begin;
      const int64_t arrives = std::clamp(leaves, receive->second.begin, receive->second.end - 1);
      if (arrives < leaves) continue;  // the receiver saw its end before the sender's channel was free
      Flow("s", id, attribution_.stages[edge.from_stage()].rank, send.tid, leaves);
      Flow("f", id, attribution_.stages[edge.to_stage()].rank, receive->second.tid, arrives);
    }
  }
  void Flow(const char* phase, int64_t id, int rank, int tid, int64_t at) {
    Json event = {{"name", "transfer"},     {"cat", "transfer"},        {"ph", phase}, {"id", id},
                  {"ts", Microseconds(at)}, {"pid", first_pid_ + rank}, {"tid", tid}};
    if (*phase == 'f') event["bp"] = "e";
    events_.push_back(std::move(event));
  }

  const proto::Program& train_;
  const Attribution& attribution_;
  const int first_pid_;
  Json& events_;
  std::string word_;
  std::vector<std::vector<const proto::Span*>> spans_;
  std::map<SliceKey, const proto::Span*> span_of_;
  std::map<SliceKey, Slice> slices_;
};

}  // namespace

std::string ChromeTrace(const Report& report) {
  Json events = Json::array();
  const int ranks = report.train().ranks_size();
  Writer(report, report.measured, report.balance.measured, 1, &events).Write(report.balance);
  Writer(report, report.predicted, report.balance.predicted, 1 + ranks, &events).Write(report.balance);
  const Json out = {{"traceEvents", std::move(events)}, {"displayTimeUnit", "ms"}};
  return out.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace millrace
