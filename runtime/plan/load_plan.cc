#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "proto/text_proto.h"
#include "runtime/plan/broken.h"
#include "runtime/plan/plan.h"
#include "runtime/plan/verify.h"

namespace millrace {

absl::StatusOr<proto::ExecutionPlan> LoadPlan(absl::string_view path) {
  proto::ExecutionPlan plan;
  MR_RETURN_IF_ERROR(ReadMessage(path, &plan));
  const std::string hash = PlanHash(plan);
  if (plan.hash() != hash) {
    return absl::FailedPreconditionError(
        absl::StrCat("rule hash: plan ", path, ": it says ", Quoted(plan.hash()), " but its bytes give ", hash,
                     "; it was changed after it was sealed: partition the model again"));
  }
  const absl::Status status = VerifyPlan(plan);
  if (!status.ok()) return absl::Status(status.code(), absl::StrCat(path, ": ", status.message()));
  return plan;
}

}  // namespace millrace
