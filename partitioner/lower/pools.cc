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
      pool.stages = {resident.stage};
      pool.bytes = {0};
      pool.index = static_cast<int>(pools->of_rank[resident.rank].size());
      pool.stays.resize(flow.source->schedule.micro_batches);
      pools->of_rank[resident.rank].push_back(found->second);
    }
    PlannedPool& pool = pools->pools[found->second];
    pool.residents.push_back(r);
    pools->pool_of.push_back(found->second);
    pools->offset_in_slot.push_back(pool.stride);
    pool.stride += RoundToAlignment(flow.source->staged.graph.values[resident.value].spec.bytes());
    pool.bytes[0] = pool.stride;
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
  pools->of_run.clear();
  pools->writes_of.clear();
  pools->loads_of.clear();
  for (const PhaseRun& run : flow.runs) {
    pools->of_run.push_back(PoolsOf(*pools, run.reads, run.writes));
    pools->writes_of.push_back(PoolsOf(*pools, run.writes, {}));
  }
  pools->loads_of.resize(flow.source->schedule.stages);
  for (int p = 0; p < static_cast<int>(pools->pools.size()); ++p) {
    if (pools->pools[p].life == proto::LOADED) pools->loads_of[pools->pools[p].stages[0]].push_back(p);
  }
}

void Touch(int pool, int stage, int micro_batch, int instruction, Pools* pools) {
  Stay& stay = pools->pools[pool].At(stage, micro_batch);
  if (stay.begin < 0) stay.begin = instruction;
  stay.end = instruction;
}

void FindStays(const Flow& flow, const std::vector<Step>& list, Pools* pools) {
  for (int i = 0; i < static_cast<int>(list.size()); ++i) {
    const Step& step = list[i];
    if (step.kind == Instruction::LOAD) {
      for (int p : pools->loads_of[step.index]) Touch(p, step.index, step.micro_batch, i, pools);
    } else if (step.kind == Instruction::RUN) {
      for (int p : pools->of_run[step.index]) Touch(p, flow.runs[step.index].stage, step.micro_batch, i, pools);
    } else {
      const Transfer& transfer = flow.transfers[step.index];
      const int resident = step.kind == Instruction::SEND ? transfer.from : transfer.to;
      Touch(pools->pool_of[resident], flow.residents[resident].stage, step.micro_batch, i, pools);
    }
  }
}

