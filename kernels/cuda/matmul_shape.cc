#include "kernels/cuda/matmul_shape.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "kernels/axes.h"
#include "kernels/cuda/element_types.h"
#include "proto/status_macros.h"

namespace millrace::cuda {
namespace {

// More calls than this are a shape that nobody trains with; they would take longer to launch than to compute.
constexpr int64_t kMostCalls = 4096;

MapOp ActivationNamed(const std::string& name) {
  if (name == "Relu") return MapOp::kRelu;
  if (name == "Gelu") return MapOp::kGelu;
  if (name == "GeluTanh") return MapOp::kGeluTanh;
  if (name == "Silu") return MapOp::kSilu;
  if (name == "Tanh") return MapOp::kTanh;
  if (name == "Sigmoid") return MapOp::kSigmoid;
  return MapOp::kIdentity;
}

// Leading dimensions of A and B that broadcast: the innermost walk becomes the batch, the rest one call per step.
absl::Status SetBatch(const OpDesc& desc, MatMulShape* shape) {
  Product& p = shape->product;
  const auto leading = [](const TensorSpec& spec) {
    return std::vector<int64_t>(spec.dims.begin(), spec.dims.end() - 2);
  };
  const std::vector<int64_t> to = leading(desc.output(0));
  const std::vector<int64_t> of_a = BroadcastStrides(leading(desc.input(0)), to);
  const std::vector<int64_t> of_b = BroadcastStrides(leading(desc.input(1)), to);
  Axes axes;
  for (size_t i = 0; i < to.size(); ++i) axes.push_back({to[i], of_a[i] * p.m * p.k, of_b[i] * p.k * p.n});
  axes = Collapse(axes);
  const Axis inner = axes.back();
  p.batch = inner.size;
  p.a_stride = inner.a;
  p.b_stride = inner.b;
  p.d_stride = p.m * p.n;
  const int64_t calls = Steps(axes, axes.size() - 1);
  if (calls > kMostCalls) {
    return absl::UnimplementedError(absl::StrCat(desc.op, " on the cuda backend: the broadcast of ", desc.Key(),
                                                 " takes ", calls, " products; at most ", kMostCalls,
                                                 " are supported"));
  }
  shape->calls.clear();
  for (int64_t i = 0; i < calls; ++i) {
    const Offsets at = OffsetsAt(axes, axes.size() - 1, i);
    shape->calls.push_back({at.a, at.b, i * p.batch * p.d_stride});
    for (int64_t begin : {at.a, at.b, shape->calls.back().d}) {
      if (begin * SizeOf(p.in) % kAccessBytes != 0) p.alignment = SizeOf(p.in);
    }
  }
  return absl::OkStatus();
}

void SetGemmC(const OpDesc& desc, MatMulShape* shape) {
  const TensorSpec& c = desc.input(2);
  shape->product.alpha = static_cast<float>(desc.attributes.Float("alpha", 1));
  shape->beta = c.present() ? static_cast<float>(desc.attributes.Float("beta", 1)) : 0.0f;
  if (shape->beta == 0) return;
  if (c.columns() > 1) shape->c_column = 1;
  if (c.dims.size() == 2 && c.dims[0] > 1) shape->c_row = c.columns();
  shape->scaled_c = true;
}

}  // namespace

absl::StatusOr<MatMulShape> MatMulShapeOf(const OpDesc& desc) {
  const bool trans_a = desc.op != "MatMul" && desc.attributes.Int("transA", 0) != 0;
  const bool trans_b = desc.op != "MatMul" && desc.attributes.Int("transB", 0) != 0;
  const auto& a = desc.input(0).dims;
  const auto& b = desc.input(1).dims;
  MatMulShape shape;
  Product& p = shape.product;
  p.trans_a = trans_a;
  p.trans_b = trans_b;
  p.in = p.out = ElementOf(desc.input(0));
  p.n = b[b.size() - (trans_b ? 2 : 1)];
  p.k = b[b.size() - (trans_b ? 1 : 2)];
  shape.calls = {{}};
  if (b.size() == 2 && !trans_a) {  // all rows of A
    p.m = 1;
    for (size_t i = 0; i + 1 < a.size(); ++i) p.m *= a[i];
  } else {
    p.m = a[a.size() - (trans_a ? 1 : 2)];
    MR_RETURN_IF_ERROR(SetBatch(desc, &shape));
  }
  p.lda = trans_a ? p.m : p.k;
  p.ldb = trans_b ? p.k : p.n;
  p.ldd = p.n;
  if (desc.op == "Gemm") SetGemmC(desc, &shape);
  if (desc.op == "FusedMatMul") {
    shape.activation = ActivationNamed(desc.attributes.String("activation", ""));
    shape.bias = desc.input(2).present();
    shape.residual = desc.input(3).present();
    shape.pre = desc.output(1).present();
  }
  return shape;
}

EpiloguePlan PlanEpilogue(const MatMulShape& shape) {
  EpiloguePlan plan;
  plan.epilogue = shape.bias ? Epilogue::kBias : Epilogue::kNone;
  const bool alone = !shape.residual && !shape.pre;
  // The library's tanh may be the hardware's approximation: below float32's rounding, not below that of 16 bits.
  const bool gelu = shape.activation == MapOp::kGeluTanh && !shape.residual && shape.product.out != Element::kF32;
  if (shape.activation == MapOp::kIdentity) {
    plan.c_is_residual = shape.residual;
  } else if (shape.activation == MapOp::kRelu && alone) {
    plan.epilogue = shape.bias ? Epilogue::kReluBias : Epilogue::kRelu;
  } else if (gelu && !shape.pre) {
    plan.epilogue = shape.bias ? Epilogue::kGeluBias : Epilogue::kGelu;
  } else if (gelu && shape.product.n % 8 == 0) {  // the library's demand on the rows of its second output
    plan.epilogue = shape.bias ? Epilogue::kGeluAuxBias : Epilogue::kGeluAux;
  } else {
    plan.finish = true;
  }
  return plan;
}

}  // namespace millrace::cuda
