#include "runtime/plan/verify/memory_rules.h"

#include <algorithm>
#include <tuple>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "runtime/plan/broken.h"
#include "runtime/plan/verify/bytes.h"

namespace millrace {
namespace {

struct Range {
  uint64_t begin, bytes;
  std::string name;
};

bool LivesInPool(proto::Life life) {
  switch (life) {
    case proto::STASH_FB:
    case proto::STASH_FW:
    case proto::STASH_BW:
    case proto::STASH_FR:
    case proto::STASH_RB:
    case proto::RECEIVED:
    case proto::SENT:
    case proto::LOADED:
    case proto::OUTPUT:
      return true;
    default:
      return false;
  }
}

// Checks one rank's part of one program.
class RankMemoryRules {
 public:
  RankMemoryRules(const proto::Program& program, int rank, const PersistentMemory::Rank& memory)
      : program_(program), list_(program.ranks(rank)), here_{&program, rank}, memory_(memory) {}

  absl::Status Check() {
    MR_RETURN_IF_ERROR(CheckPoolsAndScratch());
    MR_RETURN_IF_ERROR(CheckMetrics());
    for (uint32_t stage : list_.stages()) {
      stage_ = stage;
      for (const proto::Value& value : program_.stages(stage).values()) MR_RETURN_IF_ERROR(CheckValue(value));
      for (const proto::PhaseProgram& phase : program_.stages(stage).phases()) MR_RETURN_IF_ERROR(CheckPhase(phase));
      MR_RETURN_IF_ERROR(CheckPrepare(program_.stages(stage)));
    }
    return absl::OkStatus();
  }

 private:
  absl::Status CheckPoolsAndScratch() {
    std::vector<Range> ranges;
    if (list_.scratch_bytes() > 0) ranges.push_back({list_.scratch_offset(), list_.scratch_bytes(), "the scratch"});
    for (int p = 0; p < list_.pools_size(); ++p) {
      const proto::Pool& pool = list_.pools(p);
      const std::string name = absl::StrCat("pool ", p, " ", Quoted(pool.name()));
      if (!Aligned(pool.stride())) return Misaligned(name + "'s stride", pool.stride());
      uint64_t bytes = 0;
      if (__builtin_mul_overflow(pool.stride(), uint64_t{pool.slots()}, &bytes)) {
        return Broken("extent", here_,
                      absl::StrCat(name, ": ", pool.slots(), " slots of ", pool.stride(), " bytes overflow"));
      }
      ranges.push_back({pool.offset(), bytes, name});
    }
    for (const Range& range : ranges) {
      if (!Aligned(range.begin)) return Misaligned(range.name, range.begin);
      if (range.bytes > 0 && !Within(range.begin, range.bytes, memory_.transient_begin, memory_.transient_bytes)) {
        return Broken("extent", here_,
                      absl::StrCat(range.name, ", ", range.bytes, " bytes at ", range.begin,
                                   ", is not inside the transient region, ", memory_.transient_bytes, " bytes at ",
                                   memory_.transient_begin));
      }
    }
    std::erase_if(ranges, [](const Range& range) { return range.bytes == 0; });
    std::sort(ranges.begin(), ranges.end(), [](const Range& a, const Range& b) { return a.begin < b.begin; });
    for (size_t i = 1; i < ranges.size(); ++i) {
      if (ranges[i - 1].begin + ranges[i - 1].bytes > ranges[i].begin) {
        return Broken("overlap", here_,
                      absl::StrCat(ranges[i - 1].name, " and ", ranges[i].name, " share bytes at ", ranges[i].begin));
      }
    }
    return absl::OkStatus();
  }

  absl::Status CheckMetrics() {
    for (const proto::Value& metric : list_.metrics()) {
      if (metric.life() != proto::METRIC || metric.pool() >= 0 || metric.type().dtype() != proto::F64 ||
          BytesOf(metric.type()) != metric.bytes()) {
        return Broken(
            "shapes", here_,
            absl::StrCat("metric ", Quoted(metric.name()), " must be F64, of life METRIC, at a fixed address"));
      }
      metrics_[metric.offset()] = metric.bytes();
    }
    return absl::OkStatus();
  }

  absl::Status CheckValue(const proto::Value& value) {
    const std::optional<uint64_t> bytes = BytesOf(value.type());
    if (!bytes)
      return Broken("extent", here_, absl::StrCat(Named(value), "its type has no size, or one that overflows"));
    if (*bytes != value.bytes()) {
      return Broken("shapes", here_, absl::StrCat(Named(value), value.bytes(), " bytes, but its type takes ", *bytes));
    }
    if (!Aligned(value.offset())) return Misaligned(Named(value) + "its address", value.offset());
    if (LivesInPool(value.life())) return CheckPooled(value);
    if (value.pool() >= 0) {
      return Broken("index", here_,
                    absl::StrCat(Named(value), "a value of life ", proto::Life_Name(value.life()),
                                 " has a fixed address, not one in a pool"));
    }
    return CheckFixed(value);
  }

