// Checks on the parts of a submitted model that need no shapes: names, types, initialisers, arity, attributes.
#ifndef PARTITIONER_GRAPH_CHECK_MODEL_H_
#define PARTITIONER_GRAPH_CHECK_MODEL_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kernels/op_desc.h"
#include "proto/model.pb.h"

namespace millrace {

// A name as it may stand in a message: in double quotes, escaped, cut when long.
std::string QuotedName(absl::string_view name);
// 'node "h.0.mlp" (MatMul)'.
std::string NodeText(const proto::Node& node);

// All return INVALID_ARGUMENT; `what` begins the message.
absl::Status CheckName(const std::string& what, absl::string_view name);
// Sizes positive, at most kMaxRank of them, at most kMaxElements elements.
absl::Status CheckSize(const std::string& what, const TensorSpec& spec);
// The concrete type of an input: -1 becomes `micro_batch`.
absl::StatusOr<TensorSpec> BindInput(const proto::Input& input, int64_t micro_batch);
absl::Status CheckParameter(const proto::Parameter& parameter);
// Operator known and submittable, numbers of inputs and outputs, names and kinds of the attributes.
absl::Status CheckNode(const proto::Node& node);

}  // namespace millrace

#endif  // PARTITIONER_GRAPH_CHECK_MODEL_H_
