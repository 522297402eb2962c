#include "runtime/plan/verify/chunk_memory.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "runtime/plan/broken.h"
#include "runtime/plan/chunks.h"
#include "runtime/plan/plan.h"
#include "runtime/plan/verify/bytes.h"

namespace millrace {
namespace {

struct Piece {
  uint64_t begin = 0, bytes = 0;
  std::string name;

  friend bool operator<(const Piece& a, const Piece& b) {
    return std::tie(a.begin, a.bytes, a.name) < std::tie(b.begin, b.bytes, b.name);
  }
  friend bool operator==(const Piece& a, const Piece& b) {
    return a.begin == b.begin && a.bytes == b.bytes && a.name == b.name;
  }
};

// What one stage keeps in its buffers, in all programs together.
class StagePieces {
 public:
  void Add(Piece piece) {
    if (piece.bytes > 0) pieces_.push_back(std::move(piece));
  }

  // The same piece of two programs, or of two phases, is one.
  absl::Status Check(int rank, int stage) {
    std::sort(pieces_.begin(), pieces_.end());
    pieces_.erase(std::unique(pieces_.begin(), pieces_.end()), pieces_.end());
    for (size_t i = 1; i < pieces_.size(); ++i) {
      const Piece &a = pieces_[i - 1], &b = pieces_[i];
      if (a.bytes <= ~a.begin && a.begin + a.bytes <= b.begin) continue;
      return Broken("overlap", {nullptr, rank},
                    absl::StrCat(a.name, " and ", b.name, " of stage ", stage, " share bytes at ", b.begin));
    }
    return absl::OkStatus();
  }

  const std::vector<Piece>& pieces() const { return pieces_; }

 private:
  std::vector<Piece> pieces_;
};

class RankChunks {
 public:
  RankChunks(const proto::ExecutionPlan& plan, const Chunks& chunks, int rank)
      : plan_(plan), chunks_(chunks), rank_(rank), place_(PlaceOf(plan, rank)) {}

  void AddProgram(const proto::Program& program, PersistentMemory::Rank* memory) {
    for (uint32_t s : program.ranks(rank_).stages()) {
      const proto::StageProgram& stage = program.stages(static_cast<int>(s));
      if (DividesGradients(plan_)) AddGradients(stage, memory);
      if (DividesParameters(plan_)) AddWeights(stage, memory);
      if (ReplicasFirst(plan_)) AddStaging(stage, memory);
    }
  }

  // Buffers of several stages are the same bytes: their union is added.
  absl::Status Finish(PersistentMemory::Rank* memory) {
    std::vector<Piece> all;
    for (auto& [stage, pieces] : stages_) {
      MR_RETURN_IF_ERROR(pieces.Check(rank_, stage));
      for (const Piece& piece : pieces.pieces()) {
        if (!Aligned(piece.begin)) {
          return Broken(
              "alignment", {nullptr, rank_},
              absl::StrCat(piece.name, " of stage ", stage, " is at ", piece.begin, ", not a multiple of 256"));
        }
        if (!memory->Holds(piece.begin, piece.bytes)) {
          return Broken("extent", {nullptr, rank_},
                        absl::StrCat(piece.name, " of stage ", stage, ", ", piece.bytes, " bytes at ", piece.begin,
                                     ", lies in no persistent region"));
        }
        all.push_back({piece.begin, piece.bytes, absl::StrCat(piece.name, " of stage ", stage)});
      }
    }
    std::sort(all.begin(), all.end());
    PersistentRange range;
    for (const Piece& piece : all) {
      if (range.bytes > 0 && piece.begin <= range.begin + range.bytes) {
        range.bytes = std::max(range.bytes, piece.begin + piece.bytes - range.begin);
        continue;
      }
      if (range.bytes > 0) memory->ranges.push_back(range);
      range = {piece.begin, piece.bytes, PersistentRange::kChunk, rank_, "chunks beginning with " + piece.name};
    }
    if (range.bytes > 0) memory->ranges.push_back(range);
    return absl::OkStatus();
  }

 private:
  std::string NameOf(const BucketMember& of) const { return Quoted(plan_.parameters(of.parameter).name()); }

  void AddGradients(const proto::StageProgram& stage, PersistentMemory::Rank* memory) {
    for (const proto::PhaseProgram& phase : stage.phases()) {
      for (const RunGradient& gradient : chunks_.GradientsOf(stage, phase, place_)) {
        stages_[Key(stage)].Add({gradient.offset, chunks_.GradientBytes(gradient.of),
                                 absl::StrCat("gradient ", gradient.shard_offset, " of ", NameOf(gradient.of))});
        memory->chunks.emplace(std::pair(Key(stage), gradient.offset), chunks_.GradientBytes(gradient.of));
      }
    }
  }

  void AddWeights(const proto::StageProgram& stage, PersistentMemory::Rank* memory) {
    for (const ChunkWeight& weight : chunks_.WeightsOf(stage, place_)) {
      stages_[Key(stage)].Add(
          {weight.offset, chunks_.WeightBytes(weight.of), absl::StrCat("weight ", NameOf(weight.of))});
      memory->chunks.emplace(std::pair(Key(stage), weight.offset), chunks_.WeightBytes(weight.of));
    }
    for (const proto::PhaseProgram& phase : stage.phases()) {
      for (const proto::KernelCall& call : phase.calls()) {
        if (call.packed_offset() < 0 || call.packed_bytes() == 0) continue;
        // Calls that read the same packing are told apart by CheckPacking.
        stages_[Key(stage)].Add({static_cast<uint64_t>(call.packed_offset()), call.packed_bytes(), "packed weights"});
      }
    }
  }

  void AddStaging(const proto::StageProgram& stage, PersistentMemory::Rank* memory) {
    for (const proto::PhaseProgram& phase : stage.phases()) {
      const uint64_t bytes = chunks_.StagingBytes(chunks_.GradientsOf(stage, phase, place_), place_);
      if (bytes == 0) continue;
      memory->ranges.push_back({phase.staging_offset(), bytes, PersistentRange::kStaging,
                                plan_.buckets_size() + static_cast<int>(stage.stage()) * 8 + phase.phase(), ""});
    }
  }

  static int Key(const proto::StageProgram& stage) { return static_cast<int>(stage.stage()); }

  const proto::ExecutionPlan& plan_;
  const Chunks& chunks_;
  const int rank_, place_;
  std::map<int, StagePieces> stages_;
};

}  // namespace

absl::Status AddChunks(const proto::ExecutionPlan& plan, const std::vector<Wiring>& wirings, PersistentMemory* memory) {
  if (!ReplicasFirst(plan)) return absl::OkStatus();
  const Chunks chunks(plan);
  for (size_t rank = 0; rank < memory->ranks.size(); ++rank) {
    RankChunks of_rank(plan, chunks, static_cast<int>(rank));
    for (const proto::Program& program : plan.programs()) of_rank.AddProgram(program, &memory->ranks[rank]);
    MR_RETURN_IF_ERROR(of_rank.Finish(&memory->ranks[rank]));
  }
  return absl::OkStatus();
}

}  // namespace millrace
