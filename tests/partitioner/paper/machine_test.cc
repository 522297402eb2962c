// Shapes, rings and layers on a machine on paper.
#include "partitioner/paper/machine.h"

#include <gtest/gtest.h>

#include "partitioner/paper/layer_time.h"
#include "tests/partitioner/cost_graph/tables.h"

namespace millrace {
namespace {

TEST(Matmul, WavesAreWhole) {
  PaperDevice device;
  device.kernel_seconds = 0;
  // 12 x 9 tiles of 256 x 128 are one wave of 108; one column more is a second wave.
  const double one = MatmulSeconds(device, 12 * 256, 9 * 128, 8192);
  EXPECT_DOUBLE_EQ(one, 2.0 * 12 * 256 * 9 * 128 * 8192 / (312e12 * 0.71));
  EXPECT_DOUBLE_EQ(MatmulSeconds(device, 12 * 256, 9 * 128 + 1, 8192), 2 * one);
  EXPECT_DOUBLE_EQ(MatmulSeconds(device, 9 * 128, 12 * 256, 8192), one);  // the tile may lie the other way
  device.multiprocessors = 0;
  EXPECT_DOUBLE_EQ(MatmulSeconds(device, 1000, 1000, 8192), 2.0 * 1000 * 1000 * 8192 / (312e12 * 0.71));
}

TEST(Matmul, ThinOnesMoveBytes) {
  PaperDevice device;
  device.multiprocessors = 0;
  EXPECT_DOUBLE_EQ(MatmulSeconds(device, 1, 1, 1 << 20), 2 * (2.0 * (1 << 20) + 1) / 1.9e12 + 9e-6);
}

TEST(Collectives, Rings) {
  const PaperMachine machine;
  EXPECT_EQ(AllReduceSeconds(machine, 1e9, {.ranks = 1, .in_host = 1}), 0);
  EXPECT_DOUBLE_EQ(AllReduceSeconds(machine, 1e9, {.ranks = 8, .in_host = 8}), 2 * (7e9 / 8 / 270e9 + 7 * 1.6e-6));
  // Across hosts: one port for one member in each host, four for four.
  EXPECT_DOUBLE_EQ(AllGatherSeconds(machine, 1e9, {.ranks = 8, .in_host = 1}), 7e9 / 8 / 14.5e9 + 7 * 10e-6);
  EXPECT_DOUBLE_EQ(AllGatherSeconds(machine, 1e9, {.ranks = 8, .in_host = 4}), 7e9 / 8 / 58e9 + 3 * 1.6e-6 + 10e-6);
}

TEST(Layer, ShardsAndRecomputation) {
  const Transformer model = {.layers = 1, .hidden = 6144, .heads = 64, .sequence = 2048, .vocabulary = 51200};
  const PaperMachine machine;
  const PhaseSeconds whole = LayerSeconds(model, machine, 4, 1, ActivationRecompute::kNone);
  const PhaseSeconds shard = LayerSeconds(model, machine, 4, 8, ActivationRecompute::kNone);
  EXPECT_EQ(whole.tensor_parallel, 0);
  EXPECT_GT(shard.forward, whole.forward / 8);
  EXPECT_LT(shard.forward, whole.forward / 4);
  EXPECT_GT(shard.tensor_parallel, 0);
  const PhaseSeconds full = LayerSeconds(model, machine, 4, 8, ActivationRecompute::kFull);
  EXPECT_DOUBLE_EQ(full.backward_input, shard.backward_input + shard.forward);
  EXPECT_DOUBLE_EQ(full.tensor_parallel, 1.5 * shard.tensor_parallel);
  const PhaseSeconds selective = LayerSeconds(model, machine, 4, 8, ActivationRecompute::kSelective);
  EXPECT_GT(selective.backward_input, shard.backward_input);
  EXPECT_LT(selective.backward_input, full.backward_input);
}

// Another paper's machine of the same make and newer programs, which nothing was fitted to: within a fifth.
TEST(ReferenceTables, KorthikantiLayerTimes) {
  const std::string reference = ReferenceFolder();
  if (reference.empty()) GTEST_SKIP() << "MILLRACE_SHARED names no folder of reference tables";
  int compared = 0;
  for (const Row& row : ReadTable(reference + "/tables/korthikanti.csv")) {
    if (row.at("kind") != "one_layer") continue;
    const std::string& technique = row.at("technique");
    if (technique.find("sequence") != std::string::npos) continue;  // the same volume in the model
    const Transformer model = {.layers = 1, .hidden = 6144, .heads = 64, .sequence = 2048, .vocabulary = 51200};
    const ActivationRecompute recompute = technique == "full recompute"        ? ActivationRecompute::kFull
                                          : technique == "selective recompute" ? ActivationRecompute::kSelective
                                                                               : ActivationRecompute::kNone;
    const PhaseSeconds seconds = LayerSeconds(model, PaperMachine(), 4, 8, recompute);
    EXPECT_NEAR(1e3 * seconds.forward / std::stod(row.at("layer_forward_ms")), 1, 0.2) << technique;
    const double backward = 1e3 * (seconds.backward_input + seconds.backward_weight);
    EXPECT_NEAR(backward / std::stod(row.at("layer_backward_ms")), 1, 0.2) << technique;
    ++compared;
  }
  EXPECT_EQ(compared, 3);
}

}  // namespace
}  // namespace millrace
