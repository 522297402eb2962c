// The rules of all operators as tables, one per family. Internal to op_rules.
#ifndef KERNELS_OP_RULE_TABLE_H_
#define KERNELS_OP_RULE_TABLE_H_

#include <cstdint>
#include <vector>

#include "kernels/op_check.h"
#include "kernels/op_desc.h"

namespace millrace::op_rules {

struct Rule {
  const char* op;
  void (*check)(const OpDesc&, OpCheck&);
};

const std::vector<Rule>& MatMulRules();
const std::vector<Rule>& ElementwiseRules();  // and normalisation, optimizer
const std::vector<Rule>& ShapeRules();        // and attention, embedding, reductions

// numpy's broadcast of two shapes; false when they do not fit.
bool BroadcastDims(const std::vector<int64_t>& a, const std::vector<int64_t>& b, std::vector<int64_t>* out);
bool BroadcastsTo(const std::vector<int64_t>& from, const std::vector<int64_t>& to);
// F64 for F64, else F32.
DType AccumulatorOf(DType dtype);

}  // namespace millrace::op_rules

#endif  // KERNELS_OP_RULE_TABLE_H_
