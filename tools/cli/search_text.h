// What a search found, for people and for machines.
#ifndef TOOLS_CLI_SEARCH_TEXT_H_
#define TOOLS_CLI_SEARCH_TEXT_H_

#include <nlohmann/json.hpp>
#include <string>

#include "partitioner/search/plan_search.h"
#include "partitioner/search/search.h"

namespace millrace {

std::string PaperText(const SearchQuestion& question, const SearchAnswer& answer);
std::string PlansText(const PlanSearchAnswer& answer);

nlohmann::ordered_json ToJson(const SearchQuestion& question, const SearchAnswer& answer);
nlohmann::ordered_json ToJson(const PlanSearchAnswer& answer);

}  // namespace millrace

#endif  // TOOLS_CLI_SEARCH_TEXT_H_
