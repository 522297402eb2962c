#include "partitioner/lower/flow.h"

#include <algorithm>
#include <map>

namespace millrace {
namespace {

// A node phase on a stage.
using Use = std::pair<int, proto::Phase>;

void SortUnique(std::vector<int>* list) {
  std::sort(list->begin(), list->end());
  list->erase(std::unique(list->begin(), list->end()), list->end());
}

class FlowMaker {
 public:
  FlowMaker(const ProgramSource& source, double instruction_seconds)
      : source_(source), graph_(source.staged.graph), instruction_seconds_(instruction_seconds) {
    flow_.source = &source;
  }

  Flow Make() {
    MakeRuns();
    FindUses();
    for (int v = 0; v < static_cast<int>(graph_.values.size()); ++v) {
      const GraphValue& value = graph_.values[v];
      if (uses_[v].empty() || v == source_.staged.loss_sum || v == source_.staged.loss_count) continue;
      if (value.kind == GraphValue::Kind::kInput) Load(v);
      if (value.kind == GraphValue::Kind::kActivation) Keep(v);
    }
    for (PhaseRun& run : flow_.runs) {
      SortUnique(&run.reads);
      SortUnique(&run.writes);
    }
    return std::move(flow_);
  }

 private:
  void MakeRuns() {
    flow_.run_of.resize(source_.schedule.stages);
    for (auto& phases : flow_.run_of) phases.fill(-1);
    for (const std::vector<Action>& rank : source_.schedule.ranks) {
      for (const Action& action : rank) flow_.run_of[action.stage][action.phase] = 0;
    }
    for (int s = 0; s < source_.schedule.stages; ++s) {
      for (proto::Phase phase : {proto::F, proto::R, proto::B, proto::W, proto::BW}) {
        if (flow_.run_of[s][phase] < 0) continue;
        flow_.run_of[s][phase] = static_cast<int>(flow_.runs.size());
        PhaseRun& run = flow_.runs.emplace_back();
        run.stage = s;
        run.phase = phase;
        run.seconds = run.seconds_shared = instruction_seconds_;
      }
    }
    for (int n = 0; n < static_cast<int>(graph_.nodes.size()); ++n) {
      if (IsView(graph_, graph_.nodes[n])) continue;
      for (int stage : ReplicasOf(source_.staged.stage_of_node[n])) {
        for (int r : RunsOf({stage, graph_.nodes[n].phase})) {
          flow_.runs[r].nodes.push_back(n);
          flow_.runs[r].seconds += source_.costs[n].seconds[flow_.RankOf(stage)];
          flow_.runs[r].seconds_shared += source_.costs[n].seconds_shared[flow_.RankOf(stage)];
        }
      }
    }
  }

  // The stages that stand for a stage of the graph and have anything to run.
  std::vector<int> ReplicasOf(int stage) const {
    std::vector<int> replicas;
    for (int s = stage; s < stage + source_.schedule.ReplicasOf(stage); ++s) {
      const auto& runs = flow_.run_of[s];
      if (std::any_of(runs.begin(), runs.end(), [](int run) { return run >= 0; })) replicas.push_back(s);
    }
    return replicas;
  }

  void FindUses() {
    uses_.resize(graph_.values.size());
    made_.assign(graph_.values.size(), {-1, proto::F});
    for (int n = 0; n < static_cast<int>(graph_.nodes.size()); ++n) {
      const GraphNode& node = graph_.nodes[n];
      if (IsView(graph_, node)) continue;
      const Use use = {source_.staged.stage_of_node[n], node.phase};
      for (int v : node.inputs) {
        if (v >= 0) uses_[graph_.Root(v)].push_back(use);
      }
      for (int v : node.outputs) {
        if (v >= 0) made_[graph_.Root(v)] = use;
      }
    }
    if (graph_.logits >= 0) {
      const int root = graph_.Root(graph_.logits);
      uses_[root].push_back(made_[root]);
    }
    for (std::vector<Use>& uses : uses_) {
      std::sort(uses.begin(), uses.end());
      uses.erase(std::unique(uses.begin(), uses.end()), uses.end());
    }
  }

