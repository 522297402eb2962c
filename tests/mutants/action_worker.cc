#include "tests/mutants/action_worker.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <set>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/backends.h"
#include "partitioner/autodiff/differentiate.h"
#include "partitioner/cost/graph_costs.h"
#include "partitioner/cut/even.h"
#include "partitioner/graph/build_graph.h"
#include "partitioner/lower/recompute.h"
#include "partitioner/rewrite/rewrite.h"
#include "proto/status_macros.h"
#include "runtime/worker/initialize.h"

namespace millrace {
namespace {

using Kind = GraphValue::Kind;

// Zeroed, aligned as an arena is.
class Bytes {
 public:
  explicit Bytes(uint64_t bytes) : size_(bytes), memory_(std::aligned_alloc(256, (bytes + 256) / 256 * 256)) {
    std::memset(memory_, 0, bytes);
  }
  ~Bytes() { std::free(memory_); }
  Bytes(const Bytes&) = delete;
  Bytes& operator=(const Bytes&) = delete;

  char* data() const { return static_cast<char*>(memory_); }
  uint64_t size() const { return size_; }

 private:
  const uint64_t size_;
  void* const memory_;
};

}  // namespace

// A node's kernel on one rank.
struct ActionWorker::Call {
  std::unique_ptr<Kernel> kernel;
  std::unique_ptr<Bytes> scratch, packed;
};

// One rank's life in one Play.
class ActionWorker::RankThread {
 public:
  RankThread(ActionWorker& worker, Exchange& exchange, int rank, const std::vector<Action>& list)
      : worker_(worker), graph_(worker.staged_.graph), exchange_(exchange), rank_(rank), list_(list) {}

  void Run() {
    status_ = RunList();
    if (!status_.ok()) exchange_.Race(std::string(status_.message()));
    exchange_.Finish(rank_);
  }

  const absl::Status& status() const { return status_; }
  // The accumulator's or metric's bytes, nullptr when nothing was added.
  const char* Sum(int value) const {
    const auto found = sums_.find(value);
    return found == sums_.end() ? nullptr : found->second->data();
  }

 private:
  absl::Status RunList() {
    MR_ASSIGN_OR_RETURN(stream_, worker_.devices_[rank_]->NewStream());
    for (const Action& action : list_) {
      MR_ASSIGN_OR_RETURN(const bool goes_on, RunAction(action));
      if (!goes_on) break;
    }
    return absl::OkStatus();
  }

  // False: the run is over.
  absl::StatusOr<bool> RunAction(const Action& action) {
    const std::vector<int> nodes = worker_.NodesOf(action.stage, action.phase);
    const bool waits = action.phase != proto::W && action.phase != proto::R;
    for (int n : nodes) {
      for (int v : graph_.nodes[n].inputs) {
        if (v >= 0 && waits && !Receive(action, graph_.Root(v))) return false;
      }
    }
    std::vector<int> made;
    for (int n : nodes) {
      MR_ASSIGN_OR_RETURN(const bool ran, RunNode(action, n, &made));
      if (!ran) return false;
    }
    for (int root : made) {
      for (int to : worker_.reader_ranks_[root]) {
        if (to == rank_) continue;
        const Bytes& bytes = *values_.at({root, action.micro_batch});
        exchange_.Send({to, root, action.micro_batch}, std::vector<char>(bytes.data(), bytes.data() + bytes.size()));
      }
    }
    return true;
  }

  // Waits for a value that another rank makes, unless it is here.
  bool Receive(const Action& action, int root) {
    const int maker = worker_.made_on_[root];
    if (maker < 0 || maker == action.stage || worker_.rank_of_stage_[maker] == rank_) return true;
    if (values_.count({root, action.micro_batch}) != 0) return true;
    const auto bytes = exchange_.Take(rank_, {rank_, root, action.micro_batch});
    if (!bytes.has_value()) return false;
    std::memcpy(NewValue(root, action.micro_batch), bytes->data(), bytes->size());
    return true;
  }

