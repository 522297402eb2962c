// Rules of attention, embedding, shape operators and reductions.
#include <algorithm>

#include "kernels/op_rule_table.h"

namespace millrace::op_rules {
namespace {

struct Heads {
  int64_t q = 0, kv = 0, width = 0;  // width of one head
};

// Head counts and the width of a head, from the attributes and the (packed or three) inputs that begin at `first`.
bool HeadsOf(const OpDesc& d, OpCheck& c, int first, Heads* heads) {
  const TensorSpec &q = d.input(first), &k = d.input(first + 1), &v = d.input(first + 2);
  if (!c.Demand(q.dims.size() == 3 && IsFloat(q.dtype), "Q must be floats [B,T,heads*D]")) return false;
  if (!c.Demand(k.present() == v.present(), "K and V are given together, or neither (packed)")) return false;
  heads->q = d.attributes.Int("q_num_heads", 0);
  heads->kv = d.attributes.Int("kv_num_heads", 0);
  if (!c.Demand(heads->q > 0 && heads->kv > 0 && heads->q % heads->kv == 0 && heads->q < (1 << 20),
                absl::StrCat("q_num_heads=", heads->q, " must be a multiple of kv_num_heads=", heads->kv))) {
    return false;
  }
  const int64_t all = k.present() ? heads->q : heads->q + 2 * heads->kv;
  if (!c.Demand(q.columns() % all == 0 && q.columns() > 0,
                absl::StrCat(q.ToString(), " does not divide into ", all, " heads"))) {
    return false;
  }
  heads->width = q.columns() / all;
  if (!k.present()) return true;
  const std::vector<int64_t> wanted = {q.dims[0], k.dims.size() == 3 ? k.dims[1] : 0, heads->kv * heads->width};
  c.InputIs(first + 1, q.dtype, wanted);
  c.InputIs(first + 2, q.dtype, wanted);
  const bool causal = d.attributes.Int("is_causal", 0) != 0;
  return c.Demand(!causal || wanted[1] >= q.dims[1], "causal attention needs as many keys as queries");
}

void Attention(const OpDesc& d, OpCheck& c) {
  Heads h;
  if (!c.Inputs(1, 3) || !c.Outputs(1, 2) || !HeadsOf(d, c, 0, &h)) return;
  const auto& q = d.input(0);
  c.OutputIs(0, q.dtype, {q.dims[0], q.dims[1], h.q * h.width});
  c.OutputIs(1, AccumulatorOf(q.dtype), {q.dims[0], h.q, q.dims[1]});
}

void AttentionGrad(const OpDesc& d, OpCheck& c) {
  Heads h;
  if (!c.Inputs(2, 6) || !HeadsOf(d, c, 1, &h)) return;
  const bool packed = !d.input(2).present();
  if (!c.Demand(d.input(4).present() && d.input(5).present(), "inputs 4 (Y) and 5 (Lse) are needed")) return;
  if (!(packed ? c.Outputs(1, 3) : c.Outputs(3, 3))) return;
  c.Demand(!packed || (!d.output(1).present() && !d.output(2).present()), "packed form: one output");
  const auto& q = d.input(1);
  const std::vector<int64_t> y = {q.dims[0], q.dims[1], h.q * h.width};
  c.InputIs(0, q.dtype, y);
  c.InputIs(4, q.dtype, y);
  c.InputIs(5, AccumulatorOf(q.dtype), {q.dims[0], h.q, q.dims[1]});
  c.OutputIs(0, q.dtype, q.dims);
  c.OutputIs(1, q.dtype, d.input(2).dims);
  c.OutputIs(2, q.dtype, d.input(3).dims);
}

void RotaryEmbedding(const OpDesc& d, OpCheck& c) {
  if (!c.Inputs(3, 3) || !c.Outputs(1, 1)) return;
  const TensorSpec& x = d.input(0);
  const int64_t heads = d.attributes.Int("num_heads", 0);
  if (!c.Demand(x.dims.size() == 3 && IsFloat(x.dtype), "X must be floats [B,T,heads*D]") ||
      !c.Demand(heads > 0 && x.columns() % heads == 0 && x.columns() / heads % 2 == 0,
                absl::StrCat("num_heads=", heads, " must divide ", x.columns(), " into heads of even width"))) {
    return;
  }
  const auto& cache = d.input(1).dims;
  if (!c.Demand(cache.size() == 2 && cache[0] >= x.dims[1] && cache[1] == x.columns() / heads / 2,
                absl::StrCat("cos is ", d.input(1).ToString(), " and must be [>=", x.dims[1], ",",
                             x.columns() / heads / 2, "]"))) {
    return;
  }
  c.InputIs(1, x.dtype, cache);
  c.InputIs(2, x.dtype, cache);
  c.OutputIs(0, x.dtype, x.dims);
}

void Gather(const OpDesc& d, OpCheck& c) {
  if (!c.Inputs(2, 2) || !c.Outputs(1, 1)) return;
  if (!c.Demand(!d.input(0).dims.empty(), "data needs a dimension") ||
      !c.Demand(d.attributes.Int("axis", 0) == 0, "axis must be 0")) {
    return;
  }
  c.InputIs(1, proto::I64, d.input(1).dims);
  std::vector<int64_t> dims = d.input(1).dims;
  dims.insert(dims.end(), d.input(0).dims.begin() + 1, d.input(0).dims.end());
  c.OutputIs(0, d.input(0).dtype, dims);
}

void GatherGrad(const OpDesc& d, OpCheck& c) {
  if (!c.Inputs(2, 2) || !c.Outputs(1, 1)) return;
  const TensorSpec& out = d.output(0);
  if (!c.Demand(!out.dims.empty() && IsFloat(d.input(0).dtype), "dData needs a dimension, dY floats") ||
      !c.Demand(d.attributes.Int("axis", 0) == 0, "axis must be 0")) {
    return;
  }
  c.InputIs(1, proto::I64, d.input(1).dims);
  std::vector<int64_t> dims = d.input(1).dims;
  dims.insert(dims.end(), out.dims.begin() + 1, out.dims.end());
  c.InputIs(0, d.input(0).dtype, dims);
  c.OutputIs(0, AccumulatorOf(d.input(0).dtype), out.dims);
}

void Softmax(const OpDesc& d, OpCheck& c) {
  const int inputs = d.op == "Softmax" ? 1 : 2;
  if (!c.Inputs(inputs, inputs) || !c.Outputs(1, 1)) return;
  const TensorSpec& x = d.input(0);
  const int64_t axis = d.attributes.Int("axis", -1), rank = static_cast<int64_t>(x.dims.size());
  c.Demand(rank > 0 && IsFloat(x.dtype) && (axis == -1 || axis == rank - 1), "floats and the last axis are needed");
  c.InputIs(1, x.dtype, x.dims);
  c.OutputIs(0, x.dtype, x.dims);
}

void View(const OpDesc& d, OpCheck& c) {
  if (!c.Inputs(1, 1) || !c.Outputs(1, 1)) return;
  c.Demand(d.input(0).dtype == d.output(0).dtype && d.input(0).elements() == d.output(0).elements(),
           absl::StrCat(d.input(0).ToString(), " cannot be seen as ", d.output(0).ToString()));
}

void Fork(const OpDesc& d, OpCheck& c) {
  if (!c.Inputs(1, 1) || !c.Outputs(2, 2)) return;
  c.OutputIs(0, d.input(0).dtype, d.input(0).dims);
  c.OutputIs(1, d.input(0).dtype, d.input(0).dims);
}

void Transpose(const OpDesc& d, OpCheck& c) {
  if (!c.Inputs(1, 1) || !c.Outputs(1, 1)) return;
  const auto& in = d.input(0).dims;
  std::vector<int64_t> perm = d.attributes.Ints("perm");
  if (perm.empty()) {
    for (size_t i = in.size(); i-- > 0;) perm.push_back(static_cast<int64_t>(i));
  }
  std::vector<int64_t> sorted = perm;
  std::sort(sorted.begin(), sorted.end());
  bool permutation = perm.size() == in.size();
  for (size_t i = 0; permutation && i < sorted.size(); ++i) permutation = sorted[i] == static_cast<int64_t>(i);
  if (!c.Demand(permutation, "perm is not a permutation of the dimensions")) return;
  std::vector<int64_t> dims;
  for (int64_t p : perm) dims.push_back(in[p]);
  c.OutputIs(0, d.input(0).dtype, dims);
}

// Pieces of `whole` along an axis: the same but there, where they add up to it.
void Pieces(const OpDesc& d, OpCheck& c, const TensorSpec& whole, const std::vector<TensorSpec>& pieces, int64_t axis) {
  const int64_t rank = static_cast<int64_t>(whole.dims.size());
  if (axis < 0) axis += rank;
  if (!c.Demand(axis >= 0 && axis < rank, absl::StrCat("axis is out of range for ", whole.ToString()))) return;
  int64_t sum = 0;
  for (const TensorSpec& piece : pieces) {
    std::vector<int64_t> dims = whole.dims;
    if (static_cast<int64_t>(piece.dims.size()) == rank) dims[axis] = piece.dims[axis];
    if (!c.Demand(piece.dtype == whole.dtype && piece.dims == dims,
                  absl::StrCat("piece ", piece.ToString(), " does not fit ", whole.ToString()))) {
      return;
    }
    sum += dims[axis];
  }
  c.Demand(sum == whole.dims[axis], absl::StrCat("pieces add up to ", sum, " of ", whole.dims[axis]));
  const std::vector<int64_t> split = d.attributes.Ints("split");
  bool as_said = split.empty() || split.size() == pieces.size();
  for (size_t i = 0; as_said && i < split.size(); ++i) as_said = split[i] == pieces[i].dims[axis];
  c.Demand(as_said, "attribute split does not fit the outputs");
}

void Split(const OpDesc& d, OpCheck& c) {
  const int n = static_cast<int>(d.outputs.size());
  if (!c.Inputs(1, 1) || !c.Outputs(std::max(n, 1), std::max(n, 1))) return;
  Pieces(d, c, d.input(0), d.outputs, d.attributes.Int("axis", 0));
}

void Concat(const OpDesc& d, OpCheck& c) {
  const int n = static_cast<int>(d.inputs.size());
  if (!c.Inputs(std::max(n, 1), std::max(n, 1)) || !c.Outputs(1, 1)) return;
  Pieces(d, c, d.output(0), d.inputs, d.attributes.Int("axis", 0));
}

void Reduce(const OpDesc& d, OpCheck& c) {
  if (!c.Inputs(1, 1) || !c.Outputs(1, 1)) return;
  const TensorSpec& x = d.input(0);
  const int64_t rank = static_cast<int64_t>(x.dims.size());
  std::vector<bool> reduced(rank, d.attributes.Ints("axes").empty());
  for (int64_t axis : d.attributes.Ints("axes")) {
    if (!c.Demand(axis >= -rank && axis < rank, absl::StrCat("axis ", axis, " is out of range for ", x.ToString())))
      return;
    reduced[axis < 0 ? axis + rank : axis] = true;
  }
  std::vector<int64_t> dims;
  for (int64_t i = 0; i < rank; ++i) {
    if (!reduced[i]) dims.push_back(x.dims[i]);
    if (reduced[i] && d.attributes.Int("keepdims", 1) != 0) dims.push_back(1);
  }
  c.Demand(IsFloat(x.dtype), "floats are needed");
  c.OutputIs(0, x.dtype, dims);
}

void ReduceSumTo(const OpDesc& d, OpCheck& c) {
  if (!c.Inputs(1, 1) || !c.Outputs(1, 1)) return;
  const bool accumulate = d.attributes.Int("accumulate", 0) != 0;
  c.Demand(IsFloat(d.input(0).dtype) && BroadcastsTo(d.output(0).dims, d.input(0).dims),
           absl::StrCat(d.output(0).ToString(), " does not broadcast to ", d.input(0).ToString()));
  c.OutputIs(0, accumulate ? AccumulatorOf(d.input(0).dtype) : d.input(0).dtype, d.output(0).dims);
}

void Expand(const OpDesc& d, OpCheck& c) {
  if (!c.Inputs(1, 1) || !c.Outputs(1, 1)) return;
  c.Demand(d.input(0).dtype == d.output(0).dtype && IsFloat(d.input(0).dtype) &&
               BroadcastsTo(d.input(0).dims, d.output(0).dims),
           absl::StrCat(d.input(0).ToString(), " does not broadcast to ", d.output(0).ToString()));
}

}  // namespace

const std::vector<Rule>& ShapeRules() {
  static const auto* const rules = new std::vector<Rule>{
      {"Attention", Attention},
      {"AttentionGrad", AttentionGrad},
      {"RotaryEmbedding", RotaryEmbedding},
      {"Gather", Gather},
      {"GatherGrad", GatherGrad},
      {"Softmax", Softmax},
      {"SoftmaxGrad", Softmax},
      {"Reshape", View},
      {"Fork", Fork},
      {"Transpose", Transpose},
      {"Split", Split},
      {"Concat", Concat},
      {"ReduceSum", Reduce},
      {"ReduceMean", Reduce},
      {"ReduceSumTo", ReduceSumTo},
      {"Expand", Expand},
  };
  return *rules;
}

}  // namespace millrace::op_rules
