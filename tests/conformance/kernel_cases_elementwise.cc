// Cases of elementwise operators and of the optimizer.
#include <limits>

#include "absl/strings/str_cat.h"
#include "tests/conformance/kernel_case.h"

namespace millrace::cases {
namespace {

// Below one vector, around vectors, more than one task of a thread pool.
const Dims kSizes[] = {{1}, {7}, {3, 5, 71}, {229}, {3, 70001}};

std::string SizeName(const Dims& dims) {
  std::string name;
  for (int64_t d : dims) absl::StrAppend(&name, name.empty() ? "" : "x", d);
  return name;
}

void AddUnary(std::vector<KernelCase>& all) {
  const Fill wide = {.low = 0, .high = 3};
  for (const Dims& dims : kSizes) {
    for (const char* op : {"Tanh", "Sigmoid", "Silu", "Gelu"}) {
      all.push_back(Case(SizeName(dims), op, {F(dims)}, {F(dims)}).Input(0, wide));
    }
    all.push_back(Case("tanh_" + SizeName(dims), "Gelu", {F(dims)}, {F(dims)}, Attr().SetString("approximate", "tanh"))
                      .Input(0, wide));
    for (const char* op : {"Neg", "Relu", "Identity"}) {
      all.push_back(Case(SizeName(dims), op, {F(dims)}, {F(dims)}).Exact());
    }
    all.push_back(Case(SizeName(dims), "ReluGrad", {F(dims), F(dims)}, {F(dims)}).Exact());
    for (const char* op : {"SiluGrad", "GeluGrad"}) {
      all.push_back(Case(SizeName(dims), op, {F(dims), F(dims)}, {F(dims)}).Input(1, wide));
    }
    all.push_back(Case("tanh_" + SizeName(dims), "GeluGrad", {F(dims), F(dims)}, {F(dims)},
                       Attr().SetString("approximate", "tanh"))
                      .Input(1, wide));
    const Fill inside = {.kind = Fill::UNIFORM, .low = -0.999, .high = 0.999};
    all.push_back(Case(SizeName(dims), "TanhGrad", {F(dims), F(dims)}, {F(dims)}).Input(1, inside));
    const Fill chance = {.kind = Fill::UNIFORM, .low = 0.001, .high = 0.999};
    all.push_back(Case(SizeName(dims), "SigmoidGrad", {F(dims), F(dims)}, {F(dims)}).Input(1, chance));
    all.push_back(Case(SizeName(dims), "Accumulate", {F(dims)}, {F(dims)}));
  }
  // Where exp, tanh and erf saturate.
  const Fill extreme = {.kind = Fill::VALUES, .values = {-100, -30, -12, -6, -1e-4, 0, 1e-30, 1e-4, 6, 12, 30, 100}};
  for (const char* op : {"Tanh", "Sigmoid", "Silu", "Gelu", "Relu"}) {
    all.push_back(Case("extremes", op, {F({24})}, {F({24})}).Input(0, extreme));
  }
  for (const char* op : {"SiluGrad", "GeluGrad"}) {
    all.push_back(Case("extremes", op, {F({24}), F({24})}, {F({24})}).Input(1, extreme));
  }
  all.push_back(Case("scalar", "Tanh", {F({})}, {F({})}));
  all.push_back(Case("scalar_f64", "Accumulate", {D({})}, {D({})}));
  all.push_back(Case("tokens", "Identity", {I({5, 7})}, {I({5, 7})}).Input(0, Below(1000)).Exact());
}

void AddBinary(std::vector<KernelCase>& all) {
  struct Shape {
    const char* name;
    Dims a, b, y;
  };
  const Shape shapes[] = {
      {"same", {3, 5, 71}, {3, 5, 71}, {3, 5, 71}},
      {"large", {2, 100003}, {2, 100003}, {2, 100003}},
      {"bias", {3, 5, 71}, {71}, {3, 5, 71}},
      {"bias_first", {71}, {3, 5, 71}, {3, 5, 71}},
      {"scalar", {3, 7}, {}, {3, 7}},
      {"scalar_first", {}, {3, 7}, {3, 7}},
      {"scalars", {}, {}, {}},
      {"row_scale", {3, 5, 71}, {3, 5, 1}, {3, 5, 71}},
      {"position", {3, 5, 71}, {5, 71}, {3, 5, 71}},
      {"middle", {3, 5, 7}, {3, 1, 7}, {3, 5, 7}},
      {"outer", {7, 1}, {1, 229}, {7, 229}},
      {"both", {2, 1, 7, 1}, {3, 1, 5}, {2, 3, 7, 5}},
  };
  const Fill away_from_zero = {.kind = Fill::UNIFORM, .low = 0.5, .high = 2};
  for (const char* op : {"Add", "Sub", "Mul", "Div"}) {
    for (const Shape& s : shapes) {
      all.push_back(Case(s.name, op, {F(s.a), F(s.b)}, {F(s.y)}).Input(1, away_from_zero));
    }
  }
}

void AddDropout(std::vector<KernelCase>& all) {
  const auto dropout = [](double ratio) {
    return Attr().SetFloat("ratio", ratio).SetBits("random_key", 0x123456789abcdef0u);
  };
  for (const Dims& dims : kSizes) {
    all.push_back(Case(SizeName(dims), "Dropout", {F(dims)}, {F(dims)}, dropout(0.1)));
  }
  // Equal bytes: the mask is defined bit by bit, and these scales are powers of two.
  all.push_back(Case("half", "Dropout", {F({71, 229})}, {F({71, 229})}, dropout(0.5)).Exact());
  all.push_back(Case("default", "Dropout", {F({71, 229})}, {F({71, 229})}).Exact());
  all.push_back(Case("none", "Dropout", {F({7, 5})}, {F({7, 5})}, dropout(0)).Exact());
}

void AddCast(std::vector<KernelCase>& all) {
  const double infinity = std::numeric_limits<double>::infinity();
  const Fill numbers = {
      .kind = Fill::VALUES,
      .values = {0, 1, -1, 2.5, -2.5, 0.999, -0.999, 1e6 + 0.5, -77, 1.0039062, 3.0e9, -3.0e9, 1e30, -1e30}};
  const Fill whole = {.kind = Fill::INTEGERS, .low = -100000, .high = 100000};
  const DType types[] = {proto::F32, proto::F64, proto::BF16, proto::F16, proto::I32, proto::I64};
  for (DType from : types) {
    for (DType to : types) {
      all.push_back(Case(absl::StrCat(Name(from), "_", Name(to)), "Cast", {{from, {3, 71}}}, {{to, {3, 71}}},
                         Attr().SetInt("to", to))
                        .Input(0, IsFloat(from) ? numbers : whole)
                        .Exact());
    }
  }
  all.push_back(Case("large_bf16", "Cast", {F({3, 70001})}, {{proto::BF16, {3, 70001}}}).Exact());
  all.push_back(Case("not_finite", "Cast", {F({3})}, {I({3})})
                    .Input(0, {.kind = Fill::VALUES, .values = {infinity, -infinity, infinity - infinity}})
                    .Exact());
}

}  // namespace

std::vector<KernelCase> ElementwiseCases() {
  std::vector<KernelCase> all;
  AddUnary(all);
  AddBinary(all);
  AddDropout(all);
  AddCast(all);
  return all;
}

std::vector<KernelCase> OptimizerCases() {
  std::vector<KernelCase> all;
  const Fill positive = {.kind = Fill::UNIFORM, .low = 0, .high = 0.1};
  for (const double skip : {0.0, 1.0}) {
    for (const int decay : {0, 1}) {
      const std::string name = absl::StrCat(decay ? "decay" : "plain", skip != 0 ? "_skipped" : "");
      const Attributes attributes = Attr().SetInt("decay", decay);
      for (const int64_t n : {1, 71, 70001}) {
        const auto p = F({n});
        all.push_back(
            Case(absl::StrCat(name, "_", n), "AdamW", {D({10})}, {p, p, p, p}, attributes)
                .Input(0, {.kind = Fill::VALUES, .values = {3e-4, 0.125, skip, 7, 0.9, 0.95, 1e-8, 0.1, 0, 0}})
                .Output(3, positive));
      }
      for (const double nesterov : {0.0, 1.0}) {
        const auto p = F({7, 71});
        all.push_back(
            Case(absl::StrCat(name, nesterov != 0 ? "_nesterov" : ""), "SgdMomentum", {D({10})}, {p, p, p}, attributes)
                .Input(0, {.kind = Fill::VALUES, .values = {0.1, 0.125, skip, 7, 0, 0, 0, 0.01, 0.9, nesterov}}));
      }
    }
  }
  all.push_back(Case("first_step", "AdamW", {D({10})}, {F({33}), F({33}), F({33}), F({33})})
                    .Input(0, {.kind = Fill::VALUES, .values = {1e-3, 1, 0, 1, 0.9, 0.999, 1e-8, 0, 0, 0}})
                    .Output(2, {.kind = Fill::VALUES, .values = {0}})
                    .Output(3, {.kind = Fill::VALUES, .values = {0}}));
  for (const DType half : {proto::BF16, proto::F16}) {  // the master is stepped, and rounded
    const std::string type(Name(half));
    const Attributes attributes = Attr().SetInt("decay", 1);
    for (const int64_t n : {71, 70001}) {
      all.push_back(Case(absl::StrCat("master_", type, "_", n), "AdamW", {D({10})},
                         {{half, {n}}, F({n}), F({n}), F({n}), F({n})}, attributes)
                        .Input(0, {.kind = Fill::VALUES, .values = {3e-4, 0.125, 0, 7, 0.9, 0.95, 1e-8, 0.1, 0, 0}})
                        .Output(3, positive));
    }
    all.push_back(Case(absl::StrCat("master_", type), "SgdMomentum", {D({10})},
                       {{half, {7, 71}}, F({7, 71}), F({7, 71}), F({7, 71})}, attributes)
                      .Input(0, {.kind = Fill::VALUES, .values = {0.1, 0.125, 0, 7, 0, 0, 0, 0.01, 0.9, 1}}));
  }
  all.push_back(Case("ragged", "SquaredSums", {F({7, 71})}, {D({16})}, Attr().SetInt("block", 32)));
  all.push_back(Case("one_block", "SquaredSums", {F({71})}, {D({1})}, Attr().SetInt("block", 4096)));
  all.push_back(Case("large", "SquaredSums", {F({100003})}, {D({25})}, Attr().SetInt("block", 4096)));
  return all;
}

}  // namespace millrace::cases
