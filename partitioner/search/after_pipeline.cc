#include "partitioner/search/after_pipeline.h"

#include "partitioner/paper/model_states.h"

namespace millrace {
namespace {

constexpr double kOptimizerTraffic = 24;

}  // namespace

double ReductionSeconds(const PaperMachine& machine, double parameters, const RankGroup& replicas, int sharding,
                        int64_t micro_batches) {
  const double times = static_cast<double>(micro_batches);
  const double scatter = AllGatherSeconds(machine, kGradientBytes * parameters, replicas);
  const double gather = AllGatherSeconds(machine, kParameterBytes * parameters, replicas);
  const double seconds = sharding == 0 ? 2 * scatter : (sharding >= 2 ? times : 1) * scatter + gather;
  return sharding == 3 ? seconds + (2 * times * gather - gather) : seconds;
}

double OptimizerSeconds(const PaperMachine& machine, double parameters, int64_t replicas, int sharding) {
  const double updated = parameters / (sharding >= 1 ? static_cast<double>(replicas) : 1);
  return kOptimizerTraffic * updated / machine.device.bytes_per_second;
}

double StateBytes(double parameters, int64_t replicas, int sharding) {
  const double members = static_cast<double>(replicas);
  // ModelStateBytes counts 2-byte gradients; they accumulate in float32 here.
  const double wider = (kGradientBytes - 2) * parameters / (sharding >= 2 ? members : 1);
  return ModelStateBytes(parameters, members, sharding) + wider;
}

}  // namespace millrace
