#include "partitioner/search/slower.h"

#include <array>

#include "absl/strings/str_format.h"

namespace millrace {
namespace {

struct Part {
  const char* name;
  double StepSeconds::*seconds;
};
constexpr std::array<Part, 5> kParts = {{{"compute", &StepSeconds::compute},
                                         {"all-reduces of tensor parallelism", &StepSeconds::tensor_parallel},
                                         {"bubble", &StepSeconds::bubble},
                                         {"reduction over replicas", &StepSeconds::reduction},
                                         {"optimizer", &StepSeconds::optimizer}}};

const Part* Worst(const StepSeconds& own, const StepSeconds& best) {
  const Part* worst = nullptr;
  double most = 0;
  for (const Part& part : kParts) {
    const double loss = own.*part.seconds - best.*part.seconds;
    if (loss <= most) continue;
    most = loss;
    worst = &part;
  }
  return worst;
}

std::string Duration(double seconds) {
  return seconds >= 1 ? absl::StrFormat("%.2f s", seconds) : absl::StrFormat("%.3f ms", 1e3 * seconds);
}

}  // namespace

double StepSeconds::*LargestLoss(const StepSeconds& own, const StepSeconds& best) {
  const Part* worst = Worst(own, best);
  return worst == nullptr ? nullptr : worst->seconds;
}

std::string SlowerText(const StepSeconds& own, const StepSeconds& best) {
  const Part* worst = Worst(own, best);
  if (worst == nullptr) return "as fast; it comes later in the order of the search";
  return absl::StrFormat("%.1f %% slower: %s %s (answer: %s)", 100 * (own.step / best.step - 1), worst->name,
                         Duration(own.*worst->seconds), Duration(best.*worst->seconds));
}

}  // namespace millrace
