#include "tests/parity/run_plan.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/synchronization/mutex.h"
#include "kernels/backends.h"
#include "kernels/dtype.h"
#include "kernels/random.h"
#include "partitioner/local.h"
#include "proto/status_macros.h"
#include "proto/text_proto.h"
#include "runtime/comm/communicator.h"
#include "runtime/plan/op_descs.h"
#include "runtime/plan/verify.h"

namespace millrace {
namespace {

int64_t Elements(const proto::PlannedParameter& parameter) {
  int64_t n = 1;
  for (int64_t d : parameter.type().dims()) n *= d;
  return n;
}

// One rank's life, on its own thread.
class RankRun {
 public:
  RankRun(const proto::ExecutionPlan& plan, const RunOptions& options, int rank, Communicator* communicator)
      : plan_(plan), options_(options), rank_(rank), communicator_(communicator) {}

  absl::Status Run() {
    MR_RETURN_IF_ERROR(Begin());
    for (int step = 0; step < options_.steps; ++step) {
      if (step + 1 == options_.steps) worker_->KeepGradients(true);
      StepSettings settings;
      settings.step = step;
      settings.optimizer_step = step + 1;
      settings.learning_rate = options_.learning_rate;
      settings.weight_decay = options_.weight_decay;
      settings.clip_norm = options_.clip_norm;
      settings.momentum = 0.9;
      MR_ASSIGN_OR_RETURN(const StepResult result, worker_->TrainStep(settings));
      if (rank_ == 0) {
        result_.losses.push_back(result.loss_sum / result.loss_count);
        result_.norms.push_back(result.gradient_norm);
        result_.count = result.loss_count;
      }
    }
    MR_RETURN_IF_ERROR(worker_->AppendSpans(0, &result_.trace));
    return End();
  }

  RunResult& result() { return result_; }

 private:
  absl::Status Begin() {
    const DeviceOptions device{.index = rank_, .threads = options_.threads};
    MR_ASSIGN_OR_RETURN(device_, options_.open_device ? options_.open_device(options_.device, rank_, device)
                                                      : OpenDevice(options_.device, device));
    MR_RETURN_IF_ERROR(communicator_->Attach(device_.get()));
    WorkerOptions worker;
    worker.rank = rank_;
    worker.device = device_.get();
    worker.communicator = communicator_;
    worker.load = options_.load ? options_.load : RandomTokens(16);
    worker.seed = options_.seed;
    worker.poison = options_.poison;
    MR_ASSIGN_OR_RETURN(worker_, Worker::Create(plan_, worker));
    MR_RETURN_IF_ERROR(worker_->InitializeParameters());
    for (int i = 0; i < plan_.parameters_size(); ++i) {
      const auto initial = options_.initial.find(plan_.parameters(i).name());
      if (initial == options_.initial.end()) continue;
      const absl::Status written = worker_->WriteParameter(i, initial->second.data(), initial->second.size() * 4);
      if (!written.ok() && !absl::IsNotFound(written)) return written;
    }
    return worker_->PrepareWeights();
  }

  absl::Status End() {
    for (int i = 0; i < plan_.parameters_size(); ++i) {
      const proto::PlannedParameter& parameter = plan_.parameters(i);
      if (parameter.constant()) continue;
      // Of a divided one only this replica's piece is filled in.
      MR_RETURN_IF_ERROR(ReadWeight(i, parameter));
      std::vector<float> values(Elements(parameter));
      absl::Status read;
      std::fill(values.begin(), values.end(), std::numeric_limits<float>::quiet_NaN());
      read = worker_->ReadGradient(i, values.data(), values.size() * 4);
      if (read.ok()) result_.gradients[parameter.name()] = values;
      if (!read.ok() && !absl::IsNotFound(read)) return read;
    }
    return absl::OkStatus();
  }

  // All of them NaN before, whatever the type.
  absl::Status ReadWeight(int index, const proto::PlannedParameter& parameter) {
    const DType dtype = parameter.type().dtype();
    std::vector<char> bytes(Elements(parameter) * SizeOf(dtype), '\xff');
    const absl::Status read = worker_->ReadParameter(index, bytes.data(), bytes.size());
    if (!read.ok()) return absl::IsNotFound(read) ? absl::OkStatus() : read;
    std::vector<float>& values = result_.weights[parameter.name()];
    values.resize(Elements(parameter));
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] = dtype == proto::BF16  ? static_cast<float>(reinterpret_cast<const BFloat16*>(bytes.data())[i])
                  : dtype == proto::F16 ? static_cast<float>(reinterpret_cast<const _Float16*>(bytes.data())[i])
                                        : reinterpret_cast<const float*>(bytes.data())[i];
    }
    if (!IsHalf(dtype)) return absl::OkStatus();
    std::vector<float> master(values.size(), std::numeric_limits<float>::quiet_NaN());
    const int last = OptimizerStates(parameter, plan_.optimizer()) - 1;
    const absl::Status state = worker_->ReadState(index, last, master.data(), master.size() * sizeof(float));
    if (state.ok()) result_.masters[parameter.name()] = master;
    return state.ok() || absl::IsNotFound(state) ? absl::OkStatus() : state;
  }

  const proto::ExecutionPlan& plan_;
  const RunOptions& options_;
  const int rank_;
  Communicator* const communicator_;
  std::unique_ptr<Device> device_;
  std::unique_ptr<Worker> worker_;
  RunResult result_;
};

}  // namespace

