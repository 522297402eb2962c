// Command-line flags of one subcommand: declared, parsed, explained.
//
//   FlagSet flags;
//   flags.Int("layers", &options.layers, "transformer blocks");
//   MR_RETURN_IF_ERROR(flags.Parse(arguments));        // --layers=4, --layers 4; '_' and '-' are the same in names
//
// Abseil's flags are one global set; a command with subcommands needs one set each, with its own help.
#ifndef TOOLS_CLI_FLAGS_H_
#define TOOLS_CLI_FLAGS_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace millrace {

class FlagSet {
 public:
  // The value in the variable now is the default that help shows. The variable must outlive the set.
  void Int(absl::string_view name, int64_t* value, absl::string_view help);
  void Uint(absl::string_view name, uint64_t* value, absl::string_view help);
  void Double(absl::string_view name, double* value, absl::string_view help);
  void String(absl::string_view name, std::string* value, absl::string_view help);
  void Strings(absl::string_view name, std::vector<std::string>* value, absl::string_view help);  // a,b,c
  void Bool(absl::string_view name, bool* value, absl::string_view help);  // --x, --no-x, --x=true

  // INVALID_ARGUMENT, with the nearest name for a misspelt flag. Arguments that are not flags are kept in order.
  absl::Status Parse(const std::vector<std::string>& arguments);
  const std::vector<std::string>& positional() const { return positional_; }
  bool WasGiven(absl::string_view name) const;

  // One aligned line per flag, in order of declaration.
  std::string Help() const;

 private:
  struct Flag {
    std::string name;
    std::string help;
    std::string initial;  // printed default
    bool is_bool = false;
    bool given = false;
    std::function<absl::Status(absl::string_view)> set;
  };
  Flag& Add(absl::string_view name, absl::string_view help, std::string initial);
  Flag* Find(absl::string_view name);
  absl::Status Unknown(absl::string_view name) const;

  std::vector<Flag> flags_;
  std::vector<std::string> positional_;
};

// The candidate nearest to `word` by edit distance, or "" when none is near enough to be meant.
std::string Nearest(absl::string_view word, const std::vector<std::string>& candidates);

}  // namespace millrace

#endif  // TOOLS_CLI_FLAGS_H_
