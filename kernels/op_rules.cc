#include "kernels/op_rules.h"

#include <algorithm>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kernels/op_check.h"
#include "kernels/op_rule_table.h"

namespace millrace {
namespace op_rules {

bool BroadcastDims(const std::vector<int64_t>& a, const std::vector<int64_t>& b, std::vector<int64_t>* out) {
  const size_t rank = std::max(a.size(), b.size());
  out->assign(rank, 1);
  for (size_t i = 0; i < rank; ++i) {
    const int64_t da = i < a.size() ? a[a.size() - 1 - i] : 1;
    const int64_t db = i < b.size() ? b[b.size() - 1 - i] : 1;
    if (da != db && da != 1 && db != 1) return false;
    (*out)[rank - 1 - i] = da == 1 ? db : da;
  }
  return true;
}

bool BroadcastsTo(const std::vector<int64_t>& from, const std::vector<int64_t>& to) {
  std::vector<int64_t> out;
  return BroadcastDims(from, to, &out) && out == to;
}

DType AccumulatorOf(DType dtype) { return dtype == proto::F64 ? proto::F64 : proto::F32; }

namespace {

using RuleMap = absl::flat_hash_map<std::string, void (*)(const OpDesc&, OpCheck&)>;

const RuleMap& AllRules() {
  static const RuleMap* const rules = [] {
    auto* all = new RuleMap();
    for (const auto* family : {&MatMulRules(), &ElementwiseRules(), &ShapeRules()}) {
      for (const Rule& rule : *family) all->emplace(rule.op, rule.check);
    }
    return all;
  }();
  return *rules;
}

}  // namespace
}  // namespace op_rules

bool IsKnownOp(absl::string_view op) { return op_rules::AllRules().contains(std::string(op)); }

absl::Status CheckOp(const OpDesc& desc) {
  const auto rule = op_rules::AllRules().find(desc.op);
  if (rule == op_rules::AllRules().end()) {
    return absl::NotFoundError(absl::StrCat("there is no operator '", desc.op, "'; docs/operators.md lists all"));
  }
  OpCheck check(desc);
  rule->second(desc, check);
  return check.status();
}

}  // namespace millrace
