#include "partitioner/lower/pools.h"

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"

namespace millrace {
namespace {

using proto::Instruction;

// What must be equal for two residents to live and die together. SENT and RECEIVED values are sent and come one by one.
std::string GroupOf(const Flow& flow, int r) {
  const Resident& resident = flow.residents[r];
  std::string key = absl::StrCat(resident.rank, " ", resident.life, " ", resident.stage);
  if (resident.life == proto::SENT || resident.life == proto::RECEIVED) return absl::StrCat(key, " ", resident.value);
  for (int run : resident.writers) absl::StrAppend(&key, " w", run);
  // Of the same stage only the last phase matters: the others come before it.
  std::map<int, std::set<int>> last;
  for (int run : resident.readers) {
    const PhaseRun& reader = flow.runs[run];
    std::set<int>& of_stage = last[reader.stage];
    if (!of_stage.empty() && reader.phase != proto::BW && flow.runs[*of_stage.begin()].phase != proto::BW) {
      of_stage = {std::max(run, *of_stage.begin())};
    } else {
      of_stage.insert(run);
    }
  }
  for (const auto& [stage, runs] : last) {
    for (int run : runs) absl::StrAppend(&key, " r", run);
  }
  return key;
}

std::string NameOf(const Flow& flow, const Resident& resident) {
  std::string name = absl::StrCat("stage ", resident.stage, " ", proto::Life_Name(resident.life));
  if (resident.life == proto::SENT || resident.life == proto::RECEIVED) {
    absl::StrAppend(&name, " ", flow.source->staged.graph.values[resident.value].name);
  }
  return name;
}

void Group(const Flow& flow, Pools* pools) {
  std::map<std::string, int> known;
  pools->of_rank.resize(flow.source->schedule.ranks.size());
  for (int r = 0; r < static_cast<int>(flow.residents.size()); ++r) {
    const Resident& resident = flow.residents[r];
    const auto [found, is_new] = known.emplace(GroupOf(flow, r), static_cast<int>(pools->pools.size()));
    if (is_new) {
      PlannedPool& pool = pools->pools.emplace_back();
      pool.life = resident.life;
      pool.name = NameOf(flow, resident);
      pool.rank = resident.rank;
      pool.stage = resident.stage;
      pool.index = static_cast<int>(pools->of_rank[resident.rank].size());
      pool.stays.resize(flow.source->schedule.micro_batches);
      pools->of_rank[resident.rank].push_back(found->second);
    }
    PlannedPool& pool = pools->pools[found->second];
    pool.residents.push_back(r);
    pools->pool_of.push_back(found->second);
    pools->offset_in_slot.push_back(pool.stride);
    pool.stride += RoundToAlignment(flow.source->staged.graph.values[resident.value].spec.bytes());
  }
}

std::vector<int> PoolsOf(const Pools& pools, const std::vector<int>& a, const std::vector<int>& b) {
  std::vector<int> touched;
  for (int r : a) touched.push_back(pools.pool_of[r]);
  for (int r : b) touched.push_back(pools.pool_of[r]);
  std::sort(touched.begin(), touched.end());
  touched.erase(std::unique(touched.begin(), touched.end()), touched.end());
  return touched;
}

void IndexRuns(const Flow& flow, Pools* pools) {
  for (const PhaseRun& run : flow.runs) {
    pools->of_run.push_back(PoolsOf(*pools, run.reads, run.writes));
    pools->writes_of.push_back(PoolsOf(*pools, run.writes, {}));
  }
  pools->loads_of.resize(flow.source->schedule.stages);
  for (int p = 0; p < static_cast<int>(pools->pools.size()); ++p) {
    if (pools->pools[p].life == proto::LOADED) pools->loads_of[pools->pools[p].stage].push_back(p);
  }
}

void Touch(int pool, int micro_batch, int instruction, Pools* pools) {
  Stay& stay = pools->pools[pool].stays[micro_batch];
  if (stay.begin < 0) stay.begin = instruction;
  stay.end = instruction;
}

void FindStays(const Flow& flow, const std::vector<Step>& list, Pools* pools) {
  for (int i = 0; i < static_cast<int>(list.size()); ++i) {
    const Step& step = list[i];
    if (step.kind == Instruction::LOAD) {
      for (int p : pools->loads_of[step.index]) Touch(p, step.micro_batch, i, pools);
    } else if (step.kind == Instruction::RUN) {
      for (int p : pools->of_run[step.index]) Touch(p, step.micro_batch, i, pools);
    } else {
      const Transfer& transfer = flow.transfers[step.index];
      const int resident = step.kind == Instruction::SEND ? transfer.from : transfer.to;
      Touch(pools->pool_of[resident], step.micro_batch, i, pools);
    }
  }
}

// Bytes of a rank that may go into slots which let a sender run ahead of a late receiver, as a share of its pools.
constexpr uint64_t kGraceShare = 32;

// With grace, a slot is not given again until another value of the pool has been written elsewhere: a RUN that
// overwrites what the last SEND still reads would wait for a receiver that is late.
void Colour(int list_size, bool grace, PlannedPool* pool) {
  std::vector<Stay*> stays;
  for (Stay& stay : pool->stays) {
    if (stay.begin < 0) continue;
    if (pool->life == proto::OUTPUT) stay.end = list_size - 1;
    stays.push_back(&stay);
  }
  std::sort(stays.begin(), stays.end(), [](const Stay* a, const Stay* b) { return a->begin < b->begin; });
  std::vector<int> end;  // by slot: of its last stay
  int previous = -1;     // slot
  for (Stay* stay : stays) {
    int slot = 0;
    while (slot < static_cast<int>(end.size()) && (end[slot] >= stay->begin || (grace && slot == previous))) ++slot;
    if (slot == static_cast<int>(end.size())) end.push_back(0);
    end[slot] = stay->end;
    stay->slot = previous = slot;
  }
  pool->slots = static_cast<int>(end.size());
}

void GiveSlots(const std::vector<int>& of_rank, int list_size, Pools* pools) {
  uint64_t bytes = 0;
  for (int p : of_rank) {
    Colour(list_size, /*grace=*/false, &pools->pools[p]);
    bytes += pools->pools[p].stride * pools->pools[p].slots;
  }
  uint64_t budget = bytes / kGraceShare;
  for (int p : of_rank) {
    PlannedPool& pool = pools->pools[p];
    if (pool.life != proto::SENT || pool.stride > budget) continue;
    const int slots = pool.slots;
    Colour(list_size, /*grace=*/true, &pool);
    budget -= std::min(budget, pool.stride * (pool.slots - slots));
  }
}

}  // namespace

Pools PlanPools(const Flow& flow, const std::vector<std::vector<Step>>& lists) {
  Pools pools;
  Group(flow, &pools);
  IndexRuns(flow, &pools);
  for (const std::vector<Step>& list : lists) FindStays(flow, list, &pools);
  for (size_t rank = 0; rank < lists.size(); ++rank) {
    GiveSlots(pools.of_rank[rank], static_cast<int>(lists[rank].size()), &pools);
  }
  return pools;
}

}  // namespace millrace
