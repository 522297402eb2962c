#include "partitioner/rewrite/rewrite.h"

#include <utility>

#include "partitioner/rewrite/passes.h"

namespace millrace {

absl::StatusOr<Graph> Rewrite(const Graph& graph, Mode mode) {
  Graph g = graph;
  if (mode == Mode::kLogits) {
    if (g.logits < 0) {
      return absl::FailedPreconditionError(
          "the model names no logits, so there is no logits program; set `logits` in the model");
    }
    g.loss = g.count = -1;
  } else {
    g.logits = -1;
  }
  g = Tidy(std::move(g));
  g = RemoveIdentities(std::move(g), /*all_dropout=*/mode != Mode::kTrain);
  g = FormMatMuls(std::move(g), /*pack=*/mode != Mode::kLogits);
  g = JoinLinearCrossEntropy(std::move(g));
  g = AbsorbEpilogues(std::move(g));
  g = PackAttention(std::move(g));
  g = MarkViews(std::move(g));
  if (mode == Mode::kTrain) g = InsertForks(std::move(g));
  return g;
}

}  // namespace millrace
