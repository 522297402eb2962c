// The configurations that a question allows, shape by shape.
#ifndef PARTITIONER_SEARCH_SPACE_H_
#define PARTITIONER_SEARCH_SPACE_H_

#include <vector>

#include "partitioner/search/configuration.h"
#include "partitioner/search/search.h"

namespace millrace {

// Tensor, pipeline and data parallelism, micro-batch and number of micro-batches; the rest as by default.
std::vector<Configuration> ShapesOf(const SearchQuestion& question);

// All that the shape can be made into: schedules and chunks, then recomputation, sharding and placement.
std::vector<Configuration> VariantsOf(const SearchQuestion& question, const Configuration& shape);

}  // namespace millrace

#endif  // PARTITIONER_SEARCH_SPACE_H_
