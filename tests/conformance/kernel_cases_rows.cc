// Cases of normalisation, softmax and losses: operators that work on rows.
#include "absl/strings/str_cat.h"
#include "tests/conformance/kernel_case.h"

namespace millrace::cases {
namespace {

const Dims kRows[] = {{1, 1}, {1, 7}, {7, 1}, {2, 5, 71}, {3, 229}, {130, 768}};

std::string SizeName(const Dims& dims) {
  std::string name;
  for (int64_t d : dims) absl::StrAppend(&name, name.empty() ? "" : "x", d);
  return name;
}

Dims Statistic(Dims dims) {
  dims.back() = 1;
  return dims;
}

void AddLayerNormalization(std::vector<KernelCase>& all) {
  for (const Dims& dims : kRows) {
    const auto x = F(dims), c = F({dims.back()}), row = F(Statistic(dims));
    const std::string name = SizeName(dims);
    all.push_back(Case(name, "LayerNormalization", {x, c, c}, {x, row, row}));
    all.push_back(Case(name + "_y_only", "LayerNormalization", {x, c}, {x}));
    const Derivation statistics = {{"LayerNormalization", {x, c}, {x, row, row}, {}}, {1, 2}, {{1, 3}, {2, 4}}};
    auto grad = Case(name, "LayerNormalizationGrad", {x, x, c, row, row}, {x, c, c});
    grad.derivations = {statistics};
    all.push_back(grad);
    grad = Case(name + "_dx_only", "LayerNormalizationGrad", {x, x, c, row, row}, {x});
    grad.derivations = {statistics};
    all.push_back(grad);
  }
  const auto x = F({5, 33}), c = F({33}), row = F({5, 1});
  all.push_back(Case("epsilon", "LayerNormalization", {x, c, c}, {x, row, row}, Attr().SetFloat("epsilon", 0.25)));
  // The variance of large means must not cancel.
  all.push_back(
      Case("large_mean", "LayerNormalization", {x, c, None()}, {x, row, None()}).Input(0, {.low = 100, .high = 3}));
  auto bias_only = Case("dbias_without_dscale", "LayerNormalizationGrad", {x, x, c, row, row}, {x, None(), c});
  bias_only.derivations = {{{"LayerNormalization", {x, c}, {x, row, row}, {}}, {1, 2}, {{1, 3}, {2, 4}}}};
  all.push_back(bias_only);
}

void AddRmsNormalization(std::vector<KernelCase>& all) {
  for (const Dims& dims : kRows) {
    const auto x = F(dims), c = F({dims.back()}), row = F(Statistic(dims));
    const std::string name = SizeName(dims);
    // Of one element, only epsilon keeps the gradient from being the difference of two equal numbers.
    const Attributes attributes = dims.back() == 1 ? Attr().SetFloat("epsilon", 0.5) : Attr();
    all.push_back(Case(name, "RMSNormalization", {x, c}, {x, row}, attributes));
    all.push_back(Case(name + "_y_only", "RMSNormalization", {x, c}, {x}, Attr().SetFloat("epsilon", 1e-6)));
    const Derivation statistics = {{"RMSNormalization", {x, c}, {x, row}, attributes}, {1, 2}, {{1, 3}}};
    auto grad = Case(name, "RMSNormalizationGrad", {x, x, c, row}, {x, c}, attributes);
    grad.derivations = {statistics};
    all.push_back(grad);
    grad = Case(name + "_dx_only", "RMSNormalizationGrad", {x, x, c, row}, {x}, attributes);
    grad.derivations = {statistics};
    all.push_back(grad);
  }
}

void AddSoftmax(std::vector<KernelCase>& all) {
  for (const Dims& dims : kRows) {
    const auto x = F(dims);
    all.push_back(Case(SizeName(dims), "Softmax", {x}, {x}));
    auto grad = Case(SizeName(dims), "SoftmaxGrad", {x, x}, {x});
    grad.derivations = {{{"Softmax", {x}, {x}, {}}, {1}, {{0, 1}}}};
    all.push_back(grad);
  }
  all.push_back(Case("large_scores", "Softmax", {F({3, 71})}, {F({3, 71})}, Attr().SetInt("axis", 1))
                    .Input(0, {.low = 500, .high = 100}));
}

void AddLosses(std::vector<KernelCase>& all) {
  struct Shape {
    Dims labels;
    int64_t classes;
  };
  for (const Shape& s : {Shape{{1}, 1}, Shape{{7}, 5}, Shape{{2, 5}, 71}, Shape{{130}, 1000}, Shape{{3, 3}, 229}}) {
    Dims dims = s.labels;
    dims.push_back(s.classes);
    const std::string name = SizeName(dims);
    const auto scores = F(dims);
    Fill labels = Below(s.classes), some_ignored = labels, others_ignored = labels;
    some_ignored.sometimes = -100;
    others_ignored.sometimes = -1;
    const Attributes ignore = Attr().SetInt("ignore_index", -1);
    const std::vector<TensorSpec> in = {scores, I(s.labels)};
    all.push_back(Case(name, "SoftmaxCrossEntropyLoss", in, {D({}), D({})}).Input(1, labels));
    all.push_back(Case(name + "_ignored", "SoftmaxCrossEntropyLoss", in, {D({}), D({})}).Input(1, some_ignored));
    all.push_back(Case(name + "_loss_only", "SoftmaxCrossEntropyLoss", in, {D({})}, ignore).Input(1, others_ignored));
    all.push_back(Case(name, "SoftmaxCrossEntropyLossGrad", in, {scores}).Input(1, some_ignored));
    all.push_back(
        Case(name + "_ignore_index", "SoftmaxCrossEntropyLossGrad", in, {scores}, ignore).Input(1, others_ignored));
  }
  const Fill all_ignored = {.kind = Fill::VALUES, .values = {-100}};
  all.push_back(
      Case("all_ignored", "SoftmaxCrossEntropyLoss", {F({7, 5}), I({7})}, {D({}), D({})}).Input(1, all_ignored));
  all.push_back(
      Case("all_ignored", "SoftmaxCrossEntropyLossGrad", {F({7, 5}), I({7})}, {F({7, 5})}).Input(1, all_ignored));
}

void AddLinearCrossEntropy(std::vector<KernelCase>& all) {
  struct Shape {
    Dims labels;
    int64_t width, classes;
  };
  for (const Shape& s : {Shape{{1}, 1, 1}, Shape{{7}, 9, 5}, Shape{{2, 5}, 33, 71}, Shape{{2, 150}, 64, 515}}) {
    Dims dims = s.labels;
    dims.push_back(s.width);
    const auto x = F(dims);
    Fill labels = Below(s.classes);
    labels.sometimes = -100;
    for (const bool trans : {true, false}) {
      const auto w = trans ? F({s.classes, s.width}) : F({s.width, s.classes});
      const Attributes attributes = trans ? Attr() : Attr().SetInt("transB", 0);
      const std::string name = absl::StrCat(SizeName(dims), "x", s.classes, trans ? "" : "_n");
      const std::vector<TensorSpec> in = {x, w, I(s.labels)};
      const auto add = [&](const std::string& suffix, std::vector<TensorSpec> outputs, const Attributes& with) {
        all.push_back(Case(name + suffix, "LinearCrossEntropy", in, std::move(outputs), with)
                          .Input(2, labels)
                          .Input(1, {.low = 0, .high = 0.2}));
      };
      add("", {D({}), D({}), x, w}, attributes);
      add("_loss_only", {D({}), D({})}, attributes);
      add("_dx", {D({}), D({}), x}, attributes);
      add("_dweight", {D({}), D({}), None(), w}, attributes);
      Attributes packed = attributes;
      packed.SetInt("packed", 1);
      add("_packed", {D({}), D({}), x, w}, packed);
      add("_packed_loss_only", {D({}), D({})}, packed);
    }
  }
}

}  // namespace

std::vector<KernelCase> RowCases() {
  std::vector<KernelCase> all;
  AddLayerNormalization(all);
  AddRmsNormalization(all);
  AddSoftmax(all);
  AddLosses(all);
  AddLinearCrossEntropy(all);
  return all;
}

}  // namespace millrace::cases
