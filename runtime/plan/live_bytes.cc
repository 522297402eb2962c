#include "runtime/plan/live_bytes.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

namespace millrace {
namespace {

using proto::Instruction;

struct Change {
  double at = 0;
  int64_t bytes = 0;
};

// Who uses a slot at present.
struct Tenant {
  uint32_t micro_batch = 0;
  double from = 0, to = 0;
};

class RankBytes {
 public:
  RankBytes(const proto::RankProgram& list, const std::vector<const proto::Span*>& spans) : list_(list) {
    for (int i = 0; i < list.instructions_size(); ++i) {
      if (spans[i] == nullptr) continue;
      const Instruction& instruction = list.instructions(i);
      const double begin = spans[i]->start_seconds() + spans[i]->wait_seconds();
      Visit(instruction, begin, spans[i]->end_seconds());
      for (const Instruction& member : instruction.group()) Visit(member, begin, spans[i]->end_seconds());
      if (instruction.kind() == Instruction::RUN) Add(begin, spans[i]->end_seconds(), list.scratch_bytes());
    }
    for (const auto& [slot, tenant] : tenants_) Leave(slot.first, tenant);
  }

  std::vector<LivePoint> Points(uint64_t persistent) {
    std::sort(changes_.begin(), changes_.end(),
              [](const Change& a, const Change& b) { return std::tie(a.at, a.bytes) < std::tie(b.at, b.bytes); });
    std::vector<LivePoint> points = {{0, persistent}};
    int64_t bytes = static_cast<int64_t>(persistent);
    for (const Change& change : changes_) {
      bytes += change.bytes;
      if (change.at > points.back().seconds) points.push_back({change.at, 0});
      points.back().bytes = static_cast<uint64_t>(std::max<int64_t>(0, bytes));
    }
    return points;
  }

 private:
  void Visit(const Instruction& instruction, double begin, double end) {
    for (const proto::SlotUse& use : instruction.slots()) {
      const auto [found, is_new] = tenants_.try_emplace({use.pool(), use.slot()});
      Tenant& tenant = found->second;
      if (!is_new && tenant.micro_batch == instruction.micro_batch()) {
        tenant.to = std::max(tenant.to, end);
        continue;
      }
      if (!is_new) Leave(use.pool(), tenant);
      tenant = {instruction.micro_batch(), begin, end};
    }
  }

  void Leave(uint32_t pool, const Tenant& tenant) {
    if (pool < static_cast<uint32_t>(list_.pools_size())) {
      Add(tenant.from, tenant.to, list_.pools(static_cast<int>(pool)).stride());
    }
  }

  void Add(double from, double to, uint64_t bytes) {
    if (bytes == 0 || !(to > from)) return;
    changes_.push_back({from, static_cast<int64_t>(bytes)});
    changes_.push_back({to, -static_cast<int64_t>(bytes)});
  }

  const proto::RankProgram& list_;
  std::map<std::pair<uint32_t, uint32_t>, Tenant> tenants_;
  std::vector<Change> changes_;
};

uint64_t PersistentBytes(const proto::Rank& rank) {
  uint64_t bytes = 0;
  for (const proto::Region& region : rank.regions()) {
    if (region.life() != proto::SCRATCH) bytes += region.bytes();
  }
  return bytes;
}

}  // namespace

std::vector<std::vector<LivePoint>> LiveBytes(const proto::ExecutionPlan& plan, const proto::Program& program,
                                              const proto::StepTrace& trace) {
  std::vector<std::vector<const proto::Span*>> spans;
  for (const proto::RankProgram& rank : program.ranks()) spans.emplace_back(rank.instructions_size(), nullptr);
  for (const proto::Span& span : trace.spans()) {
    if (span.rank() < spans.size() && span.instruction() < spans[span.rank()].size()) {
      spans[span.rank()][span.instruction()] = &span;
    }
  }
  std::vector<std::vector<LivePoint>> ranks;
  for (int rank = 0; rank < program.ranks_size(); ++rank) {
    const uint64_t persistent = rank < plan.ranks_size() ? PersistentBytes(plan.ranks(rank)) : 0;
    ranks.push_back(RankBytes(program.ranks(rank), spans[rank]).Points(persistent));
  }
  return ranks;
}

}  // namespace millrace
