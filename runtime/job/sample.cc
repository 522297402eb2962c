#include "runtime/job/sample.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "kernels/dtype.h"
#include "kernels/op_desc.h"
#include "kernels/random.h"
#include "proto/status_macros.h"
#include "runtime/job/agree.h"
#include "runtime/job/plan_facts.h"
#include "runtime/plan/plan.h"

namespace millrace {
namespace {

constexpr int64_t kBytes = 256;

// Where the scores of the `logits` program are and how they lie.
struct Scores {
  int rank = 0;
  std::string name;
  TensorSpec spec;
  int64_t length = 0;  // T
};

absl::StatusOr<Scores> FindScores(const proto::ExecutionPlan& plan) {
  const proto::Program* program = FindProgram(plan, "logits");
  if (program == nullptr || program->outputs_size() == 0 || !HasTokens(plan)) {
    return absl::FailedPreconditionError("the plan has no 'logits' program over tokens; text cannot be sampled");
  }
  const proto::ProgramOutput& output = program->outputs(0);
  Scores scores;
  scores.rank = output.rank();
  scores.name = output.name();
  scores.spec = TensorSpec::Of(program->stages(output.stage()).values(output.value()).type());
  scores.length = TokensPerSample(plan);
  if (scores.spec.rows() != scores.length * program->micro_batch_size() || SizeOf(scores.spec.dtype) == 0 ||
      !IsFloat(scores.spec.dtype)) {
    return absl::FailedPreconditionError(absl::StrCat("the scores ", scores.spec.ToString(),
                                                      " are not one row for each of ", program->micro_batch_size(),
                                                      " x ", scores.length, " tokens"));
  }
  return scores;
}

double ElementAt(const Scores& scores, const std::vector<char>& memory, int64_t element) {
  const char* at = memory.data() + element * SizeOf(scores.spec.dtype);
  if (scores.spec.dtype == proto::F64) return *reinterpret_cast<const double*>(at);
  if (scores.spec.dtype == proto::BF16) return static_cast<float>(*reinterpret_cast<const BFloat16*>(at));
  return *reinterpret_cast<const float*>(at);
}

// Every sample of the batch is the same window; whatever else the program loads is zero.
LoadFn FeedWindow(const std::vector<int64_t>& window) {
  return [&window](const proto::Input& input, uint64_t, uint32_t, void* memory, uint64_t bytes) {
    std::memset(memory, 0, bytes);
    const uint64_t step = window.size() * sizeof(int64_t);
    if (input.role() != proto::Input::TOKENS) return absl::OkStatus();
    for (uint64_t at = 0; at + step <= bytes; at += step) {
      std::memcpy(static_cast<char*>(memory) + at, window.data(), step);
    }
    return absl::OkStatus();
  };
}

}  // namespace

int DrawFromScores(const std::vector<double>& scores, double temperature, double uniform) {
  const int best = static_cast<int>(std::max_element(scores.begin(), scores.end()) - scores.begin());
  if (temperature <= 0) return best;
  double sum = 0;
  std::vector<double> weights;
  for (double score : scores) sum += weights.emplace_back(std::exp((score - scores[best]) / temperature));
  double left = uniform * sum;
  for (int i = 0; i < weights.size(); ++i) {
    if ((left -= weights[i]) < 0) return i;
  }
  return best;
}

absl::StatusOr<std::string> SampleText(const proto::ExecutionPlan& plan, const SampleOptions& options, Ranks* ranks) {
  MR_ASSIGN_OR_RETURN(const Scores scores, FindScores(plan));
  if (scores.spec.columns() < kBytes) {
    return absl::FailedPreconditionError(
        absl::StrCat("the model has ", scores.spec.columns(), " ids, and text needs one for each of 256 bytes"));
  }
  const Philox random(options.seed, RandomKey("sample"), 0, 0);
  std::string text = options.prompt.empty() ? "\n" : options.prompt;
  std::vector<int64_t> window(scores.length);
  std::vector<char> memory(scores.spec.bytes());
  ranks->SetFeed(FeedWindow(window));
  for (uint32_t i = 0; i < options.bytes; ++i) {
    const int64_t used = std::min<int64_t>(text.size(), scores.length);
    std::fill(window.begin(), window.end(), 0);
    // The model is causal: what stands after the last byte does not change its scores.
    for (int64_t k = 0; k < used; ++k) window[k] = static_cast<unsigned char>(text[text.size() - used + k]);
    MR_RETURN_IF_ERROR(ranks->Each([&](Seat& seat) -> absl::Status {
      seat.whereabouts->Begin("logits", 0);
      MR_RETURN_IF_ERROR(seat.worker->RunForward("logits", i).status());
      seat.whereabouts->Between("after a sample");
      if (seat.rank != scores.rank) return absl::OkStatus();
      return seat.worker->ReadOutput("logits", scores.name, memory.data(), memory.size());
    }));
    std::vector<uint8_t> drawn(ranks->size(), 0);
    if (ranks->is_here(scores.rank)) {
      std::vector<double> row(kBytes);
      for (int64_t k = 0; k < kBytes; ++k) row[k] = ElementAt(scores, memory, (used - 1) * scores.spec.columns() + k);
      drawn[scores.rank] = static_cast<uint8_t>(DrawFromScores(row, options.temperature, random.Uniform(i)));
    }
    MR_RETURN_IF_ERROR(Share(ranks, &drawn));
    text.push_back(static_cast<char>(drawn[scores.rank]));
  }
  return text;
}

}  // namespace millrace