  absl::Status CheckPooled(const proto::Value& value) {
    if (value.pool() < 0 || value.pool() >= list_.pools_size()) {
      return Broken("index", here_, absl::StrCat(Named(value), "pool ", value.pool(), " of ", list_.pools_size()));
    }
    const proto::Pool& pool = list_.pools(value.pool());
    if (!Within(value.offset(), value.bytes(), 0, pool.stride())) {
      return Broken("extent", here_,
                    absl::StrCat(Named(value), value.bytes(), " bytes at ", value.offset(), " end outside a slot of ",
                                 pool.stride(), " bytes of pool ", Quoted(pool.name())));
    }
    return absl::OkStatus();
  }

  absl::Status CheckFixed(const proto::Value& value) {
    const auto exactly = [&value](const absl::flat_hash_map<uint64_t, uint64_t>& ranges) {
      const auto found = ranges.find(value.offset());
      return found != ranges.end() && found->second == value.bytes();
    };
    switch (value.life()) {
      case proto::PARAMETER:
        if (InChunk(value)) return absl::OkStatus();
        if (!exactly(memory_.weights)) return Elsewhere(value, "a parameter that this rank keeps");
        return IsItsOwn(value) ? absl::OkStatus() : Elsewhere(value, "where the parameter of that name is");
      case proto::GRADIENT:
        if (InChunk(value) && IsItsOwn(value)) return absl::OkStatus();
        if (!exactly(memory_.accumulators)) return Elsewhere(value, "an accumulator of this rank");
        return IsItsOwn(value) ? absl::OkStatus() : Elsewhere(value, "the accumulator of that parameter and node");
      case proto::METRIC:
        return exactly(metrics_) ? absl::OkStatus() : Elsewhere(value, "a metric of this rank");
      case proto::SCRATCH:
        return Within(value.offset(), value.bytes(), list_.scratch_offset(), list_.scratch_bytes())
                   ? absl::OkStatus()
                   : Elsewhere(value, "inside the rank's scratch");
      case proto::OPTIMIZER:
      case proto::PACKED:
        return memory_.Holds(value.offset(), value.bytes()) ? absl::OkStatus()
                                                            : Elsewhere(value, "in a persistent region");
      default:
        return Broken("index", here_, absl::StrCat(Named(value), "has no known life"));
    }
  }

  // Another weight or accumulator of the same size would be as good a place for the bytes, and train to something else.
  // Views of weights have names of their own.
  bool IsItsOwn(const proto::Value& value) const {
    const auto found = memory_.named.find(value.name());
    return found == memory_.named.end() ||
           std::find(found->second.begin(), found->second.end(), value.offset()) != found->second.end();
  }

  bool InChunk(const proto::Value& value) const {
    const auto found = memory_.chunks.find({stage_, value.offset()});
    return found != memory_.chunks.end() && found->second == value.bytes();
  }

  absl::Status CheckPhase(const proto::PhaseProgram& phase) {
    absl::flat_hash_set<int> pools;
    for (uint32_t pool : phase.pools()) {
      if (pool >= list_.pools_size() || !pools.insert(pool).second) {
        return Broken("index", here_,
                      absl::StrCat(In(phase), "names pool ", pool, " of ", list_.pools_size(), ", or names it twice"));
      }
    }
    for (int c = 0; c < phase.calls_size(); ++c) {
      const std::string name = absl::StrCat(In(phase), "call ", c, " (", Quoted(phase.calls(c).node()), "): ");
      for (int v : phase.calls(c).inputs()) MR_RETURN_IF_ERROR(CheckOperand(name, v, false, pools));
      for (int v : phase.calls(c).outputs()) MR_RETURN_IF_ERROR(CheckOperand(name, v, true, pools));
      MR_RETURN_IF_ERROR(CheckCallMemory(name, phase.calls(c)));
    }
    return absl::OkStatus();
  }

  absl::Status CheckOperand(const std::string& name, int v, bool output, const absl::flat_hash_set<int>& pools) {
    const auto& values = program_.stages(stage_).values();
    if (v == -1) return absl::OkStatus();
    if (v < -1 || v >= values.size()) {
      return Broken("index", here_, absl::StrCat(name, "value ", v, " of ", values.size()));
    }
    const proto::Value& value = values[v];
    if (value.pool() >= 0 && !pools.contains(value.pool())) {
      return Broken("index", here_,
                    absl::StrCat(name, Named(value), "its pool ", value.pool(), " is not among the phase's pools"));
    }
    if (output &&
        (value.life() == proto::PARAMETER || value.life() == proto::OPTIMIZER || value.life() == proto::PACKED)) {
      return Broken(
          "index", here_,
          absl::StrCat(name, Named(value), "a RUN may not write a value of life ", proto::Life_Name(value.life())));
    }
    return absl::OkStatus();
  }

