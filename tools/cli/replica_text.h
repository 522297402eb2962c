// What the search with replicas of each stage's own number says: terminal and JSON.
#ifndef TOOLS_CLI_REPLICA_TEXT_H_
#define TOOLS_CLI_REPLICA_TEXT_H_

#include <nlohmann/json.hpp>
#include <string>

#include "partitioner/paper/machine.h"
#include "partitioner/search/replica_search.h"

namespace millrace {

// REQUIRES: answer.ranked is not empty. `heading` is the first line, without its end.
std::string ReplicaText(const std::string& heading, const ReplicaAnswer& answer, const PaperMachine& machine);

nlohmann::ordered_json ToJson(const ReplicaAnswer& answer);

}  // namespace millrace

#endif  // TOOLS_CLI_REPLICA_TEXT_H_
