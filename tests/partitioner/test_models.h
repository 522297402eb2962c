// Small models that tests of several passes share.
#ifndef TESTS_PARTITIONER_TEST_MODELS_H_
#define TESTS_PARTITIONER_TEST_MODELS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "proto/model.pb.h"

namespace millrace {

inline constexpr int64_t kTestVocabulary = 11;  // classes, and rows of token tables

struct NamedModel {
  std::string name;
  proto::Model model;
};

proto::Model TinyGpt2(double dropout = 0);
proto::Model TinyLlama(int64_t kv_heads = 1, bool tied = false, bool interleaved = false);
// Skips across layers, values with two, three and four readers, one of them a value added to itself.
proto::Model SkipNet();
// Every differentiable operator that the other models lack, parameters in unusual places, a Gemm with all its knobs.
proto::Model OpsZoo();
// Frozen and constant parameters below, between and beside trainable ones.
proto::Model PartlyFrozen();

std::vector<NamedModel> AllTestModels();

}  // namespace millrace

#endif  // TESTS_PARTITIONER_TEST_MODELS_H_