  absl::StatusOr<bool> RunNode(const Action& action, int n, std::vector<int>* made) {
    const GraphNode& node = graph_.nodes[n];
    std::vector<void*> inputs, outputs;
    for (int v : node.inputs) {
      MR_ASSIGN_OR_RETURN(void* memory, Input(v < 0 ? v : graph_.Root(v), action));
      if (v >= 0 && memory == nullptr) {
        exchange_.Race(absl::StrCat("rank ", rank_, ", ", action.ToString(), ": node ", node.name, " reads ",
                                    graph_.values[v].name, ", which is not there"));
        return false;
      }
      inputs.push_back(memory);
    }
    for (int v : node.outputs) outputs.push_back(v < 0 ? nullptr : Output(graph_.Root(v), action.micro_batch, made));
    MR_ASSIGN_OR_RETURN(Call * call, CallOf(n, inputs));
    KernelArgs args;
    args.inputs = inputs.data();
    args.outputs = outputs.data();
    args.scratch = call->scratch->data();
    args.packed = call->packed == nullptr ? nullptr : call->packed->data();
    args.key = {worker_.seed_, 0, static_cast<uint64_t>(action.micro_batch)};
    MR_RETURN_IF_ERROR(call->kernel->Run(*stream_, args));
    return true;
  }

  // nullptr: absent (-1), or not there.
  absl::StatusOr<void*> Input(int root, const Action& action) {
    void* const nothing = nullptr;
    if (root < 0) return nothing;
    const GraphValue& value = graph_.values[root];
    if (value.kind == Kind::kParameter) {
      if (!worker_.ranks_with_[value.parameter][rank_]) return nothing;
      return static_cast<void*>(worker_.parameters_[value.parameter].data());
    }
    const auto found = values_.find({root, action.micro_batch});
    if (found != values_.end()) return static_cast<void*>(found->second->data());
    if (value.kind != Kind::kInput) return nothing;
    const size_t at = std::find(graph_.inputs.begin(), graph_.inputs.end(), root) - graph_.inputs.begin();
    char* memory = NewValue(root, action.micro_batch);
    MR_RETURN_IF_ERROR(
        worker_.load_(graph_.model_inputs[at], 0, action.micro_batch, memory, graph_.values[root].spec.bytes()));
    return static_cast<void*>(memory);
  }

  void* Output(int root, int micro_batch, std::vector<int>* made) {
    const GraphValue& value = graph_.values[root];
    const bool metric = root == worker_.staged_.loss_sum || root == worker_.staged_.loss_count;
    if (value.kind != Kind::kAccumulator && !metric) {
      made->push_back(root);
      return NewValue(root, micro_batch);
    }
    std::unique_ptr<Bytes>& sum = sums_[root];
    if (sum == nullptr) sum = std::make_unique<Bytes>(value.spec.bytes());
    return sum->data();
  }

  char* NewValue(int root, int micro_batch) {
    std::unique_ptr<Bytes>& bytes = values_[{root, micro_batch}];
    bytes = std::make_unique<Bytes>(graph_.values[root].spec.bytes());
    return bytes->data();
  }

  absl::StatusOr<Call*> CallOf(int n, const std::vector<void*>& inputs) {
    std::unique_ptr<Call>& call = worker_.calls_[rank_][n];
    if (call != nullptr) return call.get();
    auto made = std::make_unique<Call>();
    MR_ASSIGN_OR_RETURN(made->kernel, worker_.devices_[rank_]->NewKernel(graph_.Desc(graph_.nodes[n])));
    const KernelNeeds& needs = made->kernel->needs();
    made->scratch = std::make_unique<Bytes>(needs.scratch_bytes);
    if (needs.packed_bytes > 0) {
      made->packed = std::make_unique<Bytes>(needs.packed_bytes);
      KernelArgs args;
      args.inputs = inputs.data();
      MR_RETURN_IF_ERROR(made->kernel->Pack(*stream_, args, made->packed->data()));
    }
    call = std::move(made);
    return call.get();
  }

