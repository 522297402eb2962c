// Loss and gradients of one batch against an independent implementation (tests/golden, made by tools/golden).
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/str_cat.h"
#include "partitioner/graph/gpt2.h"
#include "partitioner/graph/llama.h"
#include "runtime/checkpoint/safetensors.h"
#include "tests/parity/run_plan.h"

namespace millrace {
namespace {

struct Golden {
  std::unique_ptr<SafetensorsFile> file;
  nlohmann::json config;

  explicit Golden(const std::string& kind) {
    auto opened = SafetensorsFile::Open(absl::StrCat("tests/golden/", kind, ".safetensors"));
    EXPECT_TRUE(opened.ok()) << opened.status();
    file = *std::move(opened);
    EXPECT_EQ(file->metadata().at("millrace.golden"), "1");
    config = nlohmann::json::parse(file->metadata().at("config"));
  }

  template <typename T>
  std::vector<T> Read(const std::string& name) const {
    const int tensor = file->Find(name);
    EXPECT_GE(tensor, 0) << name;
    uint64_t bytes = TensorBytes(file->tensors()[tensor].type).value();
    std::vector<T> values(bytes / sizeof(T));
    EXPECT_TRUE(file->Read(tensor, values.data(), bytes).ok());
    return values;
  }
};

absl::StatusOr<proto::Model> ModelOf(const std::string& kind, const Golden& golden, int64_t sequence) {
  const auto& c = golden.config;
  if (kind == "gpt2") {
    Gpt2Options o;
    o.layers = c["layers"];
    o.heads = c["heads"];
    o.width = c["width"];
    o.vocabulary = c["vocab"];
    o.context = c["context"];
    o.sequence = sequence;
    return MakeGpt2(o);
  }
  LlamaOptions o;
  o.layers = c["layers"];
  o.heads = c["heads"];
  o.kv_heads = c["kv_heads"];
  o.width = c["width"];
  o.hidden = c["hidden"];
  o.vocabulary = c["vocab"];
  o.context = c["context"];
  o.sequence = sequence;
  o.rope_theta = c["theta"];
  o.epsilon = c["epsilon"];
  return MakeLlama(o);
}

double Norm(const std::vector<float>& v, double scale = 1) {
  double sum = 0;
  for (float x : v) sum += double{x} * scale * (double{x} * scale);
  return std::sqrt(sum);
}

double Distance(const std::vector<float>& sum, double count, const std::vector<float>& mean) {
  double total = 0;
  for (size_t i = 0; i < mean.size(); ++i) {
    const double d = sum[i] / count - mean[i];
    total += d * d;
  }
  return std::sqrt(total);
}

struct Case {
  std::string kind, device;
  int pp;
};

class GoldenBatch : public testing::TestWithParam<Case> {};

TEST_P(GoldenBatch, LossAndGradientsAgree) {
  const Case& c = GetParam();
  const Golden golden(c.kind);
  const auto tokens = golden.Read<int64_t>("tokens");
  const auto labels = golden.Read<int64_t>("labels");
  const auto& dims = golden.file->tensors()[golden.file->Find("tokens")].type.dims();
  const auto model = ModelOf(c.kind, golden, dims[1]);
  ASSERT_TRUE(model.ok()) << model.status();

  // One sample per micro-batch: accumulation over micro-batches is part of what is compared.
  PartitionOptions options = OptionsFor(c.device, c.pp);
  options.micro_batch = 1;
  options.micro_batches = dims[0];
  const auto plan = PlanFor(*model, options);
  ASSERT_TRUE(plan.ok()) << plan.status();

  RunOptions run;
  run.device = c.device;
  run.load = [&](const proto::Input& input, uint64_t, uint32_t micro_batch, void* memory, uint64_t bytes) {
    const auto& from = input.role() == proto::Input::LABELS ? labels : tokens;
    std::memcpy(memory, from.data() + micro_batch * dims[1], bytes);
    return absl::OkStatus();
  };
  std::vector<std::string> names;
  for (const NamedTensor& tensor : golden.file->tensors()) {
    if (tensor.name.rfind("param/", 0) != 0) continue;
    names.push_back(tensor.name.substr(6));
    run.initial[names.back()] = golden.Read<float>(tensor.name);
  }
  const auto result = RunPlan(*plan, run);
  ASSERT_TRUE(result.ok()) << result.status();

  const double loss = golden.Read<float>("loss")[0];
  EXPECT_NEAR(result->losses[0], loss, 1e-5 * loss);
  ASSERT_EQ(result->weights.size(), names.size()) << "the model has other parameters than the golden file";

  double global = 0;
  for (const std::string& name : names) global += std::pow(Norm(golden.Read<float>("grad/" + name)), 2);
  global = std::sqrt(global);
  EXPECT_NEAR(result->norms[0], global, 1e-5 * global);
  for (const std::string& name : names) {
    const auto expected = golden.Read<float>("grad/" + name);
    ASSERT_EQ(result->gradients.count(name), 1u) << name;
    // A gradient that is truly zero (GPT-2's key bias) is compared with a floor.
    const double scale = std::max(Norm(expected), 1e-6 * global);
    EXPECT_LE(Distance(result->gradients.at(name), result->count, expected) / scale, 1e-4) << name;
  }
}

std::string NameOf(const testing::TestParamInfo<Case>& info) {
  return absl::StrCat(info.param.kind, "_", info.param.device, "_pp", info.param.pp);
}

INSTANTIATE_TEST_SUITE_P(All, GoldenBatch,
                         testing::Values(Case{"gpt2", "reference", 1}, Case{"gpt2", "cpu", 1}, Case{"gpt2", "cpu", 3},
                                         Case{"llama", "reference", 1}, Case{"llama", "cpu", 1},
                                         Case{"llama", "cpu", 3}),
                         NameOf);

}  // namespace
}  // namespace millrace
