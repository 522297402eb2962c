// The formulas against the figures their papers print.
#include "partitioner/paper/transformer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "partitioner/paper/model_states.h"
#include "tests/partitioner/cost_graph/tables.h"

namespace millrace {
namespace {

using ::testing::HasSubstr;

constexpr Transformer kTrillion = {.layers = 128, .hidden = 25600, .heads = 160, .sequence = 2048, .vocabulary = 51200};

Transformer Model(const Row& row) {
  return {.layers = std::stoll(row.at("layers")),
          .hidden = std::stoll(row.at("hidden")),
          .heads = std::stoll(row.at("heads")),
          .sequence = 2048,
          .vocabulary = 51200};
}

double Number(const Row& row, const std::string& column) { return std::stod(row.at(column)); }

TEST(Transformer, OneTrillion) {
  EXPECT_EQ(CheckTransformer(kTrillion), absl::OkStatus());
  EXPECT_EQ(Parameters(kTrillion), 1008038707200);
  EXPECT_NEAR(HardwareFlops(kTrillion, 3072, ActivationRecompute::kFull) / 5.13905e19, 1, 1e-5);
  EXPECT_NEAR(ModelFlops(kTrillion, 512) / 6.42588e18, 1, 1e-5);
}

TEST(Transformer, ActivationsOfALayer) {
  // Korthikanti, figure 1 and section 4: 34 s b h and 5 a s / h, at a = 128, h = 20480, s = 2048: 64.
  constexpr Transformer m = {.layers = 105, .hidden = 20480, .heads = 128, .sequence = 2048, .vocabulary = 51200};
  const double tokens = 2048.0 * 20480;
  EXPECT_EQ(LayerActivationBytes(m, 1, 1, false, ActivationRecompute::kNone), tokens * (34 + 64));
  EXPECT_EQ(LayerActivationBytes(m, 2, 8, false, ActivationRecompute::kNone), 2 * tokens * (10 + 3 + 8));
  EXPECT_EQ(LayerActivationBytes(m, 1, 8, true, ActivationRecompute::kNone), tokens * (34.0 / 8 + 8));
  EXPECT_EQ(LayerActivationBytes(m, 1, 8, true, ActivationRecompute::kSelective), tokens * 34 / 8);
  EXPECT_EQ(LayerActivationBytes(m, 1, 8, true, ActivationRecompute::kFull), tokens * 2);
}

Transformer Llama(int64_t layers, int64_t hidden, int64_t heads, int64_t key_heads, int64_t mlp, int64_t words) {
  return {.layers = layers,
          .hidden = hidden,
          .heads = heads,
          .sequence = 2048,
          .vocabulary = words,
          .family = TransformerFamily::kLlama,
          .key_value_heads = key_heads,
          .mlp = mlp,
          .tied = false};
}

// The published counts: 7B, 65B of the first Llama, 70B of the second, 8B of the third.
TEST(Transformer, Llamas) {
  EXPECT_EQ(Parameters(Llama(32, 4096, 32, 32, 11008, 32000)), 6738415616);
  EXPECT_EQ(Parameters(Llama(80, 8192, 64, 64, 22016, 32000)), 65285660672);
  EXPECT_EQ(Parameters(Llama(80, 8192, 64, 8, 28672, 32000)), 68976648192);
  EXPECT_EQ(Parameters(Llama(32, 4096, 32, 8, 14336, 128256)), 8030261248);
}

// A Llama with GPT's shapes computes what the GPT computes: 2 h^2 + 2 h k + 3 h f = 12 h^2 at k = h, f = 8 h / 3.
TEST(Transformer, LlamaFlops) {
  Transformer gpt = {.layers = 4, .hidden = 384, .heads = 4, .sequence = 128, .vocabulary = 1000};
  Transformer llama = Llama(4, 384, 4, 4, 1024, 1000);
  llama.sequence = 128;
  for (ActivationRecompute recompute :
       {ActivationRecompute::kNone, ActivationRecompute::kSelective, ActivationRecompute::kFull}) {
    EXPECT_EQ(HardwareFlops(llama, 8, recompute), HardwareFlops(gpt, 8, recompute));
  }
  const double tokens = 128.0 * 384;
  EXPECT_EQ(LayerActivationBytes(llama, 1, 1, false, ActivationRecompute::kSelective), tokens * (12 + 4 + 16));
  EXPECT_EQ(LayerActivationBytes(llama, 1, 4, true, ActivationRecompute::kNone),
            (tokens * 32 + 2 * 4 * 128.0 * 128) / 4);
}

TEST(Transformer, NonsenseIsNamed) {
  EXPECT_THAT(CheckTransformer(Llama(2, 64, 8, 3, 128, 100)).message(),
              HasSubstr("3 heads of keys do not divide the 8"));
  EXPECT_THAT(CheckTransformer(Llama(2, 64, 8, 4, 0, 100)).message(), HasSubstr("mlp is 0"));
  Transformer m = kTrillion;
  m.heads = 161;
  EXPECT_THAT(CheckTransformer(m).message(), HasSubstr("161 heads do not divide the hidden size 25600"));
  m.layers = 0;
  EXPECT_THAT(CheckTransformer(m).message(), HasSubstr("layers is 0"));
}

TEST(ReferenceTables, TenParameterCountsAndFlops) {
  const std::string reference = ReferenceFolder();
  if (reference.empty()) GTEST_SKIP() << "MILLRACE_SHARED names no folder of reference tables";
  const std::vector<Row> rows = ReadTable(reference + "/tables/sc21_table1.csv");
  ASSERT_EQ(rows.size(), 10u);
  for (const Row& row : rows) {
    const Transformer model = Model(row);
    EXPECT_NEAR(Parameters(model) / 1e9, Number(row, "params_billion_published"), 0.0505);
    EXPECT_EQ(Parameters(model), Number(row, "params_from_formula"));
    const double flops = HardwareFlops(model, Number(row, "global_batch_sequences"), ActivationRecompute::kFull);
    EXPECT_NEAR(flops / Number(row, "flops_per_iteration_formula"), 1, 1e-5);
  }
}

TEST(ReferenceTables, KorthikantiUtilisation) {
  const std::string reference = ReferenceFolder();
  if (reference.empty()) GTEST_SKIP() << "MILLRACE_SHARED names no folder of reference tables";
  int compared = 0;
  for (const Row& row : ReadTable(reference + "/tables/korthikanti.csv")) {
    if (row.at("kind") != "end_to_end") continue;
    const Transformer model = Model(row);
    const double batch = Number(row, "global_batch_sequences");
    const double peak = Number(row, "gpus") * 312e12 * Number(row, "iteration_s_present_work");
    EXPECT_NEAR(100 * ModelFlops(model, batch) / peak, Number(row, "mfu_percent_published"), 0.2);
    EXPECT_NEAR(100 * HardwareFlops(model, batch, ActivationRecompute::kSelective) / peak,
                Number(row, "hfu_percent_published"), 0.2);
    ++compared;
  }
  EXPECT_EQ(compared, 4);
}

TEST(ModelStates, PublishedCorners) {
  EXPECT_EQ(ModelStateBytes(7.5e9, 64, 0), 120e9);
  EXPECT_EQ(ModelStateBytes(7.5e9, 64, 1), 31.40625e9);
  EXPECT_EQ(ModelStateBytes(7.5e9, 64, 2), 16.640625e9);
  EXPECT_EQ(ModelStateBytes(7.5e9, 64, 3), 1.875e9);
}

TEST(ReferenceTables, AllZeroCells) {
  const std::string reference = ReferenceFolder();
  if (reference.empty()) GTEST_SKIP() << "MILLRACE_SHARED names no folder of reference tables";
  const std::vector<Row> rows = ReadTable(reference + "/tables/zero_memory.csv");
  ASSERT_EQ(rows.size(), 54u);
  for (const Row& row : rows) {
    const double gb = ModelStateBytes(Number(row, "psi_params"), Number(row, "n_data_parallel"),
                                      static_cast<int>(Number(row, "zero_stage"))) /
                      1e9;
    EXPECT_NEAR(gb, Number(row, "gb_exact_1e9_bytes"), 1e-6);
  }
}

}  // namespace
}  // namespace millrace