  ActionWorker& worker_;
  const Graph& graph_;
  Exchange& exchange_;
  const int rank_;
  const std::vector<Action>& list_;
  absl::Status status_;
  std::unique_ptr<Stream> stream_;
  std::map<std::pair<int, int>, std::unique_ptr<Bytes>> values_;  // (root, micro-batch)
  std::map<int, std::unique_ptr<Bytes>> sums_;                    // accumulators and metrics, by value
};

ActionWorker::~ActionWorker() = default;

absl::StatusOr<std::unique_ptr<ActionWorker>> ActionWorker::Make(const proto::Model& model, const Schedule& schedule,
                                                                 int64_t micro_batch, uint64_t seed, LoadFn load) {
  std::unique_ptr<ActionWorker> worker(new ActionWorker);
  worker->rank_of_stage_ = schedule.rank_of_stage;
  worker->seed_ = seed;
  worker->load_ = std::move(load);
  for (int r = 0; r < static_cast<int>(schedule.ranks.size()); ++r) {
    MR_ASSIGN_OR_RETURN(worker->devices_.emplace_back(), OpenDevice("cpu", {.index = r, .threads = 1}));
  }
  MR_RETURN_IF_ERROR(worker->Stage(model, schedule, micro_batch));
  MR_RETURN_IF_ERROR(worker->FillParameters(seed));
  worker->FindReaders();
  worker->calls_.resize(schedule.ranks.size());
  for (auto& calls : worker->calls_) calls.resize(worker->staged_.graph.nodes.size());
  return worker;
}

absl::Status ActionWorker::Stage(const proto::Model& model, const Schedule& schedule, int64_t micro_batch) {
  MR_ASSIGN_OR_RETURN(const Graph checked, BuildGraph(model, micro_batch));
  MR_ASSIGN_OR_RETURN(const Graph rewritten, Rewrite(checked, Mode::kTrain));
  MR_ASSIGN_OR_RETURN(Graph graph, Differentiate(rewritten));
  proto::Cluster cluster;
  cluster.add_devices()->set_kind("cpu");
  const Chain chain = Linearise(graph, CostsOf(graph, CostModel(cluster, {}), 1));
  MR_ASSIGN_OR_RETURN(const Cut cut, EvenCut(chain, schedule.stages));
  staged_ = StageGraph(std::move(graph), StagesOfNodes(chain, cut));
  std::vector<StageRecompute> recompute(schedule.stages);
  for (const std::vector<Action>& list : schedule.ranks) {
    for (const Action& action : list) {
      if (action.phase == proto::R) recompute[action.stage].phase = proto::R;
    }
  }
  Recompute(recompute, &staged_);
  return absl::OkStatus();
}

absl::Status ActionWorker::FillParameters(uint64_t seed) {
  for (const GraphParameter& parameter : staged_.graph.parameters) {
    proto::PlannedParameter planned;
    planned.set_name(parameter.name);
    *planned.mutable_type() = parameter.spec.ToProto();
    *planned.mutable_initializer() = parameter.initializer;
    MR_ASSIGN_OR_RETURN(parameters_.emplace_back(), InitialValues(planned, seed));
  }
  return absl::OkStatus();
}

void ActionWorker::FindReaders() {
  const Graph& graph = staged_.graph;
  const size_t ranks = devices_.size();
  ranks_with_.assign(graph.parameters.size(), std::vector<bool>(ranks, false));
  made_on_.assign(graph.values.size(), -1);
  std::vector<std::set<int>> readers(graph.values.size());
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    if (IsView(graph, graph.nodes[n])) continue;
    const int stage = staged_.stage_of_node[n];
    for (int v : graph.nodes[n].outputs) {
      if (v >= 0) made_on_[graph.Root(v)] = stage;
    }
    for (int v : graph.nodes[n].inputs) {
      if (v < 0) continue;
      readers[graph.Root(v)].insert(rank_of_stage_[stage]);
      const int parameter = graph.values[graph.Root(v)].parameter;
      if (parameter >= 0) ranks_with_[parameter][rank_of_stage_[stage]] = true;
    }
  }
  reader_ranks_.resize(graph.values.size());
  for (size_t v = 0; v < graph.values.size(); ++v) {
    if (made_on_[v] < 0) continue;
    readers[v].erase(rank_of_stage_[made_on_[v]]);
    reader_ranks_[v].assign(readers[v].begin(), readers[v].end());
  }
}

