// The two macros for absl::Status, and nothing else.
#ifndef PROTO_STATUS_MACROS_H_
#define PROTO_STATUS_MACROS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define MR_RETURN_IF_ERROR(expression)                  \
  do {                                                  \
    absl::Status mr_status_ = (expression);             \
    if (!mr_status_.ok()) return mr_status_;            \
  } while (false)

#define MR_CONCAT_INNER_(a, b) a##b
#define MR_CONCAT_(a, b) MR_CONCAT_INNER_(a, b)

// MR_ASSIGN_OR_RETURN(auto x, F()); the function may return absl::Status or any absl::StatusOr.
#define MR_ASSIGN_OR_RETURN(left, expression) \
  MR_ASSIGN_OR_RETURN_INNER_(MR_CONCAT_(mr_status_or_, __LINE__), left, expression)
#define MR_ASSIGN_OR_RETURN_INNER_(holder, left, expression) \
  auto holder = (expression);                                \
  if (!holder.ok()) return std::move(holder).status();       \
  left = *std::move(holder)

#endif  // PROTO_STATUS_MACROS_H_
