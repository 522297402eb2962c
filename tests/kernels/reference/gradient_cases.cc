#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tests/kernels/reference/gradient_case.h"

namespace millrace {
namespace {

using namespace cases;  // the vocabulary of the case lists

constexpr GradientInput kDy = {GradientInput::OUTPUT_GRADIENT, 0};
constexpr GradientInput kNone = {GradientInput::ABSENT, 0};
GradientInput In(int i) { return {GradientInput::INPUT, i}; }
GradientInput Out(int i) { return {GradientInput::OUTPUT, i}; }

class Cases {
 public:
  // Input and output types of the gradient operator follow from where they come from.
  void Add(const KernelCase& forward, const std::string& op, std::vector<GradientInput> inputs,
           std::vector<int> of_input, const Attributes& attributes = {}) {
    GradientCase c;
    c.name = absl::StrCat(op, "_of_", forward.name);
    c.forward = forward;
    c.gradient.op = op;
    c.gradient.attributes = attributes;
    const OpDesc& f = forward.desc;
    for (const GradientInput& input : inputs) {
      c.gradient.inputs.push_back(input.from == GradientInput::ABSENT            ? None()
                                  : input.from == GradientInput::OUTPUT_GRADIENT ? f.output(0)
                                  : input.from == GradientInput::INPUT           ? f.input(input.index)
                                                                                 : f.output(input.index));
    }
    for (int i : of_input) c.gradient.outputs.push_back(f.input(i));
    c.gradient_inputs = std::move(inputs);
    c.of_input = std::move(of_input);
    all.push_back(std::move(c));
  }

