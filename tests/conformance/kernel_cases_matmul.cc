// Cases of MatMul, Gemm, FusedMatMul, MatMulWeightGrad.
#include "absl/strings/str_cat.h"
#include "tests/conformance/kernel_case.h"

namespace millrace::cases {
namespace {

void AddMatMul(std::vector<KernelCase>& all) {
  all.push_back(Case("one", "MatMul", {F({1, 1}), F({1, 1})}, {F({1, 1})}));
  all.push_back(Case("odd", "MatMul", {F({7, 71}), F({71, 229})}, {F({7, 229})}));
  all.push_back(Case("column", "MatMul", {F({71, 7}), F({7, 1})}, {F({71, 1})}));
  all.push_back(Case("rows_of_three_dims", "MatMul", {F({2, 5, 33}), F({33, 17})}, {F({2, 5, 17})}));
  all.push_back(Case("batched", "MatMul", {F({2, 3, 7, 9}), F({2, 3, 9, 5})}, {F({2, 3, 7, 5})}));
  all.push_back(Case("broadcast_a", "MatMul", {F({7, 9}), F({3, 9, 5})}, {F({3, 7, 5})}));
  all.push_back(Case("broadcast_both", "MatMul", {F({2, 1, 7, 9}), F({3, 9, 5})}, {F({2, 3, 7, 5})}));
  all.push_back(Case("large", "MatMul", {F({300, 260}), F({260, 520})}, {F({300, 520})}));
  all.push_back(Case("no_rows", "MatMul", {F({0, 9}), F({9, 5})}, {F({0, 5})}));
}

void AddGemm(std::vector<KernelCase>& all) {
  for (const bool ta : {false, true}) {
    for (const bool tb : {false, true}) {
      const Dims a = ta ? Dims{71, 7} : Dims{7, 71}, b = tb ? Dims{33, 71} : Dims{71, 33};
      const Attributes trans = Attr().SetInt("transA", ta).SetInt("transB", tb);
      const std::string name = absl::StrCat(ta ? "t" : "n", tb ? "t" : "n");
      all.push_back(Case(name, "Gemm", {F(a), F(b)}, {F({7, 33})}, trans));
      Attributes scaled = trans;
      scaled.SetFloat("alpha", 0.5).SetFloat("beta", -2);
      all.push_back(Case(name + "_scaled_row", "Gemm", {F(a), F(b), F({33})}, {F({7, 33})}, scaled));
    }
  }
  all.push_back(Case("c_column", "Gemm", {F({7, 9}), F({9, 5}), F({7, 1})}, {F({7, 5})}));
  all.push_back(Case("c_full", "Gemm", {F({7, 9}), F({9, 5}), F({7, 5})}, {F({7, 5})}));
  all.push_back(Case("c_scalar", "Gemm", {F({7, 9}), F({9, 5}), F({})}, {F({7, 5})}));
  all.push_back(Case("absent_c", "Gemm", {F({7, 9}), F({9, 5}), None()}, {F({7, 5})}));
  all.push_back(Case("weight_gradient_size", "Gemm", {F({260, 130}), F({260, 200})}, {F({130, 200})},
                     Attr().SetInt("transA", 1)));
}

void AddFusedMatMul(std::vector<KernelCase>& all) {
  const auto fused = [&](const std::string& name, const Attributes& attributes, bool bias, bool residual, bool pre) {
    const bool tb = attributes.Int("transB", 0) != 0;
    all.push_back(Case(
        name, "FusedMatMul",
        {F({3, 5, 71}), tb ? F({33, 71}) : F({71, 33}), bias ? F({33}) : None(), residual ? F({3, 5, 33}) : None()},
        {F({3, 5, 33}), pre ? F({3, 5, 33}) : None()}, attributes));
  };
  fused("plain", Attr(), false, false, false);
  fused("bias", Attr(), true, false, false);
  fused("residual", Attr(), false, true, false);
  fused("bias_residual_trans_b", Attr().SetInt("transB", 1), true, true, false);
  for (const char* activation : {"Relu", "Gelu", "GeluTanh", "Silu", "Tanh", "Sigmoid"}) {
    fused(absl::StrCat(activation, "_pre"), Attr().SetString("activation", activation), true, false, true);
    fused(absl::StrCat(activation, "_residual"), Attr().SetString("activation", activation), true, true, false);
  }
  fused("all", Attr().SetString("activation", "Gelu").SetInt("transB", 1), true, true, true);
  for (const bool tb : {false, true}) {
    const Attributes packed = Attr().SetInt("packed", 1).SetInt("transB", tb);
    const std::string name = absl::StrCat("packed_", tb ? "t" : "n");
    fused(name, packed, false, false, false);
    Attributes gelu = packed;
    fused(name + "_all", gelu.SetString("activation", "GeluTanh"), true, true, true);
    all.push_back(Case(name + "_large", "FusedMatMul", {F({2, 130, 200}), tb ? F({520, 200}) : F({200, 520}), F({520})},
                       {F({2, 130, 520})}, packed));
  }
  all.push_back(Case("vector", "FusedMatMul", {F({71}), F({71, 33})}, {F({33})}));
  all.push_back(
      Case("batched_trans_b", "FusedMatMul", {F({2, 7, 9}), F({2, 5, 9})}, {F({2, 7, 5})}, Attr().SetInt("transB", 1)));
  all.push_back(
      Case("batched_trans_a", "FusedMatMul", {F({2, 9, 7}), F({2, 9, 5})}, {F({2, 7, 5})}, Attr().SetInt("transA", 1)));
  all.push_back(
      Case("batched_bias_residual", "FusedMatMul", {F({2, 7, 9}), F({2, 9, 5}), F({5}), F({2, 7, 5})}, {F({2, 7, 5})}));
}

void AddWeightGrad(std::vector<KernelCase>& all) {
  for (const bool tb : {false, true}) {
    const Attributes trans = Attr().SetInt("transB", tb);
    const std::string name = tb ? "t" : "n";
    all.push_back(
        Case(name, "MatMulWeightGrad", {F({2, 5, 71}), F({2, 5, 33})}, {tb ? F({33, 71}) : F({71, 33})}, trans));
    all.push_back(Case(name + "_bias", "MatMulWeightGrad", {F({229, 7}), F({229, 33})},
                       {tb ? F({33, 7}) : F({7, 33}), F({33})}, trans));
    all.push_back(Case(name + "_large", "MatMulWeightGrad", {F({2, 130, 200}), F({2, 130, 260})},
                       {tb ? F({260, 200}) : F({200, 260}), F({260})}, trans));
  }
  all.push_back(Case("one_row", "MatMulWeightGrad", {F({1, 7}), F({1, 5})}, {F({7, 5}), F({5})}));
}

}  // namespace

std::vector<KernelCase> MatMulCases() {
  std::vector<KernelCase> all;
  AddMatMul(all);
  AddGemm(all);
  AddFusedMatMul(all);
  AddWeightGrad(all);
  return all;
}

}  // namespace millrace::cases
