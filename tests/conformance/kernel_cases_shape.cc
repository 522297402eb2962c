// Cases of operators that move elements, and of reductions.
#include "absl/strings/str_cat.h"
#include "tests/conformance/kernel_case.h"

namespace millrace::cases {
namespace {

void AddMoves(std::vector<KernelCase>& all) {
  all.push_back(Case("flatten", "Reshape", {F({3, 5, 7})}, {F({15, 7})}).Exact());
  all.push_back(Case("tokens", "Reshape", {I({3, 5})}, {I({15})}).Input(0, Below(100)).Exact());
  all.push_back(Case("scalar", "Reshape", {F({1, 1})}, {F({})}).Exact());
  all.push_back(Case("odd", "Fork", {F({3, 71})}, {F({3, 71}), F({3, 71})}).Exact());

  struct Permutation {
    const char* name;
    Dims in, perm, out;
  };
  for (const Permutation& p :
       {Permutation{"matrix", {7, 71}, {}, {71, 7}}, Permutation{"heads", {2, 7, 3, 5}, {0, 2, 1, 3}, {2, 3, 7, 5}},
        Permutation{"last_two", {2, 7, 33}, {0, 2, 1}, {2, 33, 7}}, Permutation{"same", {3, 5}, {0, 1}, {3, 5}},
        Permutation{"cycle", {3, 5, 7}, {2, 0, 1}, {7, 3, 5}}, Permutation{"vector", {7}, {}, {7}},
        Permutation{"large", {300, 515}, {1, 0}, {515, 300}}}) {
    const Attributes attributes = p.perm.empty() ? Attr() : Attr().SetInts("perm", p.perm);
    all.push_back(Case(p.name, "Transpose", {F(p.in)}, {F(p.out)}, attributes).Exact());
  }
  all.push_back(Case("tokens", "Transpose", {I({3, 5})}, {I({5, 3})}).Input(0, Below(100)).Exact());

  struct Cut {
    const char* name;
    int64_t axis;
    Dims whole;
    std::vector<Dims> pieces;
  };
  for (const Cut& c :
       {Cut{"rows", 0, {7, 5}, {{3, 5}, {4, 5}}}, Cut{"qkv", -1, {2, 7, 33}, {{2, 7, 11}, {2, 7, 11}, {2, 7, 11}}},
        Cut{"middle", 1, {2, 9, 5}, {{2, 1, 5}, {2, 3, 5}, {2, 5, 5}}}, Cut{"one_piece", 1, {3, 5}, {{3, 5}}},
        Cut{"last_ragged", 2, {3, 5, 8}, {{3, 5, 1}, {3, 5, 7}}}}) {
    std::vector<TensorSpec> pieces;
    Dims sizes;
    for (const Dims& piece : c.pieces) {
      pieces.push_back(F(piece));
      sizes.push_back(piece[c.axis < 0 ? c.axis + piece.size() : c.axis]);
    }
    const Attributes axis = Attr().SetInt("axis", c.axis);
    Attributes with_sizes = axis;
    all.push_back(Case(c.name, "Split", {F(c.whole)}, pieces, with_sizes.SetInts("split", sizes)).Exact());
    all.push_back(Case(c.name, "Concat", pieces, {F(c.whole)}, axis).Exact());
  }
}

void AddReductions(std::vector<KernelCase>& all) {
  struct Axes {
    const char* name;
    Dims in, axes, kept, dropped;
  };
  for (const Axes& a :
       {Axes{"all", {3, 5, 7}, {}, {1, 1, 1}, {}}, Axes{"last", {3, 5, 71}, {-1}, {3, 5, 1}, {3, 5}},
        Axes{"first", {71, 5}, {0}, {1, 5}, {5}}, Axes{"middle", {3, 229, 7}, {1}, {3, 1, 7}, {3, 7}},
        Axes{"outer_and_inner", {3, 5, 7}, {0, 2}, {1, 5, 1}, {5}}, Axes{"large", {70, 3001}, {1}, {70, 1}, {70}}}) {
    for (const char* op : {"ReduceSum", "ReduceMean"}) {
      const Attributes axes = a.axes.empty() ? Attr() : Attr().SetInts("axes", a.axes);
      Attributes dropping = axes;
      all.push_back(Case(a.name, op, {F(a.in)}, {F(a.kept)}, axes));
      all.push_back(
          Case(absl::StrCat(a.name, "_dropped"), op, {F(a.in)}, {F(a.dropped)}, dropping.SetInt("keepdims", 0)));
    }
  }

  struct Repeat {
    const char* name;
    Dims small, large;
  };
  for (const Repeat& r :
       {Repeat{"bias", {71}, {3, 5, 71}}, Repeat{"scalar", {}, {7, 33}}, Repeat{"row_scale", {3, 5, 1}, {3, 5, 7}},
        Repeat{"middle", {3, 1, 7}, {3, 5, 7}}, Repeat{"position", {5, 71}, {3, 5, 71}},
        Repeat{"mixed", {1, 5, 1}, {2, 3, 5, 7}}, Repeat{"same", {3, 7}, {3, 7}}, Repeat{"large", {229}, {700, 229}}}) {
    all.push_back(Case(r.name, "ReduceSumTo", {F(r.large)}, {F(r.small)}));
    all.push_back(Case(absl::StrCat(r.name, "_accumulate"), "ReduceSumTo", {F(r.large)}, {F(r.small)},
                       Attr().SetInt("accumulate", 1)));
    all.push_back(Case(r.name, "Expand", {F(r.small)}, {F(r.large)}).Exact());
    all.push_back(
        Case(absl::StrCat(r.name, "_scaled"), "Expand", {F(r.small)}, {F(r.large)}, Attr().SetFloat("scale", 0.3)));
  }
}

}  // namespace

std::vector<KernelCase> ShapeCases() {
  std::vector<KernelCase> all;
  AddMoves(all);
  AddReductions(all);
  return all;
}

}  // namespace millrace::cases
