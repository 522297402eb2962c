#include "tests/partitioner/lower/partitioning.h"

#include "absl/strings/str_cat.h"
#include "partitioner/graph/builder.h"

namespace millrace {

absl::StatusOr<KernelNeeds> MadeUpNeeds(const OpDesc& desc) {
  KernelNeeds needs;
  needs.scratch_bytes = desc.op.size() % 3 == 0 ? 0 : 100 * desc.op.size() + 1;
  if (desc.attributes.Int("packed", 0) == 1) {
    needs.packed_bytes = desc.input(1).bytes() + 100;
    needs.pack_key = absl::StrCat(desc.op, desc.input(1).ToString(), desc.attributes.Int("transB", 0));
  }
  return needs;
}

PartitionOptions OptionsFor(int pp, int64_t micro_batches, const std::string& schedule) {
  PartitionOptions options;
  for (int i = 0; i < pp; ++i) {
    proto::ClusterDevice& device = *options.cluster.add_devices();
    device.set_name(absl::StrCat("reference:", i));
    device.set_kind("reference");
  }
  options.pp = pp;
  options.micro_batch = 2;
  options.micro_batches = micro_batches;
  options.schedule = schedule;
  return options;
}

proto::Model ThreeReaders() {
  GraphBuilder b("three readers");
  const std::string in = b.Input("features", {-1, 6}, proto::F32, proto::Input::FEATURES);
  const std::string labels = b.Input("labels", {-1}, proto::I64, proto::Input::LABELS);
  const std::string x = b.Linear("first", in, 6, 8);
  std::string y = x;
  for (int i = 0; i < 3; ++i) y = b.Add(b.Tanh(b.Linear(absl::StrCat("layer", i), y, 8, 8)), x);
  b.Logits(b.Linear("head", y, 8, 5));
  b.SoftmaxCrossEntropy("head.add", labels);
  return b.Finish().value();
}

proto::Model TiedLayers() {
  GraphBuilder b("tied");
  const std::string in = b.Input("features", {-1, 8}, proto::F32, proto::Input::FEATURES);
  const std::string labels = b.Input("labels", {-1}, proto::I64, proto::Input::LABELS);
  const std::string tied = b.Parameter("tied", {8, 8}, Normal(0.5));
  const std::string frozen = b.Parameter("frozen", {8, 8}, Normal(0.5), /*trainable=*/false);
  std::string x = b.Tanh(b.MatMul(in, tied));
  x = b.Relu(b.MatMul(x, frozen));
  x = b.Tanh(b.MatMul(b.Linear("middle", x, 8, 8), tied));
  x = b.Relu(b.MatMul(b.Linear("late", x, 8, 8), frozen));
  x = b.MatMul(x, tied);
  b.SoftmaxCrossEntropy(x, labels);
  return b.Finish().value();
}

proto::Model Views() {
  GraphBuilder b("views");
  const std::string tokens = b.Input("tokens", {-1, 2, 3}, proto::I64, proto::Input::TOKENS);
  const std::string labels = b.Input("labels", {-1, 1, 6}, proto::I64, proto::Input::LABELS);
  const std::string flat = b.Reshape(tokens, {0, 6});
  std::string x = b.Gather(b.Parameter("embed", {11, 8}, Normal(0.5)), flat);
  const std::string folded = b.Reshape(x, {0, 12, 4});
  x = b.Tanh(b.Linear("a", folded, 4, 4));
  x = b.Add(x, b.Reshape(b.Parameter("shift", {2, 2}, Normal(0.5)), {4}));
  x = b.Add(b.Linear("b", x, 4, 4), folded);
  x = b.Reshape(x, {0, 6, 8});
  x = b.Add(b.Tanh(b.Linear("c", x, 8, 8)), b.Gather(b.Parameter("late", {11, 8}, Normal(0.5)), flat));
  x = b.Add(x, b.Reshape(b.Gather(b.Parameter("later", {11, 8}, Normal(0.5)), tokens), {0, 6, 8}));
  const std::string scores = b.Named("scores").MatMul(x, b.Parameter("head", {8, 5}, Normal(0.5)));
  b.Logits(b.Reshape(scores, {0, 30}));
  b.SoftmaxCrossEntropy(scores, b.Reshape(labels, {0, 6}));
  return b.Finish().value();
}

Schedule SplitBackward(const std::vector<int>& rank_of_stage, int ranks, int micro_batches) {
  Schedule schedule{.stages = static_cast<int>(rank_of_stage.size()), .micro_batches = micro_batches};
  schedule.rank_of_stage = rank_of_stage;
  schedule.ranks.resize(ranks);
  for (int s = 0; s < schedule.stages; ++s) {
    for (int m = 0; m < micro_batches; ++m) schedule.ranks[rank_of_stage[s]].push_back({s, proto::F, m});
  }
  for (int s = schedule.stages - 1; s >= 0; --s) {
    for (int m = 0; m < micro_batches; ++m) schedule.ranks[rank_of_stage[s]].push_back({s, proto::B, m});
  }
  for (int s = 0; s < schedule.stages; ++s) {
    for (int m = 0; m < micro_batches; ++m) schedule.ranks[rank_of_stage[s]].push_back({s, proto::W, m});
  }
  return schedule;
}

}  // namespace millrace
