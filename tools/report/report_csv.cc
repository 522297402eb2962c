#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "runtime/plan/action.h"
#include "runtime/plan/instruction_name.h"
#include "tools/report/columns.h"
#include "tools/report/escape.h"
#include "tools/report/forms.h"

namespace millrace {
namespace {

constexpr absl::string_view kEnd = "\r\n";

using SpanOf = std::map<std::pair<uint32_t, uint32_t>, const proto::Span*>;

SpanOf Index(const proto::StepTrace& trace) {
  SpanOf spans;
  for (const proto::Span& span : trace.spans()) spans[{span.rank(), span.instruction()}] = &span;
  return spans;
}

std::string Seconds(double seconds) { return absl::StrFormat("%.9f", seconds); }

// Turn, waiting, work; empty where the trace has no such span.
std::string Times(const SpanOf& spans, uint32_t rank, uint32_t instruction) {
  const auto found = spans.find({rank, instruction});
  if (found == spans.end()) return ",,";
  const proto::Span& span = *found->second;
  return absl::StrCat(Seconds(span.start_seconds()), ",", Seconds(span.wait_seconds()), ",",
                      Seconds(span.end_seconds() - span.start_seconds() - span.wait_seconds()));
}

std::string Names(absl::string_view which) {
  std::string head;
  const auto add = [&](absl::string_view name) {
    absl::StrAppend(&head, ",", which, "_", absl::StrReplaceAll(name, {{" ", "_"}}), "_seconds");
  };
  for (int w = 0; w < kWorks; ++w) add(WorkName(static_cast<Work>(w)));
  for (int w = 0; w < kWaits; ++w) add(absl::StrCat("wait ", WaitName(static_cast<Wait>(w))));
  add("communication exposed");
  add("communication hidden");
  return head;
}

std::string Parts(const TimeParts& parts) {
  std::string row;
  for (double seconds : parts.work) absl::StrAppend(&row, ",", Seconds(seconds));
  for (double seconds : parts.wait) absl::StrAppend(&row, ",", Seconds(seconds));
  return absl::StrCat(row, ",", Seconds(parts.exposed), ",", Seconds(parts.hidden));
}

}  // namespace

std::string InstructionsCsv(const Report& report) {
  const SpanOf predicted = Index(report.predicted), measured = Index(report.measured);
  const proto::Program& train = report.train();
  std::string csv = absl::StrCat(
      "rank,instruction,name,kind,stage,phase,micro_batch,edge,channel,predicted_turn_seconds,predicted_wait_seconds,"
      "predicted_work_seconds,measured_turn_seconds,measured_wait_seconds,measured_work_seconds",
      kEnd);
  for (const proto::RankProgram& rank : train.ranks()) {
    for (int i = 0; i < rank.instructions_size(); ++i) {
      const proto::Instruction& instruction = rank.instructions(i);
      using proto::Instruction;
      const auto kind = instruction.kind();
      const bool run = kind == Instruction::RUN, load = kind == Instruction::LOAD;
      const bool sends = kind == Instruction::SEND || kind == Instruction::RECV;
      const bool staged = run || load || kind == Instruction::PREPARE;
      const std::string edge = sends ? CsvField(train.edges(static_cast<int>(instruction.edge())).name()) : "";
      absl::StrAppend(&csv, rank.rank(), ",", i, ",", InstructionName(train, instruction), ",",
                      Instruction::Kind_Name(kind), ",", staged ? absl::StrCat(instruction.stage()) : "", ",",
                      run ? std::string(PhaseName(instruction.phase())) : "", ",",
                      run || load || sends ? absl::StrCat(instruction.micro_batch()) : "", ",", edge, ",",
                      instruction.channel(), ",");
      absl::StrAppend(&csv, Times(predicted, rank.rank(), i), ",", Times(measured, rank.rank(), i), kEnd);
    }
  }
  return csv;
}

std::string StagesCsv(const Report& report) {
  const Balance& balance = report.balance;
  std::string csv = absl::StrCat("stage,rank", Names("predicted"), Names("measured"));
  for (const MemoryPart& part : MemoryParts({})) absl::StrAppend(&csv, ",rank_", part.name, "_bytes");
  absl::StrAppend(&csv, ",rank_arena_bytes,last_node", kEnd);
  for (size_t s = 0; s < balance.measured.stages.size(); ++s) {
    const StageTime& time = balance.measured.stages[s];
    const proto::StageProgram& stage = report.train().stages(static_cast<int>(s));
    const MemoryByKind& memory = balance.ranks[time.rank].memory;
    absl::StrAppend(&csv, s, ",", time.rank, Parts(balance.predicted.stages[s]), Parts(time));
    for (const MemoryPart& part : MemoryParts(memory)) absl::StrAppend(&csv, ",", part.bytes);
    absl::StrAppend(&csv, ",", memory.arena, ",",
                    stage.nodes().empty() ? "" : CsvField(stage.nodes(stage.nodes_size() - 1)), kEnd);
  }
  return csv;
}

}  // namespace millrace
