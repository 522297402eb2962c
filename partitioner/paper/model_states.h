// Bytes of parameters, gradients and optimizer state for mixed-precision Adam (Rajbhandari et al., ZeRO, section 3.1
// and table 1): 2 bytes of parameter, 2 of gradient and K = 12 of float32 copy and moments for each parameter.
#ifndef PARTITIONER_PAPER_MODEL_STATES_H_
#define PARTITIONER_PAPER_MODEL_STATES_H_

namespace millrace {

// On each of `replicas` ranks. Level 0 replicates everything: 16 P. 1 shards the optimizer state: (4 + 12 / N) P. 2 the
// gradients too: (2 + 14 / N) P. 3 the parameters too: 16 P / N. REQUIRES: level from 0 to 3, replicas >= 1.
double ModelStateBytes(double parameters, double replicas, int level);

}  // namespace millrace

#endif  // PARTITIONER_PAPER_MODEL_STATES_H_
