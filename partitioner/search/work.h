// What each stage of a configuration does, holds and sends, from the paper model.
#ifndef PARTITIONER_SEARCH_WORK_H_
#define PARTITIONER_SEARCH_WORK_H_

#include <cstdint>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "partitioner/paper/layer_time.h"
#include "partitioner/paper/machine.h"
#include "partitioner/paper/transformer.h"
#include "partitioner/search/configuration.h"
#include "partitioner/search/links.h"

namespace millrace {

// Of one stage (a chunk), on one tensor-parallel rank, of one micro-batch.
struct StageWork {
  int64_t layers = 0;
  PhaseSeconds seconds;
  double parameters = 0;    // this rank's share
  double stash_bytes = 0;   // from F to B
  double weight_bytes = 0;  // of those, until W
};

struct StagesWork {
  std::vector<StageWork> stages;  // chunk c of rank r is stage c * p + r
  double output_bytes = 0;        // of the logits, on the last rank while a micro-batch is there
  double layer_parameters = 0;    // of one layer, this rank's share
  double remade_bytes = 0;        // full recomputation: one layer's activations, while B runs
};

// Layers divide evenly; what remains goes to the middle stages first, then to the first, which holds the token and
// position tables, last to the last one, which has the output matrix (tied, so a copy) and the loss. Keeps what layers
// cost; not for two threads at once.
class WorkModel {
 public:
  WorkModel(const Transformer& model, const PaperMachine& machine) : model_(model), machine_(machine) {}

  // REQUIRES: at most as many stages as layers. Both results hold until the next call, and are quick when asked again
  // for what differs in schedule, sharding or placement only.
  const StagesWork& WorkOf(const Configuration& configuration);
  const LinkUse& LinksFor(const Configuration& configuration);

  const Transformer& model() const { return model_; }
  const PaperMachine& machine() const { return machine_; }

 private:
  using WorkKey = std::tuple<int64_t, int64_t, int64_t, int64_t, ActivationRecompute, bool>;
  using LinkKey = std::tuple<int64_t, int64_t, int64_t>;

  StagesWork MakeWork(const Configuration& configuration);
  const PhaseSeconds& Layer(const Configuration& configuration);
  const PhaseSeconds& Output(const Configuration& configuration);

  Transformer model_;
  PaperMachine machine_;
  absl::flat_hash_map<std::tuple<int64_t, int64_t, ActivationRecompute>, PhaseSeconds> layers_;
  absl::flat_hash_map<std::tuple<int64_t, int64_t>, PhaseSeconds> outputs_;
  std::pair<WorkKey, StagesWork> last_work_;
  std::pair<LinkKey, LinkUse> last_links_[2];  // by placement
};

}  // namespace millrace

#endif  // PARTITIONER_SEARCH_WORK_H_
