#include "runtime/worker/transient.h"

#include <algorithm>
#include <string>
#include <vector>

#include "proto/status_macros.h"
#include "runtime/plan/plan.h"
#include "runtime/worker/poison.h"

namespace millrace {
namespace {

// Sorted, disjoint.
std::vector<ByteRange> Union(std::vector<ByteRange> ranges) {
  std::sort(ranges.begin(), ranges.end(), [](const ByteRange& a, const ByteRange& b) { return a.begin < b.begin; });
  std::vector<ByteRange> out;
  for (const ByteRange& range : ranges) {
    if (range.begin >= range.end) continue;
    if (!out.empty() && range.begin <= out.back().end) {
      out.back().end = std::max(out.back().end, range.end);
    } else {
      out.push_back(range);
    }
  }
  return out;
}

// Bytes of `all` that are not in `taken`; both sorted and disjoint.
std::vector<ByteRange> Without(const std::vector<ByteRange>& all, const std::vector<ByteRange>& taken) {
  std::vector<ByteRange> out;
  for (const ByteRange& range : all) {
    uint64_t at = range.begin;
    for (const ByteRange& t : taken) {
      if (t.end <= at || t.begin >= range.end) continue;
      if (t.begin > at) out.push_back({at, t.begin});
      at = std::max(at, t.end);
    }
    if (at < range.end) out.push_back({at, range.end});
  }
  return out;
}

}  // namespace

void DescribeTransient(BoundProgram* program) {
  const proto::RankProgram& rank = *program->rank;
  std::vector<ByteRange> all = {{rank.scratch_offset(), rank.scratch_offset() + rank.scratch_bytes()}};
  for (const proto::Pool& pool : rank.pools()) {
    all.push_back({pool.offset(), pool.offset() + pool.stride() * pool.slots()});
  }
  program->transient = Union(std::move(all));
  if (!CanPoison()) return;

  std::vector<ByteRange> taken;
  for (uint32_t s : rank.stages()) {
    const proto::StageProgram& stage = program->program->stages(s);
    for (const proto::Value& value : stage.values()) {
      const uint32_t slots = value.pool() < 0 ? 1 : rank.pools(value.pool()).slots();
      for (uint32_t slot = 0; slot < slots; ++slot) {
        const uint64_t begin = AddressOf(rank, value, slot);
        taken.push_back({begin, begin + value.bytes()});
      }
    }
    for (const proto::PhaseProgram& phase : stage.phases()) {
      for (const proto::KernelCall& call : phase.calls()) {
        taken.push_back({call.scratch_offset(), call.scratch_offset() + call.scratch_bytes()});
      }
    }
  }
  program->gaps = Without(program->transient, Union(std::move(taken)));
}

absl::Status EnterProgram(const BoundProgram& program, const Arena& arena, bool fill, Stream& stream) {
  if (CanPoison()) UnpoisonMemory(arena.base(), arena.bytes());
  if (fill) {
    const std::string ones(size_t{1} << 16, '\xff');
    for (const ByteRange& range : program.transient) {
      for (uint64_t at = range.begin; at < range.end; at += ones.size()) {
        const uint64_t bytes = std::min<uint64_t>(ones.size(), range.end - at);
        MR_RETURN_IF_ERROR(stream.CopyIn(arena.base() + at, ones.data(), bytes));
      }
    }
  }
  if (CanPoison()) {
    for (const ByteRange& gap : program.gaps) PoisonMemory(arena.base() + gap.begin, gap.end - gap.begin);
  }
  return absl::OkStatus();
}

}  // namespace millrace