  // The runs in which nodes of that phase of the stage are executed.
  std::vector<int> RunsOf(const Use& use) const {
    std::vector<int> runs;
    const auto& of = flow_.run_of[use.first];
    if (of[use.second] >= 0) runs.push_back(of[use.second]);
    if ((use.second == proto::B || use.second == proto::W) && of[proto::BW] >= 0) runs.push_back(of[proto::BW]);
    return runs;
  }

  // Are both always executed by the same RUN?
  bool SameRun(const Use& a, const Use& b) const {
    if (a == b) return true;
    if (a.first != b.first) return false;
    for (proto::Phase phase : {proto::F, proto::R}) {
      if (a.second == phase || b.second == phase) return false;
    }
    const auto& of = flow_.run_of[a.first];
    return of[proto::B] < 0 && of[proto::W] < 0;
  }

  int AddResident(int value, int stage, proto::Life life) {
    Resident& resident = flow_.residents.emplace_back();
    resident.value = value;
    resident.rank = flow_.RankOf(stage);
    resident.stage = stage;
    resident.life = life;
    return static_cast<int>(flow_.residents.size()) - 1;
  }

  void AddReader(int resident, const Use& use) {
    flow_.resident_at[{use.first, flow_.residents[resident].value}] = resident;
    for (int r : RunsOf(use)) {
      flow_.residents[resident].readers.push_back(r);
      flow_.runs[r].reads.push_back(resident);
    }
  }

  // Inputs are loaded by every stage that reads them.
  void Load(int v) {
    std::map<int, int> by_stage;
    for (const Use& use : uses_[v]) {
      for (int stage : ReplicasOf(use.first)) {
        const auto [found, is_new] = by_stage.emplace(stage, -1);
        if (is_new) found->second = AddResident(v, stage, proto::LOADED);
        AddReader(found->second, {stage, use.second});
      }
    }
  }

  void Keep(int v) {
    if (!source_.schedule.first_replica.empty()) return KeepInReplicas(v);
    const Use made = made_[v];
    const bool output = graph_.logits >= 0 && graph_.Root(graph_.logits) == v;
    if (!output && std::all_of(uses_[v].begin(), uses_[v].end(), [&](const Use& u) { return SameRun(made, u); }))
      return;
    const int home = AddResident(v, made.first, output ? proto::OUTPUT : LifeOf(v));
    flow_.resident_at[{made.first, v}] = home;
    for (int r : RunsOf(made)) {
      flow_.residents[home].writers.push_back(r);
      flow_.runs[r].writes.push_back(home);
    }
    std::map<int, std::vector<Use>> by_rank;
    for (const Use& use : uses_[v]) by_rank[flow_.RankOf(use.first)].push_back(use);
    for (const auto& [rank, uses] : by_rank) {
      if (rank != flow_.residents[home].rank) {
        Receive(v, home, uses);
        continue;
      }
      for (const Use& use : uses) {
        if (use != made) AddReader(home, use);
      }
      Alias(home, made.first, uses);
    }
  }

  // Every replica of the stage that makes it keeps its own; every replica of a stage that uses it gets it from
  // whichever has the micro-batch. A rank has one stage then.
  void KeepInReplicas(int v) {
    const Use made = made_[v];
    const bool output = graph_.logits >= 0 && graph_.Root(graph_.logits) == v;
    if (!output && std::all_of(uses_[v].begin(), uses_[v].end(), [&](const Use& u) { return SameRun(made, u); }))
      return;
    std::vector<int> homes;
    for (int stage : ReplicasOf(made.first)) {
      homes.push_back(AddResident(v, stage, output ? proto::OUTPUT : LifeOf(v)));
      flow_.resident_at[{stage, v}] = homes.back();
      for (int r : RunsOf({stage, made.second})) {
        flow_.residents[homes.back()].writers.push_back(r);
        flow_.runs[r].writes.push_back(homes.back());
      }
    }
    std::map<int, std::vector<Use>> by_stage;
    for (const Use& use : uses_[v]) by_stage[use.first].push_back(use);
    for (const auto& [stage, uses] : by_stage) {
      if (stage != made.first) {
        ReceiveInReplicas(v, homes, stage, uses);
        continue;
      }
      for (const Use& use : uses) {
        if (use == made) continue;
        for (int home : homes) AddReader(home, {flow_.residents[home].stage, use.second});
      }
    }
  }

