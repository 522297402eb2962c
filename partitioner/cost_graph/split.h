// Splitting the units of a cost graph into an ordered list of pieces, each on a device of its own: the problem of
// Tarnawski et al. 2020 ("Efficient Algorithms for Device Placement of DNN Graph Operators", arXiv 2006.16423), in its
// contiguous form.
#ifndef PARTITIONER_COST_GRAPH_SPLIT_H_
#define PARTITIONER_COST_GRAPH_SPLIT_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace millrace {

// What sits on one device together. Times in the file's unit, memory in bytes.
struct SplitUnit {
  double accelerator_time = 0;
  double host_time = 0;
  double bytes = 0;
  bool accelerator_can = true;  // false: only a host runs it
};

// The output of a node. A piece pays `cost` once when the tensor crosses its border, outward or inward: when some but
// not all of `units` (its maker's and its users', each once) are in the piece. Hosts pay nothing.
struct SplitTensor {
  double cost = 0;
  std::vector<int> units;
};

struct SplitProblem {
  std::vector<SplitUnit> units;
  std::vector<SplitTensor> tensors;      // only those of two units or more
  std::vector<std::vector<int>> before;  // by unit: units that are in no later piece
  int accelerators = 0;                  // at most so many pieces on accelerators,
  int hosts = 0;                         // and on hosts, in any order
  double memory_limit = 0;               // of an accelerator's piece, bytes; hosts have none
};

struct SplitPiece {
  bool host = false;
  std::vector<int> units;  // ascending
  double compute = 0, communication = 0, bytes = 0;
  double load() const { return compute + communication; }
};

struct Split {
  double objective = 0;  // the largest load
  std::vector<SplitPiece> pieces;
  bool exact = false;  // no split is better
  std::string method;  // in words
};

// INVALID_ARGUMENT: a number that is negative or not finite, an index out of range, no device, a cycle of `before`.
absl::Status CheckSplitProblem(const SplitProblem& problem);

// Dynamic programming over all down-sets. RESOURCE_EXHAUSTED when there are more than `most_down_sets`, or than a
// gigabyte holds, or more units and devices than any search takes; FAILED_PRECONDITION when no split keeps the memory
// limit, with how much is missing.
absl::StatusOr<Split> ExactSplit(const SplitProblem& problem, int most_down_sets);

// The default. Graphs with few down-sets are split exactly. For others the same programme over the prefixes of
// topological orders: a dozen by rule, then random ones, then orders that keep the best split's pieces together and
// are random inside them. Deterministic. Fails as ExactSplit does, but not for the number of down-sets.
absl::StatusOr<Split> DefaultSplit(const SplitProblem& problem);

// The pieces' figures from their units alone, and the objective. INVALID_ARGUMENT names the rule that is broken: a unit
// in no piece or in two, an edge that goes back, memory, the number of devices.
absl::StatusOr<Split> EvaluateSplit(const SplitProblem& problem, std::vector<SplitPiece> pieces);

}  // namespace millrace

#endif  // PARTITIONER_COST_GRAPH_SPLIT_H_
