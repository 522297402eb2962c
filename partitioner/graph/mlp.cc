#include "partitioner/graph/mlp.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "partitioner/graph/builder.h"
#include "partitioner/graph/model_options.h"
#include "proto/status_macros.h"

namespace millrace {

absl::StatusOr<proto::Model> MakeMlp(const MlpOptions& options) {
  OptionCheck check("mlp");
  check.Require(options.layers >= 0 && options.layers <= 10000, "layers", options.layers, "must be in 0 .. 10000");
  check.Size("features", options.features);
  check.Size("width", options.width);
  check.Size("classes", options.classes);
  check.Ratio("dropout", options.dropout);
  check.NotNegative("init", options.init);
  check.Floats("dtype", options.dtype);
  MR_RETURN_IF_ERROR(check.status());

  GraphBuilder b("mlp", options.dtype);
  auto init = [&](int64_t in) { return options.init > 0 ? options.init : std::sqrt(2.0 / static_cast<double>(in)); };
  std::string x = b.Input("features", {-1, options.features}, options.dtype, proto::Input::FEATURES);
  const std::string labels = b.Input("labels", {-1}, proto::I64, proto::Input::LABELS);
  int64_t in = options.features;
  for (int64_t layer = 0; layer < options.layers; ++layer) {
    const std::string name = absl::StrCat("layers.", layer);
    x = b.Linear(name, x, in, options.width, options.bias, init(in));
    x = b.Named(absl::StrCat(name, ".act")).Activation(options.activation, x);
    x = b.Named(absl::StrCat(name, ".drop")).Dropout(x, options.dropout);
    in = options.width;
  }
  const std::string logits = b.Linear("head", x, in, options.classes, options.bias, init(in));
  b.Logits(logits);
  b.SoftmaxCrossEntropy(logits, labels);
  return b.Finish();
}

}  // namespace millrace
