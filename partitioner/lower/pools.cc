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
    pool.stride += RoundUp(flow.source->staged.graph.values[resident.value].spec.bytes());
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

bool IsStash(proto::Life life) {
  return life == proto::STASH_FB || life == proto::STASH_FW || life == proto::STASH_BW || life == proto::STASH_FR ||
         life == proto::STASH_RB;
}

// May other stages of the rank have slots of the pool? Not where another stage reads what lies there.
bool MayShare(const Flow& flow, const PlannedPool& pool) {
  if (!IsStash(pool.life) && pool.life != proto::RECEIVED) return false;
  for (int r : pool.residents) {
    for (int run : flow.residents[r].readers) {
      if (flow.runs[run].stage != pool.stages[0]) return false;
    }
  }
  return true;
}

// An instruction names one slot of a pool, so a stage has one part in it.
bool MayJoin(const PlannedPool& a, const PlannedPool& b) {
  if (IsStash(a.life) != IsStash(b.life)) return false;
  return std::none_of(a.stages.begin(), a.stages.end(),
                      [&](int stage) { return std::find(b.stages.begin(), b.stages.end(), stage) != b.stages.end(); });
}

PlannedPool Joined(const PlannedPool& a, const PlannedPool& b) {
  PlannedPool joined = a;
  absl::StrAppend(&joined.name, " and ", b.name);
  joined.stages.insert(joined.stages.end(), b.stages.begin(), b.stages.end());
  joined.bytes.insert(joined.bytes.end(), b.bytes.begin(), b.bytes.end());
  joined.residents.insert(joined.residents.end(), b.residents.begin(), b.residents.end());
  joined.stride = std::max(joined.stride, b.stride);
  joined.stays.insert(joined.stays.end(), b.stays.begin(), b.stays.end());
  Colour(/*grace=*/false, &joined);
  return joined;
}

uint64_t BytesOf(const PlannedPool& pool) { return pool.stride * pool.slots; }

// Pools of a rank that are looked at: pairs of them are.
constexpr size_t kMostShared = 64;

// Joins, one pair after the other, the two of a rank's pools that take the most bytes fewer as one.
void JoinBest(std::vector<PlannedPool> pools, std::vector<PlannedPool>* result) {
  std::vector<std::vector<int64_t>> saved(pools.size(), std::vector<int64_t>(pools.size(), 0));  // [a][b], a < b
  std::vector<bool> gone(pools.size(), false);
  const auto look = [&](size_t a, size_t b) {
    saved[a][b] = 0;
    if (gone[a] || gone[b] || !MayJoin(pools[a], pools[b])) return;
    saved[a][b] = static_cast<int64_t>(BytesOf(pools[a]) + BytesOf(pools[b])) -
                  static_cast<int64_t>(BytesOf(Joined(pools[a], pools[b])));
  };
  for (size_t a = 0; a < pools.size(); ++a) {
    for (size_t b = a + 1; b < pools.size(); ++b) look(a, b);
  }
  for (;;) {
    size_t best_a = 0, best_b = 0;
    int64_t most = 0;
    for (size_t a = 0; a < pools.size(); ++a) {
      for (size_t b = a + 1; b < pools.size(); ++b) {
        if (saved[a][b] <= most) continue;
        most = saved[a][b];
        best_a = a;
        best_b = b;
      }
    }
    if (most == 0) break;
    pools[best_a] = Joined(pools[best_a], pools[best_b]);
    gone[best_b] = true;
    for (size_t other = 0; other < pools.size(); ++other) {
      if (other != best_a) look(std::min(other, best_a), std::max(other, best_a));
      if (other != best_b) look(std::min(other, best_b), std::max(other, best_b));
    }
  }
  for (size_t p = 0; p < pools.size(); ++p) {
    if (!gone[p]) result->push_back(std::move(pools[p]));
  }
}

// Joins pools of a rank's stages where that takes fewer bytes: equal chunks that take turns, and what one stage holds
// from F to B with what another holds from B to W, of which there is most when few of the first are left.
void Share(const Flow& flow, Pools* pools) {
  std::vector<PlannedPool> before = std::move(pools->pools), after;
  for (std::vector<int>& of_rank : pools->of_rank) {
    std::vector<PlannedPool> shared;
    for (int p : of_rank) {
      Colour(/*grace=*/false, &before[p]);
      const bool may = MayShare(flow, before[p]) && shared.size() < kMostShared;
      (may ? shared : after).push_back(std::move(before[p]));
    }
    JoinBest(std::move(shared), &after);
    of_rank.clear();
  }
  // In the order in which the first of their values are made.
  std::stable_sort(after.begin(), after.end(),
                   [](const PlannedPool& a, const PlannedPool& b) { return a.residents[0] < b.residents[0]; });
  for (PlannedPool& pool : after) {
    std::vector<int>& of_rank = pools->of_rank[pool.rank];
    pool.index = static_cast<int>(of_rank.size());
    of_rank.push_back(static_cast<int>(pools->pools.size()));
    for (int r : pool.residents) pools->pool_of[r] = of_rank.back();
    pools->pools.push_back(std::move(pool));
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
