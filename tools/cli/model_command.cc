// millrace model gpt2|llama|mlp: writes a model graph.
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "partitioner/graph/gpt2.h"
#include "partitioner/graph/llama.h"
#include "partitioner/graph/mlp.h"
#include "proto/status_macros.h"
#include "proto/text_proto.h"
#include "tools/cli/commands.h"

namespace millrace {
namespace {

// One flag serves every family that has the knob; what a family does not have is refused by name.
struct Knobs {
  int64_t layers = 0, heads = 0, kv_heads = 0, width = 0, hidden = 0, vocab = 0, context = 0, sequence = 0;
  int64_t features = 0, classes = 0;
  double dropout = 0, epsilon = 1e-5, init = 0, rope_theta = 10000;
  bool bias = true, tied = false, interleaved = false;
  std::string activation, dtype;
};

absl::StatusOr<proto::DataType> FloatsOf(const Knobs& k) {
  if (k.dtype.empty() || k.dtype == "f32") return proto::F32;
  if (k.dtype == "bf16") return proto::BF16;
  if (k.dtype == "f16") return proto::F16;
  return UsageError(absl::StrCat("--dtype=", k.dtype, ": there are f32, bf16 and f16"));
}

template <typename T>
void Take(const FlagSet& flags, absl::string_view name, const T& from, T* to) {
  if (flags.WasGiven(name)) *to = from;
}

absl::Status OnlyFor(const FlagSet& flags, absl::string_view family, std::initializer_list<absl::string_view> foreign) {
  for (absl::string_view name : foreign) {
    if (flags.WasGiven(name)) return UsageError(absl::StrCat("--", name, " means nothing for ", family));
  }
  return absl::OkStatus();
}

absl::StatusOr<proto::Model> Gpt2(const FlagSet& flags, const Knobs& k) {
  MR_RETURN_IF_ERROR(OnlyFor(flags, "gpt2", {"kv-heads", "rope-theta", "interleaved", "features", "classes"}));
  Gpt2Options o;
  Take(flags, "layers", k.layers, &o.layers);
  Take(flags, "heads", k.heads, &o.heads);
  Take(flags, "width", k.width, &o.width);
  Take(flags, "hidden", k.hidden, &o.hidden);
  Take(flags, "vocab", k.vocab, &o.vocabulary);
  Take(flags, "context", k.context, &o.context);
  Take(flags, "sequence", k.sequence, &o.sequence);
  Take(flags, "dropout", k.dropout, &o.dropout);
  Take(flags, "bias", k.bias, &o.bias);
  Take(flags, "activation", k.activation, &o.activation);
  Take(flags, "epsilon", k.epsilon, &o.epsilon);
  Take(flags, "tied", k.tied, &o.tied);
  Take(flags, "init", k.init, &o.init);
  MR_ASSIGN_OR_RETURN(o.dtype, FloatsOf(k));
  return MakeGpt2(o);
}

absl::StatusOr<proto::Model> Llama(const FlagSet& flags, const Knobs& k) {
  MR_RETURN_IF_ERROR(OnlyFor(flags, "llama", {"features", "classes"}));
  LlamaOptions o;
  Take(flags, "layers", k.layers, &o.layers);
  Take(flags, "heads", k.heads, &o.heads);
  Take(flags, "kv-heads", k.kv_heads, &o.kv_heads);
  Take(flags, "width", k.width, &o.width);
  Take(flags, "hidden", k.hidden, &o.hidden);
  if (!flags.WasGiven("hidden") && flags.WasGiven("width")) o.hidden = (k.width * 8 / 3 + 31) / 32 * 32;
  Take(flags, "vocab", k.vocab, &o.vocabulary);
  Take(flags, "context", k.context, &o.context);
  Take(flags, "sequence", k.sequence, &o.sequence);
  Take(flags, "dropout", k.dropout, &o.dropout);
  Take(flags, "bias", k.bias, &o.bias);
  Take(flags, "activation", k.activation, &o.activation);
  Take(flags, "epsilon", k.epsilon, &o.epsilon);
  Take(flags, "tied", k.tied, &o.tied);
  Take(flags, "rope-theta", k.rope_theta, &o.rope_theta);
  Take(flags, "interleaved", k.interleaved, &o.interleaved);
  Take(flags, "init", k.init, &o.init);
  MR_ASSIGN_OR_RETURN(o.dtype, FloatsOf(k));
  return MakeLlama(o);
}

absl::StatusOr<proto::Model> Mlp(const FlagSet& flags, const Knobs& k) {
  MR_RETURN_IF_ERROR(OnlyFor(
      flags, "mlp",
      {"heads", "kv-heads", "hidden", "vocab", "context", "sequence", "epsilon", "tied", "rope-theta", "interleaved"}));
  MlpOptions o;
  Take(flags, "layers", k.layers, &o.layers);
  Take(flags, "features", k.features, &o.features);
  Take(flags, "width", k.width, &o.width);
  Take(flags, "classes", k.classes, &o.classes);
  Take(flags, "dropout", k.dropout, &o.dropout);
  Take(flags, "bias", k.bias, &o.bias);
  Take(flags, "activation", k.activation, &o.activation);
  Take(flags, "init", k.init, &o.init);
  MR_ASSIGN_OR_RETURN(o.dtype, FloatsOf(k));
  return MakeMlp(o);
}

int64_t Weights(const proto::Model& model) {
  int64_t total = 0;
  for (const proto::Parameter& parameter : model.parameters()) {
    if (parameter.constant()) continue;
    int64_t elements = 1;
    for (int64_t d : parameter.type().dims()) elements *= d;
    total += elements;
  }
  return total;
}

class ModelCommand : public Command {
 public:
  std::string name() const override { return "model"; }
  std::string summary() const override { return "write a model graph: gpt2, llama or mlp"; }
  std::string usage() const override { return "gpt2|llama|mlp [FLAGS] --out=FILE"; }
  std::vector<std::string> examples() const override {
    return {"model gpt2 --layers=4 --heads=8 --width=256 --vocab=256 --context=128 --out=gpt.textproto",
            "model llama --layers=2 --heads=8 --kv-heads=2 --width=256 --vocab=256 --context=128 --out=llama.pb",
            "model mlp --layers=3 --features=64 --width=256 --classes=10 --out=mlp.textproto"};
  }
  void Declare(FlagSet* flags) override {
    flags->String("out", &out_, "file to write; text form when it ends in .textproto, else binary");
    flags->Int("layers", &k_.layers, "blocks (mlp: hidden layers); 0: the family's usual number, as for all below");
    flags->Int("heads", &k_.heads, "attention heads");
    flags->Int("kv-heads", &k_.kv_heads, "llama: key and value heads");
    flags->Int("width", &k_.width, "width of the residual stream (mlp: of the hidden layers)");
    flags->Int("hidden", &k_.hidden, "width inside the MLP");
    flags->Int("vocab", &k_.vocab, "vocabulary");
    flags->Int("context", &k_.context, "positions");
    flags->Int("sequence", &k_.sequence, "tokens in a sample; 0: context");
    flags->Int("features", &k_.features, "mlp: inputs");
    flags->Int("classes", &k_.classes, "mlp: classes");
    flags->Double("dropout", &k_.dropout, "dropout probability");
    flags->Double("epsilon", &k_.epsilon, "of the normalisations");
    flags->Double("init", &k_.init, "standard deviation of the initial weights; 0: the family's");
    flags->Double("rope-theta", &k_.rope_theta, "llama: base of the rotary angles");
    flags->Bool("bias", &k_.bias, "biases (llama: of the attention projections, usually without)");
    flags->Bool("tied", &k_.tied, "output matrix = token table (gpt2: yes unless --no-tied)");
    flags->Bool("interleaved", &k_.interleaved, "llama: rotate neighbours instead of halves");
    flags->String("dtype", &k_.dtype, "of parameters and activations: f32, bf16 or f16; those of 16 bits train with "
                  "float32 master copies");
    flags->String("activation", &k_.activation, "gelu_tanh, gelu, relu, silu (mlp: also tanh, sigmoid)");
  }
  absl::Status Run(const FlagSet& flags, const std::vector<std::string>& arguments) override {
    MR_ASSIGN_OR_RETURN(const std::string family, OnlyArgument(arguments, "the family (gpt2, llama or mlp)"));
    absl::StatusOr<proto::Model> model = absl::InvalidArgumentError("");
    if (family == "gpt2") {
      model = Gpt2(flags, k_);
    } else if (family == "llama") {
      model = Llama(flags, k_);
    } else if (family == "mlp") {
      model = Mlp(flags, k_);
    } else {
      const std::string near = Nearest(family, {"gpt2", "llama", "mlp"});
      return UsageError(absl::StrCat("there is no family '", family, "'; there are gpt2, llama, mlp",
                                     near.empty() ? "" : absl::StrCat("; did you mean ", near, "?")));
    }
    if (!model.ok()) {
      return absl::IsInvalidArgument(model.status()) ? WithExit(model.status(), kExitUsage) : model.status();
    }
    if (out_.empty()) return UsageError("--out=FILE is missing");
    MR_RETURN_IF_ERROR(WriteMessage(out_, *model));
    std::printf("%s: %s, %d nodes, %lld parameters\n", out_.c_str(), model->name().c_str(), model->nodes_size(),
                static_cast<long long>(Weights(*model)));
    return absl::OkStatus();
  }

 private:
  Knobs k_;
  std::string out_;
};

}  // namespace

std::unique_ptr<Command> MakeModelCommand() { return std::make_unique<ModelCommand>(); }

}  // namespace millrace