std::vector<int> ActionWorker::NodesOf(int stage, proto::Phase phase) const {
  std::vector<int> nodes;
  for (size_t n = 0; n < staged_.graph.nodes.size(); ++n) {
    const GraphNode& node = staged_.graph.nodes[n];
    const bool backward = node.phase == proto::B || node.phase == proto::W;
    if (staged_.stage_of_node[n] != stage || IsView(staged_.graph, node)) continue;
    if (node.phase == phase || (phase == proto::BW && backward)) nodes.push_back(static_cast<int>(n));
  }
  return nodes;
}

bool ActionWorker::Adds(int stage, proto::Phase phase) const {
  for (int n : NodesOf(stage, phase)) {
    if (staged_.graph.nodes[n].op == "Accumulate") return true;
    for (int v : staged_.graph.nodes[n].outputs) {
      if (v >= 0 && staged_.graph.values[v].kind == Kind::kAccumulator) return true;
    }
  }
  return false;
}

bool ActionWorker::Sends(int stage, proto::Phase phase) const {
  for (int n : NodesOf(stage, phase)) {
    for (int v : staged_.graph.nodes[n].outputs) {
      if (v >= 0 && !reader_ranks_[staged_.graph.Root(v)].empty()) return true;
    }
  }
  return false;
}

absl::StatusOr<Played> ActionWorker::Play(const Schedule& lists) {
  Exchange exchange(static_cast<int>(devices_.size()));
  std::vector<std::unique_ptr<RankThread>> ranks;
  std::vector<std::thread> threads;
  for (size_t r = 0; r < devices_.size(); ++r) {
    ranks.push_back(std::make_unique<RankThread>(*this, exchange, static_cast<int>(r), lists.ranks[r]));
  }
  for (auto& rank : ranks) threads.emplace_back([&rank] { rank->Run(); });
  for (std::thread& thread : threads) thread.join();
  for (auto& rank : ranks) MR_RETURN_IF_ERROR(rank->status());
  Played played{.outcome = exchange.outcome(), .why = exchange.why()};
  if (played.outcome != Outcome::kFinished) return played;
  double metric[2] = {0, 0};
  for (int i : {0, 1}) {
    const int value = i == 0 ? staged_.loss_sum : staged_.loss_count;
    const char* sum = ranks[rank_of_stage_[made_on_[value]]]->Sum(value);
    if (sum != nullptr) std::memcpy(&metric[i], sum, sizeof(double));
  }
  played.loss = metric[0] / metric[1];
  for (size_t p = 0; p < staged_.graph.parameters.size(); ++p) {
    const GraphParameter& parameter = staged_.graph.parameters[p];
    if (!parameter.accumulators.empty()) played.gradients[parameter.name] = GradientOf(static_cast<int>(p), ranks);
  }
  return played;
}

// ((g0 + g1) + g2) + ... over the places, in graph order, as REDUCE does.
std::vector<float> ActionWorker::GradientOf(int parameter,
                                            const std::vector<std::unique_ptr<RankThread>>& ranks) const {
  const GraphParameter& p = staged_.graph.parameters[parameter];
  std::vector<float> total(p.spec.elements(), 0), part;
  bool first = true;
  for (int value : p.accumulators) {
    const char* sum = ranks[rank_of_stage_[made_on_[value]]]->Sum(value);
    part.assign(total.size(), 0);
    if (sum != nullptr) std::memcpy(part.data(), sum, part.size() * 4);
    for (size_t i = 0; i < total.size(); ++i) total[i] = first ? part[i] : total[i] + part[i];
    first = false;
  }
  return total;
}

}  // namespace millrace