// With grace, a slot is not given again until another value of the pool has been written elsewhere: a RUN that
// overwrites what the last SEND still reads would wait for a receiver that is late.
void Colour(bool grace, PlannedPool* pool) {
  std::vector<Stay*> stays;
  for (Stay& stay : pool->stays) {
    if (stay.begin >= 0) stays.push_back(&stay);
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

// Pools of stages of one rank with equal keys may become one; empty: a pool that stays as it is. Runs are named by
// their phase, and what lives one by one by its number among the likes of it.
std::string ShareKey(const Flow& flow, const PlannedPool& pool, std::map<std::string, int>* likes) {
  if (pool.life == proto::SENT || pool.life == proto::LOADED || pool.life == proto::OUTPUT) return "";
  const Resident& resident = flow.residents[pool.residents[0]];
  std::string key = absl::StrCat(pool.rank, " ", pool.life);
  for (int r : pool.residents) {
    for (int run : flow.residents[r].readers) {
      if (flow.runs[run].stage != resident.stage) return "";
    }
  }
  for (int run : resident.writers) absl::StrAppend(&key, " w", flow.runs[run].phase);
  int last = 0;
  for (int run : resident.readers) last = std::max(last, static_cast<int>(flow.runs[run].phase));
  absl::StrAppend(&key, " r", last);
  return absl::StrCat(key, " #", (*likes)[absl::StrCat(resident.stage, " ", key)]++);
}

PlannedPool Joined(const std::vector<PlannedPool>& pools, const std::vector<int>& members) {
  PlannedPool joined = pools[members[0]];
  for (size_t m = 1; m < members.size(); ++m) {
    const PlannedPool& pool = pools[members[m]];
    absl::StrAppend(&joined.name, " and ", pool.stages[0]);
    joined.stages.push_back(pool.stages[0]);
    joined.bytes.push_back(pool.bytes[0]);
    joined.residents.insert(joined.residents.end(), pool.residents.begin(), pool.residents.end());
    joined.stride = std::max(joined.stride, pool.stride);
    joined.stays.insert(joined.stays.end(), pool.stays.begin(), pool.stays.end());
  }
  return joined;
}

// Joins the pools of a rank's stages where that takes fewer bytes.
void Share(const Flow& flow, Pools* pools) {
  std::map<std::string, std::vector<int>> alike;
  std::map<std::string, int> likes;
  for (int p = 0; p < static_cast<int>(pools->pools.size()); ++p) {
    const std::string key = ShareKey(flow, pools->pools[p], &likes);
    if (!key.empty()) alike[key].push_back(p);
  }
  std::vector<PlannedPool> before = std::move(pools->pools);
  std::map<int, PlannedPool> joined;  // by first member
  std::set<int> gone;
  for (const auto& [key, members] : alike) {
    if (members.size() < 2) continue;
    PlannedPool one = Joined(before, members);
    Colour(/*grace=*/false, &one);
    uint64_t apart = 0;
    for (int p : members) {
      Colour(/*grace=*/false, &before[p]);
      apart += before[p].stride * before[p].slots;
    }
    if (one.stride * one.slots >= apart) continue;
    gone.insert(members.begin() + 1, members.end());
    joined.emplace(members[0], std::move(one));
  }
  pools->pools.clear();
  for (std::vector<int>& of_rank : pools->of_rank) of_rank.clear();
  for (int p = 0; p < static_cast<int>(before.size()); ++p) {
    if (gone.contains(p)) continue;
    const auto found = joined.find(p);
    PlannedPool& pool =
        pools->pools.emplace_back(found != joined.end() ? std::move(found->second) : std::move(before[p]));
    std::vector<int>& of_rank = pools->of_rank[pool.rank];
    pool.index = static_cast<int>(of_rank.size());
    of_rank.push_back(static_cast<int>(pools->pools.size()) - 1);
    for (int r : pool.residents) pools->pool_of[r] = of_rank.back();
  }
}

// Bytes of a rank that may go into slots which let a sender run ahead of a late receiver, as a share of its pools.
constexpr uint64_t kGraceShare = 32;

void GiveSlots(const std::vector<int>& of_rank, Pools* pools) {
  uint64_t bytes = 0;
  for (int p : of_rank) {
    Colour(/*grace=*/false, &pools->pools[p]);
    bytes += pools->pools[p].stride * pools->pools[p].slots;
  }
  uint64_t budget = bytes / kGraceShare;
  for (int p : of_rank) {
    PlannedPool& pool = pools->pools[p];
    if (pool.life != proto::SENT || pool.stride > budget) continue;
    const int slots = pool.slots;
    Colour(/*grace=*/true, &pool);
    budget -= std::min(budget, pool.stride * (pool.slots - slots));
  }
}

}  // namespace

Stay& PlannedPool::At(int stage, int micro_batch) {
  const size_t part = std::find(stages.begin(), stages.end(), stage) - stages.begin();
  return stays[(part == stages.size() ? 0 : part) * (stays.size() / stages.size()) + micro_batch];
}

Pools PlanPools(const Flow& flow, const std::vector<std::vector<Step>>& lists) {
  Pools pools;
  Group(flow, &pools);
  IndexRuns(flow, &pools);
  for (const std::vector<Step>& list : lists) FindStays(flow, list, &pools);
  for (PlannedPool& pool : pools.pools) {
    if (pool.life != proto::OUTPUT) continue;
    for (Stay& stay : pool.stays) stay.end = static_cast<int>(lists[pool.rank].size()) - 1;
  }
  Share(flow, &pools);
  IndexRuns(flow, &pools);
  for (const std::vector<int>& of_rank : pools.of_rank) GiveSlots(of_rank, &pools);
  return pools;
}

}  // namespace millrace