PartitionOptions OptionsFor(const std::string& device, int pp) {
  PartitionOptions options;
  options.cluster.set_schema_version(kSchemaVersion);
  for (int i = 0; i < pp; ++i) {
    proto::ClusterDevice* d = options.cluster.add_devices();
    d->set_name(absl::StrCat(device, ":", i));
    d->set_kind(device);
    d->set_threads(1);
  }
  options.pp = pp;
  return options;
}

absl::StatusOr<proto::ExecutionPlan> PlanFor(const proto::Model& model, const PartitionOptions& options) {
  MR_ASSIGN_OR_RETURN(const KernelNeedsFn needs, NeedsOf(options.cluster.devices(0).kind()));
  MR_ASSIGN_OR_RETURN(proto::ExecutionPlan plan, Partition(model, options, needs));
  MR_RETURN_IF_ERROR(VerifyPlan(plan));
  return plan;
}

// Fills in what `whole` lacks (NaN). False where both have an element and its bits differ.
bool TakePieces(const std::vector<float>& piece, std::vector<float>* whole) {
  for (size_t i = 0; i < piece.size(); ++i) {
    if (std::isnan(piece[i])) continue;
    if (std::isnan((*whole)[i])) (*whole)[i] = piece[i];
    if (std::memcmp(&(*whole)[i], &piece[i], sizeof(float)) != 0) return false;
  }
  return true;
}

absl::StatusOr<RunResult> RunPlan(const proto::ExecutionPlan& plan, const RunOptions& options) {
  const int ranks = plan.ranks_size();
  const auto communicators = options.make_communicators ? options.make_communicators(ranks, options.communication)
                                                        : MakeInProcessCommunicators(ranks, options.communication);
  std::vector<std::unique_ptr<RankRun>> runs;
  for (int r = 0; r < ranks; ++r) {
    runs.push_back(std::make_unique<RankRun>(plan, options, r, communicators[r].get()));
  }
  absl::Mutex mutex;
  absl::Status first;
  std::vector<std::thread> threads;
  for (int r = 0; r < ranks; ++r) {
    threads.emplace_back([&, r] {
      const absl::Status status = runs[r]->Run();
      if (status.ok()) return;
      communicators[r]->Abort(status);
      absl::MutexLock lock(&mutex);
      first.Update(status);
    });
  }
  for (std::thread& thread : threads) thread.join();
  MR_RETURN_IF_ERROR(first);
  RunResult all = runs[0]->result();
  for (int r = 1; r < ranks; ++r) {
    // Copies of a tied weight on several ranks must agree; one that does not is kept under a name of its own.
    for (const auto& [name, values] : runs[r]->result().weights) {
      const auto [it, inserted] = all.weights.emplace(name, values);
      if (!inserted && !TakePieces(values, &it->second)) all.weights[absl::StrCat(name, " of rank ", r)] = values;
    }
    for (const auto& [name, values] : runs[r]->result().masters) {
      const auto [it, inserted] = all.masters.emplace(name, values);
      if (!inserted && !TakePieces(values, &it->second)) all.masters[absl::StrCat(name, " of rank ", r)] = values;
    }
    for (const auto& [name, values] : runs[r]->result().gradients) {
      std::vector<float>& whole = all.gradients.emplace(name, values).first->second;
      for (size_t i = 0; i < whole.size(); ++i) {
        if (std::isnan(whole[i])) whole[i] = values[i];
      }
    }
    all.trace.mutable_spans()->MergeFrom(runs[r]->result().trace.spans());
  }
  return all;
}

LoadFn RandomTokens(int64_t vocabulary, bool ignore_some) {
  return [vocabulary, ignore_some](const proto::Input& input, uint64_t step, uint32_t micro_batch, void* memory,
                                   uint64_t bytes) {
    const Philox random(99, RandomKey(input.name()), step, micro_batch);
    if (input.type().dtype() == proto::F32) {
      for (uint64_t i = 0; i < bytes / 4; ++i) static_cast<float*>(memory)[i] = 2 * random.Uniform(i) - 1;
      return absl::OkStatus();
    }
    for (uint64_t i = 0; i < bytes / 8; ++i) {
      const uint32_t word = random.Word(i);
      const bool ignored = ignore_some && input.role() == proto::Input::LABELS && word % 8 == 0;
      static_cast<int64_t*>(memory)[i] = ignored ? -100 : (word / 8) % vocabulary;
    }
    return absl::OkStatus();
  };
}

std::vector<std::string> Differences(const std::map<std::string, std::vector<float>>& a,
                                     const std::map<std::string, std::vector<float>>& b) {
  std::vector<std::string> out;
  for (const auto& [name, values] : a) {
    const auto other = b.find(name);
    if (other == b.end() || other->second.size() != values.size()) {
      out.push_back(absl::StrCat(name, ": only on one side"));
      continue;
    }
    for (size_t i = 0; i < values.size(); ++i) {
      if (std::memcmp(&values[i], &other->second[i], 4) == 0) continue;
      out.push_back(absl::StrFormat("%s[%d]: %.9g and %.9g", name, i, values[i], other->second[i]));
      break;
    }
  }
  for (const auto& [name, values] : b) {
    if (a.find(name) == a.end()) out.push_back(absl::StrCat(name, ": only on one side"));
  }
  return out;
}

}  // namespace millrace
