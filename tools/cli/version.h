// What `millrace --version` prints.
#ifndef TOOLS_CLI_VERSION_H_
#define TOOLS_CLI_VERSION_H_

#include <string>

namespace millrace {

inline constexpr char kVersion[] = "0.1.0";

// "millrace 0.1.0 (schema 1; backends: cpu reference)"
std::string VersionText();

}  // namespace millrace

#endif  // TOOLS_CLI_VERSION_H_
