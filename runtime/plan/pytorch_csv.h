// Schedules in the CSV dialect of torch.distributed.pipelining (_dump_csv, _load_csv of its compute-only schedules): as
// ours, but B is the full backward and I the input gradient. 2F0, 2I0, 2W0, 2B0; one line per rank; cells may be empty.
#ifndef RUNTIME_PLAN_PYTORCH_CSV_H_
#define RUNTIME_PLAN_PYTORCH_CSV_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/plan/action.h"

namespace millrace {

// INVALID_ARGUMENT names line and cell. Lowered schedules are refused: their SEND, RECV, UNSHARD and the like are what
// our own lowering decides.
absl::StatusOr<Schedule> ParsePytorchCsv(absl::string_view text);

// INVALID_ARGUMENT for an R, for which the dialect has no letter.
absl::StatusOr<std::string> ToPytorchCsv(const Schedule& schedule);

}  // namespace millrace

#endif  // RUNTIME_PLAN_PYTORCH_CSV_H_
