// How a broken rule is reported: one form for the verifier and the simulator.
#ifndef RUNTIME_PLAN_BROKEN_H_
#define RUNTIME_PLAN_BROKEN_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "proto/plan.pb.h"

namespace millrace {

// A place in a plan. Each part is left out of messages when it is not known.
struct Where {
  const proto::Program* program = nullptr;
  int rank = -1;
  int instruction = -1;  // index into the rank's list; may be printed only when it is one
};

// "program train, rank 1, instruction 17 (RUN 1F3)"; "plan" when nothing is known.
std::string Place(const Where& where);

// INVALID_ARGUMENT "rule RULE: PLACE: WHAT".
absl::Status Broken(absl::string_view rule, const Where& where, absl::string_view what);

// A name from a plan, fit for a message: cut short, control characters escaped, in quotes.
std::string Quoted(absl::string_view name);

}  // namespace millrace

#endif  // RUNTIME_PLAN_BROKEN_H_
