#include "partitioner/paper/model_states.h"

namespace millrace {

double ModelStateBytes(double parameters, double replicas, int level) {
  constexpr double kParameter = 2, kGradient = 2, kOptimizer = 12;
  return parameters * (kParameter / (level >= 3 ? replicas : 1) + kGradient / (level >= 2 ? replicas : 1) +
                       kOptimizer / (level >= 1 ? replicas : 1));
}

}  // namespace millrace
