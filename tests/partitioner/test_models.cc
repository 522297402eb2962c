#include "tests/partitioner/test_models.h"

#include "partitioner/graph/builder.h"
#include "partitioner/graph/gpt2.h"
#include "partitioner/graph/llama.h"
#include "partitioner/graph/mlp.h"

namespace millrace {

proto::Model TinyGpt2(double dropout) {
  return MakeGpt2({.layers = 2,
                   .heads = 2,
                   .width = 8,
                   .vocabulary = kTestVocabulary,
                   .context = 6,
                   .sequence = 5,
                   .dropout = dropout})
      .value();
}

proto::Model TinyLlama(int64_t kv_heads, bool tied, bool interleaved) {
  return MakeLlama({.layers = 2,
                    .heads = 2,
                    .kv_heads = kv_heads,
                    .width = 8,
                    .hidden = 12,
                    .vocabulary = kTestVocabulary,
                    .context = 6,
                    .sequence = 5,
                    .tied = tied,
                    .interleaved = interleaved})
      .value();
}

proto::Model SkipNet() {
  GraphBuilder b("skips");
  const std::string in = b.Input("features", {-1, 6}, proto::F32, proto::Input::FEATURES);
  const std::string labels = b.Input("labels", {-1}, proto::I64, proto::Input::LABELS);
  const std::string x = b.Linear("in", in, 6, 8);
  const std::string a = b.Tanh(b.Linear("a", x, 8, 8));
  const std::string c = b.Gelu(b.Linear("c", a, 8, 8));
  const std::string d = b.Add(x, c);                                    // x: second reader
  const std::string e = b.Mul(b.Sigmoid(d), d);                         // d: two readers
  const std::string f = b.Add(e, e);                                    // the same value twice
  const std::string g = b.Concat({f, x, a}, 1);                         // x: third, a: second
  const std::string h = b.Add(b.Linear("mix", g, 24, 8), b.Add(x, d));  // x: fourth, d: third
  b.Logits(b.Linear("head", h, 8, kTestVocabulary));
  b.SoftmaxCrossEntropy("head.add", labels);
  return b.Finish().value();
}

proto::Model OpsZoo() {
  GraphBuilder b("zoo");
  const std::string in = b.Input("features", {-1, 4, 6}, proto::F32, proto::Input::FEATURES);
  const std::string labels = b.Input("labels", {-1}, proto::I64, proto::Input::LABELS);
  auto small = [&](const char* name, std::vector<int64_t> dims) { return b.Parameter(name, dims, Normal(0.5)); };

  std::string x = b.Mul(in, small("gain", {6}));                      // broadcast parameter
  x = b.Sub(x, small("column", {4, 1}));                              // broadcast over the last axis
  x = b.MatMul(small("left", {4, 4}), x);                             // parameter on the left, batched on the right
  const std::string scores = b.MatMul(x, b.Transpose(x, {0, 2, 1}));  // batched by itself
  x = b.MatMul(b.Softmax(scores), x);
  const std::vector<std::string> parts = b.Split(x, 2, {2, 4});
  const std::string denominator = b.Add(b.Mul(parts[0], parts[0]), b.Table("one", {1}, Constant(1)));
  const std::string quotient = b.Div(parts[0], denominator);
  const std::string silu = b.Silu(b.Op("Neg", {parts[1]})[0]);
  x = b.Concat({quotient, silu}, 2);
  x = b.Add(x, b.Op("Expand", {small("token", {1, 1, 6})}, Attributes().SetInts("shape", {-1, 4, 6}))[0]);
  x = b.Add(x, b.Reshape(small("table", {24}), {4, 6}));  // a view of a parameter
  x = b.Transpose(b.Mul(b.Transpose(x, {1, 2, 0}), small("turned", {4, 6, 1})), {2, 0, 1});
  const std::string half = b.Split(x, 2, {3, 3})[0];  // nobody reads the other half
  x = b.Add(x, b.Concat({half, half}, 2));
  x = b.Add(x, b.Op("ReduceSum", {x}, Attributes().SetInts("axes", {1}))[0]);
  const std::string mean = b.Op("ReduceMean", {x}, Attributes().SetInts("axes", {1}).SetInt("keepdims", 0))[0];
  const std::string wide = b.Op("Cast", {mean}, Attributes().SetInt("to", proto::F64))[0];
  const std::string relu = b.Add(b.Relu(wide), wide);  // never flat: every column's gradient goes on
  const std::string product = b.Op("Gemm",
                                   {relu, b.Parameter("gemm.b", {8, 6}, Normal(0.5), true, proto::F64),
                                    b.Parameter("gemm.c", {1, 8}, Normal(0.5), true, proto::F64)},
                                   Attributes().SetFloat("alpha", 0.5).SetFloat("beta", 2).SetInt("transB", 1))[0];
  const std::string turned =
      b.Op("Gemm", {b.Parameter("gemm.a", {8, 8}, Normal(0.5), true, proto::F64), b.Transpose(product)},
           Attributes().SetInt("transA", 1))[0];
  const std::string rows = b.Op("Identity", {b.Transpose(turned)})[0];
  const std::string square = b.MatMul(rows, b.MatMul(b.Transpose(rows), rows));  // a matrix that is no parameter
  const std::string normal = b.RmsNorm(square, b.Parameter("norm", {8}, Ones(), true, proto::F64));
  b.SoftmaxCrossEntropy(
      b.Add(b.MatMul(normal, b.Parameter("head", {8, kTestVocabulary}, Normal(0.5), true, proto::F64)),
            b.Parameter("head.bias", {kTestVocabulary}, Normal(0.5), true, proto::F64)),
      labels);
  return b.Finish().value();
}

proto::Model PartlyFrozen() {
  GraphBuilder b("frozen");
  const std::string tokens = b.Input("tokens", {-1, 5}, proto::I64, proto::Input::TOKENS);
  const std::string labels = b.Input("labels", {-1, 5}, proto::I64, proto::Input::LABELS);
  const std::string table = b.Parameter("embed", {kTestVocabulary, 8}, Normal(0.5), /*trainable=*/false);
  std::string x = b.Named("gather").Gather(table, tokens);
  x = b.LayerNorm(x, b.Parameter("ln0.weight", {8}, Ones(), false), b.Parameter("ln0.bias", {8}, Zeros(), false));
  x = b.Gelu(b.Linear("lowest", x, 8, 8));
  x = b.Add(b.MatMul(x, b.Parameter("middle", {8, 8}, Normal(0.5), false)), b.Parameter("shift", {8}, Zeros()));
  x = b.LayerNorm(x, b.Parameter("ln1.weight", {8}, Ones()), b.Parameter("ln1.bias", {8}, Zeros(), false));
  b.SoftmaxCrossEntropy(b.MatMul(x, b.Transpose(table)), labels);
  return b.Finish().value();
}

std::vector<NamedModel> AllTestModels() {
  return {
      {"Mlp",
       MakeMlp({.layers = 2, .features = 6, .width = 8, .classes = kTestVocabulary, .activation = "gelu"}).value()},
      {"MlpSilu",
       MakeMlp(
           {.layers = 1, .features = 6, .width = 8, .classes = kTestVocabulary, .bias = false, .activation = "silu"})
           .value()},
      {"Gpt2", TinyGpt2()},
      {"Gpt2Dropout", TinyGpt2(0.2)},
      {"Llama", TinyLlama()},
      {"LlamaTied", TinyLlama(2, true, true)},
      {"SkipNet", SkipNet()},
      {"OpsZoo", OpsZoo()},
      {"PartlyFrozen", PartlyFrozen()}};
}

}  // namespace millrace