  std::vector<GradientCase> all;
};

void Activations(Cases& cases) {
  const auto x = F({3, 7});
  // Away from the corner of Relu.
  const Fill sides = {.kind = Fill::VALUES, .values = {-2, -0.3, 0.4, 1.7, -1, 3}};
  cases.Add(Case("", "Relu", {x}, {x}).Input(0, sides), "ReluGrad", {kDy, In(0)}, {0});
  cases.Add(Case("", "Silu", {x}, {x}), "SiluGrad", {kDy, In(0)}, {0});
  cases.Add(Case("", "Gelu", {x}, {x}), "GeluGrad", {kDy, In(0)}, {0});
  const Attributes tanh = Attr().SetString("approximate", "tanh");
  cases.Add(Case("tanh", "Gelu", {x}, {x}, tanh), "GeluGrad", {kDy, In(0)}, {0}, tanh);
  cases.Add(Case("", "Tanh", {x}, {x}), "TanhGrad", {kDy, Out(0)}, {0});
  cases.Add(Case("", "Sigmoid", {x}, {x}), "SigmoidGrad", {kDy, Out(0)}, {0});
  cases.Add(Case("", "Neg", {x}, {x}), "Neg", {kDy}, {0});
  const Attributes dropout = Attr().SetFloat("ratio", 0.3).SetBits("random_key", 99);
  cases.Add(Case("", "Dropout", {x}, {x}, dropout), "Dropout", {kDy}, {0}, dropout);
}

void Broadcasts(Cases& cases) {
  const auto x = F({2, 3, 5});
  for (const Dims& small : {Dims{5}, Dims{}, Dims{3, 1}, Dims{2, 1, 5}, Dims{2, 3, 5}}) {
    const std::string name = absl::StrCat("to", small.empty() ? "" : "_", absl::StrJoin(small, "x"));
    cases.Add(Case(name, "Add", {x, F(small)}, {x}), "ReduceSumTo", {kDy}, {1});
    cases.Add(Case(name + "_accumulate", "Add", {x, F(small)}, {x}), "ReduceSumTo", {kDy}, {1},
              Attr().SetInt("accumulate", 1));
    cases.Add(Case(name, "Expand", {F(small)}, {x}), "ReduceSumTo", {kDy}, {0});
    if (!small.empty()) cases.Add(Case(name, "ReduceSumTo", {x}, {F(small)}), "Expand", {kDy}, {0});
  }
  cases.Add(Case("", "Mul", {x, x}, {x}), "Mul", {kDy, In(1)}, {0});
  const Fill away_from_zero = {.kind = Fill::UNIFORM, .low = 0.5, .high = 2};
  cases.Add(Case("", "Div", {x, x}, {x}).Input(1, away_from_zero), "Div", {kDy, In(1)}, {0});
  cases.Add(Case("subtrahend", "Sub", {x, x}, {x}), "Neg", {kDy}, {1});
  cases.Add(Case("mean", "ReduceMean", {x}, {F({2, 1, 1})}, Attr().SetInts("axes", {1, 2})), "Expand", {kDy}, {0},
            Attr().SetFloat("scale", 1.0 / 15));
  cases.Add(Case("sum", "ReduceSum", {x}, {F({2, 1, 5})}, Attr().SetInts("axes", {-2})), "Expand", {kDy}, {0});
}

void Moves(Cases& cases) {
  cases.Add(Case("", "Transpose", {F({2, 3, 5})}, {F({5, 2, 3})}, Attr().SetInts("perm", {2, 0, 1})), "Transpose",
            {kDy}, {0}, Attr().SetInts("perm", {1, 2, 0}));
  cases.Add(Case("", "Concat", {F({2, 3}), F({2, 4})}, {F({2, 7})}, Attr().SetInt("axis", 1)), "Split", {kDy}, {0, 1},
            Attr().SetInt("axis", 1));
  cases.Add(Case("", "Reshape", {F({2, 3})}, {F({6})}), "Reshape", {kDy}, {0});
  cases.Add(Case("", "Gather", {F({5, 3}), I({2, 7})}, {F({2, 7, 3})}).Input(1, Below(5)), "GatherGrad", {kDy, In(1)},
            {0});
}

void Matrices(Cases& cases) {
  for (const bool tb : {false, true}) {
    const Attributes trans = Attr().SetInt("transB", tb), reverse = Attr().SetInt("transB", !tb);
    const auto a = F({2, 3, 5}), b = tb ? F({7, 5}) : F({5, 7}), y = F({2, 3, 7});
    const std::string name = tb ? "t" : "n";
    cases.Add(Case(name, "FusedMatMul", {a, b, F({7})}, {y}, trans), "MatMulWeightGrad", {kDy, kDy}, {1, 2}, trans);
    cases.all.back().gradient_inputs[0] = In(0);
    cases.all.back().gradient.inputs[0] = a;
    cases.Add(Case(name, "FusedMatMul", {a, b}, {y}, trans), "FusedMatMul", {kDy, In(1)}, {0}, reverse);
  }
  const auto a = F({2, 3, 5}), b = F({2, 5, 7}), y = F({2, 3, 7});
  cases.Add(Case("batched_a", "FusedMatMul", {a, b}, {y}), "FusedMatMul", {kDy, In(1)}, {0},
            Attr().SetInt("transB", 1));
  cases.Add(Case("batched_b", "FusedMatMul", {a, b}, {y}), "FusedMatMul", {In(0), kDy}, {1},
            Attr().SetInt("transA", 1));
  cases.Add(Case("b", "Gemm", {F({3, 5}), F({5, 7})}, {F({3, 7})}), "Gemm", {In(0), kDy}, {1},
            Attr().SetInt("transA", 1));
}

void Rows(Cases& cases) {
  const auto x = F({2, 3, 7}), c = F({7}), row = F({2, 3, 1});
  cases.Add(Case("", "LayerNormalization", {x, c, c}, {x, row, row}), "LayerNormalizationGrad",
            {kDy, In(0), In(1), Out(1), Out(2)}, {0, 1, 2});
  const Attributes epsilon = Attr().SetFloat("epsilon", 0.25);
  cases.Add(Case("epsilon", "LayerNormalization", {x, c, c}, {x, row, row}, epsilon), "LayerNormalizationGrad",
            {kDy, In(0), In(1), Out(1), Out(2)}, {0, 1, 2}, epsilon);
  cases.Add(Case("", "RMSNormalization", {x, c}, {x, row}), "RMSNormalizationGrad", {kDy, In(0), In(1), Out(1)},
            {0, 1});
  cases.Add(Case("epsilon", "RMSNormalization", {x, c}, {x, row}, epsilon), "RMSNormalizationGrad",
            {kDy, In(0), In(1), Out(1)}, {0, 1}, epsilon);
  cases.Add(Case("", "Softmax", {x}, {x}), "SoftmaxGrad", {kDy, Out(0)}, {0});

  Fill labels = Below(7), other = Below(7);
  labels.sometimes = -100;
  other.sometimes = -1;
  const auto loss = D({});
  cases.Add(Case("", "SoftmaxCrossEntropyLoss", {x, I({2, 3})}, {loss, loss}).Input(1, labels),
            "SoftmaxCrossEntropyLossGrad", {In(0), In(1)}, {0});
  const Attributes ignore = Attr().SetInt("ignore_index", -1);
  cases.Add(Case("ignore", "SoftmaxCrossEntropyLoss", {x, I({2, 3})}, {loss, loss}, ignore).Input(1, other),
            "SoftmaxCrossEntropyLossGrad", {In(0), In(1)}, {0}, ignore);
  for (const bool tb : {false, true}) {
    const auto h = F({2, 3, 5}), w = tb ? F({7, 5}) : F({5, 7});
    const Attributes trans = Attr().SetInt("transB", tb);
    cases.Add(Case(tb ? "t" : "n", "LinearCrossEntropy", {h, w, I({2, 3})}, {loss, loss}, trans).Input(2, labels),
              "LinearCrossEntropy", {In(0), In(1), In(2)}, {0, 1}, trans);
    auto& outputs = cases.all.back().gradient.outputs;
    outputs.insert(outputs.begin(), {loss, loss});
    cases.all.back().of_input = {-1, -1, 0, 1};
  }
}

void AttentionAndRotary(Cases& cases) {
  struct Shape {
    const char* name;
    int64_t queries, keys, q_heads, kv_heads;
  };
  for (const Shape& s : {Shape{"plain", 5, 5, 2, 2}, Shape{"grouped", 5, 5, 4, 2}, Shape{"cross", 3, 7, 2, 1}}) {
    for (const bool causal : {false, true}) {
      const int64_t width = 3;
      const Attributes attributes = Attr()
                                        .SetInt("q_num_heads", s.q_heads)
                                        .SetInt("kv_num_heads", s.kv_heads)
                                        .SetInt("is_causal", causal)
                                        .SetFloat("scale", 0.7);
      const auto q = F({2, s.queries, s.q_heads * width}), kv = F({2, s.keys, s.kv_heads * width});
      const auto lse = F({2, s.q_heads, s.queries});
      const std::string name = absl::StrCat(s.name, causal ? "_causal" : "");
      cases.Add(Case(name, "Attention", {q, kv, kv}, {q, lse}, attributes), "AttentionGrad",
                {kDy, In(0), In(1), In(2), Out(0), Out(1)}, {0, 1, 2}, attributes);
      if (s.queries != s.keys) continue;
      const auto packed = F({2, s.queries, (s.q_heads + 2 * s.kv_heads) * width});
      cases.Add(Case(name + "_packed", "Attention", {packed}, {q, lse}, attributes), "AttentionGrad",
                {kDy, In(0), kNone, kNone, Out(0), Out(1)}, {0}, attributes);
    }
  }
  // The inverse rotation is the gradient whatever the angles are called: cos and sin need not be of one angle.
  for (const bool interleaved : {false, true}) {
    const Attributes forward = Attr().SetInt("num_heads", 2).SetInt("interleaved", interleaved);
    Attributes inverse = forward;
    inverse.SetInt("inverse", 1);
    const auto x = F({2, 3, 8}), cache = F({5, 2});
    cases.Add(Case(interleaved ? "interleaved" : "halves", "RotaryEmbedding", {x, cache, cache}, {x}, forward),
              "RotaryEmbedding", {kDy, In(1), In(2)}, {0}, inverse);
  }
}

}  // namespace

std::vector<GradientCase> AllGradientCases() {
  Cases cases;
  Activations(cases);
  Broadcasts(cases);
  Moves(cases);
  Matrices(cases);
  Rows(cases);
  AttentionAndRotary(cases);
  return std::move(cases.all);
}

}  // namespace millrace
