// What the report's tables have in their columns, the same in every form.
#ifndef TOOLS_REPORT_COLUMNS_H_
#define TOOLS_REPORT_COLUMNS_H_

#include <string>
#include <vector>

#include "proto/plan.pb.h"
#include "runtime/job/balance.h"
#include "runtime/plan/attribute.h"

namespace millrace {

// The kinds of work, and the causes of waiting, that take more than `least` of the step on any rank, predicted or
// measured.
std::vector<Work> WorksShown(const Balance& balance, double least = 1e-3);
std::vector<Wait> WaitsShown(const Balance& balance, double least = 1e-3);

// "waiting for data whose maker had not finished", ...: a line of explanation.
std::string WaitMeaning(Wait wait);

// "0", "0-3", "0,4,8"
std::string StagesText(const std::vector<int>& stages);

struct MemoryPart {
  std::string name;  // "parameters"
  uint64_t bytes = 0;
};
// All kinds, in the order of the arena; what is empty on this rank as well.
std::vector<MemoryPart> MemoryParts(const MemoryByKind& memory);

}  // namespace millrace

#endif  // TOOLS_REPORT_COLUMNS_H_
