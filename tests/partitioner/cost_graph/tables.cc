#include "tests/partitioner/cost_graph/tables.h"

#include <cstdlib>
#include <fstream>
#include <sstream>

namespace millrace {
namespace {

std::vector<std::string> Fields(const std::string& line) {
  std::vector<std::string> fields(1);
  bool quoted = false;
  for (char c : line) {
    if (c == '"') {
      quoted = !quoted;
    } else if (c == ',' && !quoted) {
      fields.emplace_back();
    } else if (c != '\r') {
      fields.back() += c;
    }
  }
  return fields;
}

}  // namespace

std::string ReferenceFolder() {
  const char* shared = std::getenv("MILLRACE_SHARED");
  return shared == nullptr ? "" : std::string(shared) + "/reference";
}

std::vector<Row> ReadTable(const std::string& path) {
  std::ifstream file(path);
  std::vector<Row> rows;
  std::string line;
  std::getline(file, line);
  const std::vector<std::string> names = Fields(line);
  while (std::getline(file, line)) {
    const std::vector<std::string> fields = Fields(line);
    Row& row = rows.emplace_back();
    for (size_t i = 0; i < names.size() && i < fields.size(); ++i) row[names[i]] = fields[i];
  }
  return rows;
}

std::string ReadText(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace millrace
