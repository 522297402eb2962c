// The reference tables beside the checkout, for tests that compare with published optima.
#ifndef TESTS_PARTITIONER_COST_GRAPH_TABLES_H_
#define TESTS_PARTITIONER_COST_GRAPH_TABLES_H_

#include <map>
#include <string>
#include <vector>

namespace millrace {

// MILLRACE_SHARED/reference, or "" when the variable is not set.
std::string ReferenceFolder();

// Rows by the names of the header line. Fields in quotes may hold commas.
using Row = std::map<std::string, std::string>;
std::vector<Row> ReadTable(const std::string& path);

std::string ReadText(const std::string& path);

}  // namespace millrace

#endif  // TESTS_PARTITIONER_COST_GRAPH_TABLES_H_
