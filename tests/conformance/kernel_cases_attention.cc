// Cases of attention, rotary embedding, gather.
#include "absl/strings/str_cat.h"
#include "tests/conformance/kernel_case.h"

namespace millrace::cases {
namespace {

struct AttentionShape {
  const char* name;
  int64_t batch, queries, keys, q_heads, kv_heads, width;
};

const AttentionShape kShapes[] = {
    {"one", 1, 1, 1, 1, 1, 1},        {"odd", 2, 7, 7, 3, 3, 5},
    {"grouped", 2, 7, 7, 6, 2, 8},    {"one_kv_head", 1, 33, 33, 4, 1, 16},
    {"tiles", 1, 130, 130, 2, 2, 64}, {"cross", 2, 5, 71, 4, 2, 9},
};

Attributes AttentionAttributes(const AttentionShape& s, bool causal) {
  Attributes attributes;
  attributes.SetInt("q_num_heads", s.q_heads).SetInt("kv_num_heads", s.kv_heads);
  if (causal) attributes.SetInt("is_causal", 1);
  return attributes;
}

void AddAttention(std::vector<KernelCase>& all, const AttentionShape& s, bool causal, bool packed,
                  const Attributes& attributes, const std::string& name) {
  const auto y = F({s.batch, s.queries, s.q_heads * s.width}), lse = F({s.batch, s.q_heads, s.queries});
  const auto kv = F({s.batch, s.keys, s.kv_heads * s.width});
  const auto q = packed ? F({s.batch, s.queries, (s.q_heads + 2 * s.kv_heads) * s.width}) : y;
  const auto k = packed ? None() : kv;
  const std::vector<TensorSpec> in = packed ? std::vector<TensorSpec>{q} : std::vector<TensorSpec>{q, k, k};
  all.push_back(Case(name, "Attention", in, {y, lse}, attributes));
  all.push_back(Case(name + "_y_only", "Attention", in, {y}, attributes));
  auto grad = Case(name, "AttentionGrad", {y, q, k, k, y, lse},
                   packed ? std::vector<TensorSpec>{q} : std::vector<TensorSpec>{q, kv, kv}, attributes);
  grad.derivations = {{{"Attention", {q, k, k}, {y, lse}, attributes},
                       packed ? std::vector<int>{1, -1, -1} : std::vector<int>{1, 2, 3},
                       {{0, 4}, {1, 5}}}};
  all.push_back(grad);
}

void AddRotary(std::vector<KernelCase>& all) {
  struct Shape {
    const char* name;
    int64_t batch, positions, heads, width, cache_rows;
  };
  const Fill angle = {.kind = Fill::UNIFORM, .low = -1, .high = 1};
  for (const Shape& s : {Shape{"one", 1, 1, 1, 2, 1}, Shape{"odd", 2, 7, 3, 10, 9}, Shape{"gpt", 2, 130, 4, 64, 256}}) {
    for (const bool interleaved : {false, true}) {
      for (const bool inverse : {false, true}) {
        const Attributes attributes =
            Attr().SetInt("num_heads", s.heads).SetInt("interleaved", interleaved).SetInt("inverse", inverse);
        const auto x = F({s.batch, s.positions, s.heads * s.width}), cache = F({s.cache_rows, s.width / 2});
        all.push_back(Case(absl::StrCat(s.name, interleaved ? "_interleaved" : "", inverse ? "_inverse" : ""),
                           "RotaryEmbedding", {x, cache, cache}, {x}, attributes)
                          .Input(1, angle)
                          .Input(2, angle));
      }
    }
  }
}

void AddGather(std::vector<KernelCase>& all) {
  struct Shape {
    const char* name;
    Dims table, indices;
  };
  for (const Shape& s : {Shape{"one", {1, 1}, {1}}, Shape{"tokens", {71, 33}, {2, 7}}, Shape{"column", {7}, {5}},
                         Shape{"scalar_index", {7, 5}, {}}, Shape{"blocks", {5, 3, 7}, {4}},
                         Shape{"large", {513, 229}, {3, 150}}, Shape{"repeated", {2, 71}, {229}}}) {
    Dims y = s.indices;
    y.insert(y.end(), s.table.begin() + 1, s.table.end());
    const Fill indices = Below(s.table[0]);
    all.push_back(Case(s.name, "Gather", {F(s.table), I(s.indices)}, {F(y)}).Input(1, indices).Exact());
    all.push_back(Case(s.name, "GatherGrad", {F(y), I(s.indices)}, {F(s.table)}).Input(1, indices));
  }
}

}  // namespace

std::vector<KernelCase> AttentionCases() {
  std::vector<KernelCase> all;
  for (const AttentionShape& s : kShapes) {
    for (const bool causal : {false, true}) {
      const Attributes attributes = AttentionAttributes(s, causal);
      const std::string name = absl::StrCat(s.name, causal ? "_causal" : "");
      AddAttention(all, s, causal, false, attributes, name);
      if (s.queries == s.keys) AddAttention(all, s, causal, true, attributes, name + "_packed");
    }
  }
  Attributes scaled = AttentionAttributes(kShapes[1], true);
  AddAttention(all, kShapes[1], true, false, scaled.SetFloat("scale", 2.5), "scaled");
  AddRotary(all);
  AddGather(all);
  return all;
}

}  // namespace millrace::cases