  void ReceiveInReplicas(int v, const std::vector<int>& homes, int stage, const std::vector<Use>& uses) {
    const bool backward = made_[v].second != proto::F || stage < made_[v].first;
    for (int to : ReplicasOf(stage)) {
      const int received = AddResident(v, to, proto::RECEIVED);
      for (const Use& use : uses) AddReader(received, {to, use.second});
      for (int home : homes) {
        const int from = flow_.residents[home].stage;
        if (!EverMeet(from, to)) continue;
        for (int r : flow_.residents[home].writers) flow_.runs[r].transfers.push_back(flow_.transfers.size());
        flow_.transfers.push_back(
            {home, received, from, to, backward, static_cast<uint64_t>(graph_.values[v].spec.bytes())});
      }
    }
  }

  // Do two stages take a micro-batch in common?
  bool EverMeet(int a, int b) const {
    for (int m = 0; m < source_.schedule.micro_batches; ++m) {
      if (source_.schedule.Takes(a, m) && source_.schedule.Takes(b, m)) return true;
    }
    return false;
  }

  void Receive(int v, int home, const std::vector<Use>& uses) {
    const int from = flow_.residents[home].stage;
    // Activations are first needed by the earliest stage, gradients by the latest.
    const bool backward = made_[v].second != proto::F || uses.back().first < from;
    const int to = backward ? uses.back().first : uses.front().first;
    const int received = AddResident(v, to, proto::RECEIVED);
    for (const Use& use : uses) AddReader(received, use);
    Alias(received, to, uses);
    for (int r : flow_.residents[home].writers) flow_.runs[r].transfers.push_back(flow_.transfers.size());
    flow_.transfers.push_back(
        {home, received, from, to, backward, static_cast<uint64_t>(graph_.values[v].spec.bytes())});
  }

  void Alias(int resident, int from, const std::vector<Use>& uses) {
    int last = -1;
    for (const Use& use : uses) {
      if (use.first == from || use.first == last) continue;
      last = use.first;
      flow_.aliases.push_back({resident, from, last, last < from});
    }
  }

  // A stash when the same stage reads it later; what only others read is on its way.
  proto::Life LifeOf(int v) const {
    const Use made = made_[v];
    bool in_r = false, in_b = false, in_w = false;
    for (const Use& use : uses_[v]) {
      if (use.first != made.first || SameRun(made, use)) continue;
      const bool apart = use.second == proto::W && flow_.run_of[use.first][proto::W] >= 0;
      (use.second == proto::R ? in_r : apart ? in_w : in_b) = true;
    }
    if (!in_r && !in_b && !in_w) return proto::SENT;
    if (made.second == proto::B) return proto::STASH_BW;
    if (made.second == proto::R) return proto::STASH_RB;
    return in_w ? proto::STASH_FW : in_b ? proto::STASH_FB : proto::STASH_FR;
  }

  const ProgramSource& source_;
  const Graph& graph_;
  const double instruction_seconds_;
  Flow flow_;
  std::vector<std::vector<Use>> uses_;  // by root: stages and phases of the calls that read it
  std::vector<Use> made_;               // by root
};

}  // namespace

int Flow::ResidentAt(int stage, int root) const {
  const auto found = resident_at.find({stage, root});
  return found == resident_at.end() ? -1 : found->second;
}

double WeightStashShare(const Flow& flow) {
  double held = 0, held_to_w = 0;
  for (const Resident& resident : flow.residents) {
    bool backward = false, weight = false;
    for (int r : resident.readers) {
      const PhaseRun& run = flow.runs[r];
      if (flow.RankOf(run.stage) != resident.rank || run.phase == proto::F) continue;
      backward = true;
      weight |= run.phase == proto::W;
    }
    const double bytes = static_cast<double>(flow.source->staged.graph.values[resident.value].spec.bytes());
    const bool made_by_backward = resident.life == proto::STASH_BW;
    if (backward && !made_by_backward && resident.life != proto::SENT) held += bytes;
    if (weight) held_to_w += bytes;
  }
  return held > 0 ? held_to_w / held : 0;
}

Flow FlowOf(const ProgramSource& source, double instruction_seconds) {
  return FlowMaker(source, instruction_seconds).Make();
}

}  // namespace millrace
