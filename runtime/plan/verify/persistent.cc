#include "runtime/plan/verify/persistent.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "runtime/plan/broken.h"
#include "runtime/plan/chunks.h"
#include "runtime/plan/plan.h"
#include "runtime/plan/verify/buckets.h"
#include "runtime/plan/verify/bytes.h"
#include "runtime/plan/verify/chunk_memory.h"

namespace millrace {
namespace {

using RankMemory = PersistentMemory::Rank;

absl::Status CheckRegion(int rank, const proto::Rank& home, const proto::Region& region) {
  const std::string name = absl::StrCat("region ", Quoted(region.name()));
  if (!Aligned(region.offset())) {
    return Broken("alignment", {nullptr, rank},
                  absl::StrCat(name, " begins at ", region.offset(), ", not a multiple of 256"));
  }
  if (!Within(region.offset(), region.bytes(), 0, home.arena_bytes())) {
    return Broken("extent", {nullptr, rank},
                  absl::StrCat(name, " of ", region.bytes(), " bytes at ", region.offset(),
                               " ends outside the arena of ", home.arena_bytes()));
  }
  return absl::OkStatus();
}

absl::Status CheckRank(const proto::ExecutionPlan& plan, int rank, RankMemory* memory) {
  const proto::Rank& home = plan.ranks(rank);
  if (home.rank() != rank) return Broken("index", {nullptr, rank}, absl::StrCat("is numbered ", home.rank()));
  if (home.memory_limit() > 0 &&
      (home.arena_bytes() > home.memory_limit() || home.outside_bytes() > home.memory_limit() - home.arena_bytes())) {
    return Broken("capacity", {nullptr, rank},
                  absl::StrCat("an arena of ", home.arena_bytes(), " bytes and ", home.outside_bytes(),
                               " of libraries do not fit device ", Quoted(home.device()), " of ", home.memory_limit(),
                               " bytes; use more stages, smaller micro-batches or recomputation"));
  }
  std::vector<proto::Region> regions(home.regions().begin(), home.regions().end());
  std::sort(regions.begin(), regions.end(), [](const auto& a, const auto& b) {
    return std::pair(a.offset(), a.bytes()) < std::pair(b.offset(), b.bytes());
  });
  bool has_transient = false;
  std::string before;
  uint64_t end = 0;
  for (const proto::Region& region : regions) {
    MR_RETURN_IF_ERROR(CheckRegion(rank, home, region));
    if (region.bytes() == 0) continue;
    if (region.offset() < end) {
      return Broken(
          "overlap", {nullptr, rank},
          absl::StrCat("regions ", before, " and ", Quoted(region.name()), " share bytes at ", region.offset()));
    }
    before = Quoted(region.name());
    end = region.offset() + region.bytes();
    if (!IsTransient(region)) {
      memory->persistent_bytes += region.bytes();
      memory->regions.push_back(region);
      continue;
    }
    if (has_transient) return Broken("index", {nullptr, rank}, "has two transient regions");
    has_transient = true;
    memory->transient_begin = region.offset();
    memory->transient_bytes = region.bytes();
  }
  // An arena is asked for as a whole: one that no region fills would be believed up to any size.
  if (home.arena_bytes() > RoundUp(end)) {
    return Broken("extent", {nullptr, rank},
                  absl::StrCat("an arena of ", home.arena_bytes(), " bytes, but its regions end at ", end));
  }
  return absl::OkStatus();
}

std::string NameOf(const proto::ExecutionPlan& plan, const PersistentRange& range) {
  switch (range.kind) {
    case PersistentRange::kWeight:
      return absl::StrCat("the weight of ", Quoted(plan.parameters(range.index).name()));
    case PersistentRange::kAccumulator:
      return absl::StrCat("the accumulator of ", Quoted(plan.parameters(range.index).name()), " at node ",
                          Quoted(range.name));
    case PersistentRange::kShardState:
      return absl::StrCat("the sharded optimizer state of bucket ", range.index);
    case PersistentRange::kShardSum:
      return absl::StrCat("the sharded gradient of bucket ", range.index);
    case PersistentRange::kShardWeight:
      return absl::StrCat("the sharded weights of bucket ", range.index);
    case PersistentRange::kChunk:
      return absl::StrCat(range.name, " of stage ", range.index);
    case PersistentRange::kState:
      return absl::StrCat("optimizer state of ", Quoted(plan.parameters(range.index).name()));
    case PersistentRange::kStaging:
      return absl::StrCat("the staging of bucket ", range.index);
    case PersistentRange::kPacked:
      return absl::StrCat("packed weights of node ", Quoted(range.name));
    case PersistentRange::kMetric:
      return absl::StrCat("metric ", Quoted(range.name));
  }
  return "?";
}

bool MayShare(const PersistentRange& a, const PersistentRange& b) {
  if (a.kind != b.kind) return false;
  if (a.kind == PersistentRange::kPacked) return a.begin == b.begin && a.bytes == b.bytes;
  if (a.kind == PersistentRange::kMetric) return a.index != b.index;  // of two programs
  // Of several parameters of one bucket, which has one shard.
  const bool shard = a.kind == PersistentRange::kShardSum || a.kind == PersistentRange::kShardWeight;
  if (shard) return a.index == b.index && a.begin == b.begin;
  return a.kind == PersistentRange::kStaging && a.index != b.index;  // of two buckets
}

absl::Status CheckRanges(const proto::ExecutionPlan& plan, int rank, RankMemory* memory) {
  for (const PersistentRange& range : memory->ranges) {
    if (!Aligned(range.begin)) {
      return Broken("alignment", {nullptr, rank},
                    absl::StrCat(NameOf(plan, range), " is at ", range.begin, ", not a multiple of 256"));
    }
    if (!memory->Holds(range.begin, range.bytes)) {
      return Broken("extent", {nullptr, rank},
                    absl::StrCat(NameOf(plan, range), ", ", range.bytes, " bytes at ", range.begin,
                                 ", lies in no persistent region"));
    }
  }
  std::sort(memory->ranges.begin(), memory->ranges.end(), [](const PersistentRange& a, const PersistentRange& b) {
    return std::tie(a.begin, a.bytes) < std::tie(b.begin, b.bytes);
  });
  const PersistentRange* furthest = nullptr;
  for (const PersistentRange& range : memory->ranges) {
    if (range.bytes == 0) continue;
    if (furthest != nullptr && range.begin < furthest->begin + furthest->bytes && !MayShare(range, *furthest)) {
      return Broken(
          "overlap", {nullptr, rank},
          absl::StrCat(NameOf(plan, *furthest), " and ", NameOf(plan, range), " share bytes at ", range.begin));
    }
    if (furthest == nullptr || range.begin + range.bytes > furthest->begin + furthest->bytes) furthest = &range;
  }
  return absl::OkStatus();
}

}  // namespace

bool IsTransient(const proto::Region& region) { return absl::EqualsIgnoreCase(region.name(), "transient"); }

bool RankMemory::Holds(uint64_t begin, uint64_t bytes) const {
  auto after = std::upper_bound(regions.begin(), regions.end(), begin,
                                [](uint64_t at, const proto::Region& region) { return at < region.offset(); });
  if (after == regions.begin()) return false;
  --after;
  return Within(begin, bytes, after->offset(), after->bytes());
}

absl::StatusOr<PersistentMemory> CheckPersistentMemory(const proto::ExecutionPlan& plan) {
  PersistentMemory memory;
  memory.ranks.resize(PipelineRanks(plan));
  for (int rank = 0; rank < plan.ranks_size(); ++rank) {
    RankMemory replica;
    const bool first = rank < static_cast<int>(memory.ranks.size());
    MR_RETURN_IF_ERROR(CheckRank(plan, rank, first ? &memory.ranks[rank] : &replica));
  }
  MR_RETURN_IF_ERROR(AddParameters(plan, &memory));
  MR_RETURN_IF_ERROR(AddBuckets(plan, &memory));
  // What is said of a place holds of all ranks there.
  for (int rank = 0; rank < static_cast<int>(memory.ranks.size()); ++rank) {
    if (PlaceOf(plan, rank) != rank) memory.ranks[rank] = memory.ranks[PlaceOf(plan, rank)];
  }
  return memory;
}

absl::Status CheckPersistentOverlap(const proto::ExecutionPlan& plan, const std::vector<Wiring>& wirings,
                                    PersistentMemory* memory) {
  for (int p = 0; p < plan.programs_size(); ++p) {
    const proto::Program& program = plan.programs(p);
    for (int stage = 0; stage < program.stages_size(); ++stage) {
      RankMemory& rank = memory->ranks[wirings[p].rank_of_stage[stage]];
      for (const proto::PhaseProgram& phase : program.stages(stage).phases()) {
        for (const proto::KernelCall& call : phase.calls()) {
          if (call.packed_offset() < 0 || call.packed_bytes() == 0 || DividesParameters(plan)) continue;
          rank.ranges.push_back({static_cast<uint64_t>(call.packed_offset()), call.packed_bytes(),
                                 PersistentRange::kPacked, stage, call.node()});
        }
      }
    }
    for (int rank = 0; rank < program.ranks_size(); ++rank) {
      for (const proto::Value& metric : program.ranks(rank).metrics()) {
        memory->ranks[rank].ranges.push_back(
            {metric.offset(), metric.bytes(), PersistentRange::kMetric, p, metric.name()});
      }
    }
  }
  MR_RETURN_IF_ERROR(AddChunks(plan, wirings, memory));
  for (size_t rank = 0; rank < memory->ranks.size(); ++rank) {
    MR_RETURN_IF_ERROR(CheckRanges(plan, static_cast<int>(rank), &memory->ranks[rank]));
  }
  return absl::OkStatus();
}

}  // namespace millrace