  absl::Status CheckCallMemory(const std::string& name, const proto::KernelCall& call) {
    if (call.scratch_bytes() > 0) {
      if (!Aligned(call.scratch_offset())) return Misaligned(name + "its scratch", call.scratch_offset());
      if (!Within(call.scratch_offset(), call.scratch_bytes(), list_.scratch_offset(), list_.scratch_bytes())) {
        return Broken("extent", here_,
                      absl::StrCat(name, call.scratch_bytes(), " bytes of scratch at ", call.scratch_offset(),
                                   " lie outside the rank's scratch"));
      }
    }
    return absl::OkStatus();
  }

  absl::Status CheckPrepare(const proto::StageProgram& stage) {
    for (const proto::CallRef& ref : stage.prepare()) {
      const auto phase = std::find_if(stage.phases().begin(), stage.phases().end(),
                                      [&ref](const auto& candidate) { return candidate.phase() == ref.phase(); });
      if (phase == stage.phases().end() || ref.call() >= phase->calls_size()) {
        return Broken("index", here_,
                      absl::StrCat("stage ", stage_, ": PREPARE names call ", ref.call(),
                                   " of a phase that has fewer, or is not there"));
      }
    }
    return absl::OkStatus();
  }

  absl::Status Misaligned(absl::string_view what, uint64_t offset) {
    return Broken("alignment", here_, absl::StrCat(what, " is ", offset, ", not a multiple of 256"));
  }
  absl::Status Elsewhere(const proto::Value& value, absl::string_view wanted) {
    return Broken("extent", here_,
                  absl::StrCat(Named(value), value.bytes(), " bytes at ", value.offset(), " are not ", wanted));
  }
  std::string Named(const proto::Value& value) {
    return absl::StrCat("stage ", stage_, ", value ", Quoted(value.name()), ": ");
  }
  std::string In(const proto::PhaseProgram& phase) {
    return absl::StrCat("stage ", stage_, ", phase ", proto::Phase_Name(phase.phase()), ": ");
  }

  const proto::Program& program_;
  const proto::RankProgram& list_;
  const Where here_;
  const PersistentMemory::Rank& memory_;
  absl::flat_hash_map<uint64_t, uint64_t> metrics_;  // offset -> bytes
  int stage_ = 0;
};

absl::Status CheckEdgeValues(const proto::Program& program, const Wiring& wiring) {
  for (int i = 0; i < program.edges_size(); ++i) {
    const proto::Edge& edge = program.edges(i);
    const std::string name = absl::StrCat("edge ", i, " ", Quoted(edge.name()), ": ");
    const auto& from = program.stages(edge.from_stage()).values();
    const auto& to = program.stages(edge.to_stage()).values();
    if (edge.from_value() >= from.size() || edge.to_value() >= to.size()) {
      return Broken("index", {&program},
                    absl::StrCat(name, "value ", edge.from_value(), " of ", from.size(), " or ", edge.to_value(),
                                 " of ", to.size()));
    }
    const proto::Value& sent = from[edge.from_value()];
    const proto::Value& received = to[edge.to_value()];
    if (sent.bytes() != edge.bytes() || received.bytes() != edge.bytes() ||
        sent.type().dtype() != received.type().dtype()) {
      return Broken("shapes", {&program},
                    absl::StrCat(name, edge.bytes(), " bytes, but its values have ", sent.bytes(), " and ",
                                 received.bytes(), ", of types ", proto::DataType_Name(sent.type().dtype()), " and ",
                                 proto::DataType_Name(received.type().dtype())));
    }
    if (wiring.rank_of_stage[edge.from_stage()] == wiring.rank_of_stage[edge.to_stage()]) continue;
    if (received.pool() < 0 || (sent.pool() < 0 && sent.life() != proto::PARAMETER)) {
      return Broken("index", {&program}, absl::StrCat(name, "what crosses ranks lies in a pool at both ends"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckOutputs(const proto::Program& program, const Wiring& wiring) {
  for (const proto::ProgramOutput& output : program.outputs()) {
    if (output.stage() < program.stages_size() && output.rank() == wiring.rank_of_stage[output.stage()] &&
        output.value() < program.stages(output.stage()).values_size() &&
        program.stages(output.stage()).values(output.value()).life() == proto::OUTPUT) {
      continue;
    }
    return Broken("index", {&program},
                  absl::StrCat("output ", Quoted(output.name()), ": value ", output.value(), " of stage ",
                               output.stage(), " on rank ", output.rank(), " is no value of life OUTPUT there"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckTransientMemory(const proto::Program& program, const Wiring& wiring, const PersistentMemory& memory) {
  for (int rank = 0; rank < program.ranks_size(); ++rank) {
    MR_RETURN_IF_ERROR(RankMemoryRules(program, rank, memory.ranks[rank]).Check());
  }
  MR_RETURN_IF_ERROR(CheckEdgeValues(program, wiring));
  return CheckOutputs(program, wiring);
}

}  // namespace millrace
