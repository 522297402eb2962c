// The vocabulary in which the rules of operators are written (kernels/op_rules_*.cc). Internal to op_rules.
#ifndef KERNELS_OP_CHECK_H_
#define KERNELS_OP_CHECK_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "kernels/op_desc.h"

namespace millrace {

// Keeps the first thing found wrong with a desc. Every demand returns whether all has been well so far, so that a rule
// can stop before it looks at a dimension that is not there.
class OpCheck {
 public:
  explicit OpCheck(const OpDesc& desc) : desc_(desc) {}

  // Positions [0, required) must be present, [required, most) may be.
  bool Inputs(int required, int most) { return Count("input", desc_.inputs, required, most); }
  bool Outputs(int required, int most) { return Count("output", desc_.outputs, required, most); }
  // Present tensors only; absent ones pass.
  bool InputIs(int i, DType dtype, const std::vector<int64_t>& dims) {
    return Is("input", i, desc_.input(i), dtype, dims);
  }
  bool OutputIs(int i, DType dtype, const std::vector<int64_t>& dims) {
    return Is("output", i, desc_.output(i), dtype, dims);
  }
  bool Demand(bool holds, absl::string_view what) {
    if (!holds && status_.ok()) {
      status_ = absl::InvalidArgumentError(absl::StrCat(desc_.op, ": ", what, ", in ", desc_.Key()));
    }
    return status_.ok();
  }
  bool ok() const { return status_.ok(); }
  absl::Status status() const { return status_; }

 private:
  bool Count(absl::string_view kind, const std::vector<TensorSpec>& specs, int required, int most) {
    if (!Demand(static_cast<int>(specs.size()) >= required && static_cast<int>(specs.size()) <= most,
                absl::StrCat(specs.size(), " ", kind, "s; there must be ", required,
                             most == required ? "" : absl::StrCat(" to ", most)))) {
      return false;
    }
    for (int i = 0; i < static_cast<int>(specs.size()); ++i) {
      if (!Demand(i >= required || specs[i].present(), absl::StrCat(kind, " ", i, " is absent"))) return false;
      int64_t elements = 1;
      for (int64_t d : specs[i].dims) {
        if (!Demand(d >= 0 && (d == 0 || elements <= (int64_t{1} << 42) / d),
                    absl::StrCat(kind, " ", i, " has an impossible size"))) {
          return false;
        }
        elements *= d;
      }
    }
    return true;
  }

  bool Is(absl::string_view kind, int i, const TensorSpec& spec, DType dtype, const std::vector<int64_t>& dims) {
    if (!ok() || !spec.present()) return ok();
    const TensorSpec wanted{dtype, dims};
    return Demand(spec == wanted,
                  absl::StrCat(kind, " ", i, " is ", spec.ToString(), " and must be ", wanted.ToString()));
  }

  const OpDesc& desc_;
  absl::Status status_;
};

}  // namespace millrace

#endif  // KERNELS_OP_CHECK_H_
