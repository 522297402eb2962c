#include "runtime/job/parity.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <tuple>
#include <type_traits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kernels/dtype.h"
#include "proto/status_macros.h"
#include "runtime/checkpoint/tensor_source.h"
#include "runtime/data/open.h"
#include "runtime/job/evaluate.h"
#include "runtime/job/plan_facts.h"
#include "runtime/job/ranks.h"
#include "runtime/job/training_step.h"
#include "runtime/plan/plan.h"

namespace millrace {
namespace {

constexpr uint64_t kNotComparable = std::numeric_limits<uint64_t>::max();
constexpr int kDifferencesShown = 12;

template <typename T, typename U>
uint64_t Ulps(T a, T b) {
  const U bits_a = std::bit_cast<U>(a), bits_b = std::bit_cast<U>(b);
  if (bits_a == bits_b) return 0;
  if (std::isnan(a) || std::isnan(b)) return kNotComparable;
  // Maps the bits to integers in the order of the numbers, -0 just below +0.
  constexpr U kSign = U{1} << (sizeof(U) * 8 - 1);
  const U order_a = bits_a & kSign ? ~bits_a : bits_a | kSign;
  const U order_b = bits_b & kSign ? ~bits_b : bits_b | kSign;
  return order_a > order_b ? order_a - order_b : order_b - order_a;
}

enum class Kind { kLoss, kGradient, kWeight };

// A tensor as one plan computed it.
struct Recorded {
  proto::DataType dtype = proto::F32;
  std::vector<char> bytes;
};
// By step (from 1), kind and name: the order in which things happen, the same for both plans.
using Key = std::tuple<int, Kind, std::string>;
using RecordedRun = std::map<Key, Recorded>;

std::string What(const Key& key) {
  switch (std::get<Kind>(key)) {
    case Kind::kLoss:
      return absl::StrCat("loss of step ", std::get<int>(key));
    case Kind::kGradient:
      return absl::StrCat("gradient of step ", std::get<int>(key));
    default:
      return absl::StrCat("weight after step ", std::get<int>(key));
  }
}

absl::Status RecordTensors(const proto::ExecutionPlan& plan, int step, bool weights, Ranks* ranks,
                           RecordedRun* recording) {
  for (int i = 0; i < plan.parameters_size(); ++i) {
    const proto::PlannedParameter& parameter = plan.parameters(i);
    if (parameter.constant() || parameter.places_size() == 0) continue;
    const int owner = static_cast<int>(parameter.places(0).rank());
    MR_ASSIGN_OR_RETURN(const uint64_t bytes, TensorBytes(parameter.type()));
    if (parameter.trainable()) {
      Recorded gradient{proto::F32, std::vector<char>(bytes / SizeOf(parameter.type().dtype()) * sizeof(float))};
      // The reference backend keeps accumulators in F64 when everything is.
      if (parameter.type().dtype() == proto::F64) gradient = {proto::F64, std::vector<char>(bytes)};
      // Of sharded ones every replica has its part.
      for (int rank : RanksAt(plan, owner)) {
        MR_RETURN_IF_ERROR(ranks->worker(rank).ReadGradient(i, gradient.bytes.data(), gradient.bytes.size()));
      }
      (*recording)[{step, Kind::kGradient, parameter.name()}] = std::move(gradient);
    }
    if (!weights) continue;
    Recorded weight{parameter.type().dtype(), std::vector<char>(bytes)};
    for (int rank : RanksAt(plan, owner)) {
      MR_RETURN_IF_ERROR(ranks->worker(rank).ReadParameter(i, weight.bytes.data(), bytes));
    }
    (*recording)[{step, Kind::kWeight, parameter.name()}] = std::move(weight);
  }
  return absl::OkStatus();
}

Recorded Scalar(double value) {
  Recorded recorded{proto::F64, std::vector<char>(sizeof(value))};
  std::memcpy(recorded.bytes.data(), &value, sizeof(value));
  return recorded;
}

absl::StatusOr<RecordedRun> Record(const proto::ExecutionPlan& plan, const proto::JobConfig& config,
                                 const ParityOptions& options, const DataSource& data) {
  RanksOptions ranks_options;
  ranks_options.device_kind = options.device_kind;
  ranks_options.threads = static_cast<int>(config.threads());
  ranks_options.seed = config.seed();
  ranks_options.open_device = options.open_device;
  MR_ASSIGN_OR_RETURN(const std::unique_ptr<Ranks> ranks, Ranks::Start(plan, ranks_options));
  MR_RETURN_IF_ERROR(ranks->Each([](Seat& seat) {
    seat.worker->KeepGradients(true);
    absl::Status status = seat.worker->InitializeParameters();
    return status.ok() ? seat.worker->PrepareWeights() : status;
  }));
  ranks->SetFeed(FeedOf(data, plan, *FindProgram(plan, "train")));
  RecordedRun recording;
  std::vector<StepResult> results(ranks->size());
  for (int step = 0; step < options.steps; ++step) {
    const StepSettings settings = SettingsOf(config, step, step);
    MR_RETURN_IF_ERROR(ranks->Each([&](Seat& seat) -> absl::Status {
      MR_ASSIGN_OR_RETURN(results[seat.rank], seat.worker->TrainStep(settings));
      return absl::OkStatus();
    }));
    recording[{step + 1, Kind::kLoss, "sum"}] = Scalar(results[0].loss_sum);
    recording[{step + 1, Kind::kLoss, "count"}] = Scalar(results[0].loss_count);
    recording[{step + 1, Kind::kLoss, "gradient norm"}] = Scalar(results[0].gradient_norm);
    MR_RETURN_IF_ERROR(RecordTensors(plan, step + 1, step + 1 == options.steps, ranks.get(), &recording));
  }
  return recording;
}

template <typename T>
void CompareElements(const Recorded& a, const Recorded& b, ParityDifference* difference) {
  const uint64_t count = a.bytes.size() / sizeof(T);
  for (uint64_t i = 0; i < count; ++i) {
    T x, y;
    std::memcpy(&x, a.bytes.data() + i * sizeof(T), sizeof(T));
    std::memcpy(&y, b.bytes.data() + i * sizeof(T), sizeof(T));
    const uint64_t ulps = UlpDistance(x, y);
    if (ulps == 0) continue;
    if (difference->different++ == 0) {
      difference->first_element = i;
      difference->a = x;
      difference->b = y;
    }
    difference->max_ulps = std::max(difference->max_ulps, ulps);
  }
  difference->elements = count;
}

// Floats and doubles in ULPs; anything else (bf16, integers) byte by byte.
ParityDifference Compare(const Recorded& a, const Recorded& b) {
  ParityDifference difference;
  if (a.dtype == proto::F32) {
    CompareElements<float>(a, b, &difference);
  } else if (a.dtype == proto::F64) {
    CompareElements<double>(a, b, &difference);
  } else {
    difference.elements = a.bytes.size();
    for (uint64_t i = 0; i < a.bytes.size(); ++i) {
      if (a.bytes[i] != b.bytes[i] && difference.different++ == 0) difference.first_element = i;
    }
    difference.max_ulps = difference.different > 0 ? kNotComparable : 0;
  }
  return difference;
}

absl::Status CheckComparable(const proto::ExecutionPlan& a, const proto::ExecutionPlan& b) {
  const proto::Program* train_a = FindProgram(a, "train");
  const proto::Program* train_b = FindProgram(b, "train");
  if (train_a == nullptr || train_b == nullptr)
    return absl::InvalidArgumentError("a plan has no program named 'train'");
  const auto differ = [](absl::string_view what, const auto& x, const auto& y) {
    return absl::InvalidArgumentError(absl::StrCat("the plans cannot be compared: ", what, " is ", x, " in one and ", y,
                                                   " in the other; partition both for the same"));
  };
  if (a.model_hash() != b.model_hash()) return differ("the model", a.model_hash(), b.model_hash());
  if (a.optimizer() != b.optimizer()) return differ("the optimizer", a.optimizer(), b.optimizer());
  if (train_a->micro_batch_size() != train_b->micro_batch_size()) {
    return differ("the micro-batch", train_a->micro_batch_size(), train_b->micro_batch_size());
  }
  if (train_a->micro_batches() != train_b->micro_batches()) {
    return differ("the number of micro-batches", train_a->micro_batches(), train_b->micro_batches());
  }
  if (a.dp() != b.dp()) return differ("the number of replicas", a.dp(), b.dp());
  return absl::OkStatus();
}

}  // namespace

uint64_t UlpDistance(float a, float b) { return Ulps<float, uint32_t>(a, b); }
uint64_t UlpDistance(double a, double b) { return Ulps<double, uint64_t>(a, b); }

std::string ParityReport::ToString() const {
  if (equal()) return absl::StrFormat("equal, bit for bit: %d tensors, %d elements", tensors, elements);
  std::string text = absl::StrFormat("%d of %d tensors differ:", differences.size(), tensors);
  for (size_t i = 0; i < differences.size() && i < kDifferencesShown; ++i) {
    const ParityDifference& d = differences[i];
    const std::string ulps =
        d.max_ulps == kNotComparable ? "not comparable" : absl::StrCat("up to ", d.max_ulps, " ULPs");
    absl::StrAppendFormat(&text, "\n  %s, %s: %d of %d elements, %s; first at %d: %.17g and %.17g", d.what, d.tensor,
                          d.different, d.elements, ulps, d.first_element, d.a, d.b);
  }
  if (differences.size() > kDifferencesShown) {
    absl::StrAppend(&text, "\n  and ", differences.size() - kDifferencesShown, " more");
  }
  return text;
}

absl::StatusOr<ParityReport> CompareParity(const proto::ExecutionPlan& a, const proto::ExecutionPlan& b,
                                           const proto::JobConfig& config, const ParityOptions& options) {
  MR_RETURN_IF_ERROR(CheckComparable(a, b));
  DataNeeds needs;
  needs.inputs.assign(a.inputs().begin(), a.inputs().end());
  needs.vocabulary = VocabularyOf(a);
  needs.seed = config.seed();
  MR_ASSIGN_OR_RETURN(const DataSources data, OpenData(config.data(), needs));
  MR_ASSIGN_OR_RETURN(const RecordedRun of_a, Record(a, config, options, *data.train));
  MR_ASSIGN_OR_RETURN(const RecordedRun of_b, Record(b, config, options, *data.train));
  ParityReport report;
  for (const auto& [key, recorded] : of_a) {
    const auto other = of_b.find(key);
    if (other == of_b.end() || other->second.dtype != recorded.dtype ||
        other->second.bytes.size() != recorded.bytes.size()) {
      return absl::InternalError(
          absl::StrCat(What(key), ", ", std::get<std::string>(key), ": only one of the plans has it in this size"));
    }
    ParityDifference difference = Compare(recorded, other->second);
    ++report.tensors;
    report.elements += difference.elements;
    if (difference.different == 0) continue;
    difference.what = What(key);
    difference.tensor = std::get<std::string>(key);
    report.differences.push_back(std::move(difference));
  }
  if (of_a.size() != of_b.size())
    return absl::InternalError("the second plan has tensors that the first does not have");
  return report;
}

absl::Status CheckParity(const proto::ExecutionPlan& a, const proto::ExecutionPlan& b, const proto::JobConfig& config,
                         const ParityOptions& options) {
  MR_ASSIGN_OR_RETURN(const ParityReport report, CompareParity(a, b, config, options));
  return report.equal() ? absl::OkStatus() : absl::InternalError(report.ToString());
}

}  // namespace millrace
