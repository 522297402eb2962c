// The flags of a search on paper, checked, as a question.
#ifndef TOOLS_CLI_SEARCH_QUESTION_H_
#define TOOLS_CLI_SEARCH_QUESTION_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "partitioner/paper/machine.h"
#include "partitioner/search/replica_search.h"
#include "partitioner/search/search.h"
#include "proto/model.pb.h"
#include "tools/cli/flags.h"
#include "tools/cli/plan_flags.h"

namespace millrace {

struct SearchFlags {
  int64_t global_batch = 0;
  int64_t tensor_parallel = 0;  // fixed; 0: free
  std::string replicas;         // fixed: "4", of every stage, or "3-1", of each; "" or "0": free
  int64_t sharding = -1;        // fixed; -1: free

  void Declare(FlagSet* flags);
};

// Usage errors.
absl::Status CheckSearchFlags(const SearchFlags& search, const PlanFlags& plan, const FlagSet& flags);
// One number, one for each stage, or none.
absl::StatusOr<std::vector<int64_t>> ReplicasOf(const SearchFlags& search);

// For a transformer. One number of replicas is in the question, several are not.
absl::StatusOr<SearchQuestion> TransformerQuestion(const SearchFlags& search, const PlanFlags& plan,
                                                   const FlagSet& flags, const PaperMachine& machine,
                                                   const Transformer& model);
// For any other graph, which must outlive the result. Usage errors for what is known for transformers only.
absl::StatusOr<ReplicaQuestion> GraphQuestion(const SearchFlags& search, const PlanFlags& plan, const FlagSet& flags,
                                              const PaperMachine& machine, const proto::Model& model);

}  // namespace millrace

#endif  // TOOLS_CLI_SEARCH_QUESTION_H_
