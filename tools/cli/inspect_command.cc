// millrace inspect: what any Millrace file or run is.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "proto/status_macros.h"
#include "tools/cli/commands.h"
#include "tools/cli/inspect.h"

namespace millrace {
namespace {

class InspectCommand : public Command {
 public:
  std::string name() const override { return "inspect"; }
  std::string summary() const override { return "say what a file or a run is; for weights, their SHA-256"; }
  std::string usage() const override { return "FILE|DIR [--json]"; }
  std::vector<std::string> examples() const override {
    return {"inspect run", "inspect run/weights.safetensors --json"};
  }
  void Declare(FlagSet* flags) override { flags->Bool("json", &json_, "print JSON"); }
  absl::Status Run(const FlagSet&, const std::vector<std::string>& arguments) override {
    MR_ASSIGN_OR_RETURN(const std::string path, OnlyArgument(arguments, "the file or folder"));
    absl::StatusOr<Inspection> found = Inspect(path);
    if (absl::IsFailedPrecondition(found.status())) return WithExit(found.status(), kExitBadInput);
    if (!found.ok()) return absl::Status(found.status());
    if (json_) {
      nlohmann::ordered_json out;
      out["kind"] = found->kind;
      for (const auto& [name, value] : found->facts) {
        if (!out.contains(name)) {
          out[name] = value;
        } else {  // a fact of several values becomes a list
          if (!out[name].is_array()) out[name] = nlohmann::ordered_json::array({out[name]});
          out[name].push_back(value);
        }
      }
      std::printf("%s\n", out.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace).c_str());
      return absl::OkStatus();
    }
    std::printf("%s: a %s\n", path.c_str(), found->kind.c_str());
    for (const auto& [name, value] : found->facts) std::printf("  %-18s %s\n", name.c_str(), value.c_str());
    return absl::OkStatus();
  }

 private:
  bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> MakeInspectCommand() { return std::make_unique<InspectCommand>(); }

}  // namespace millrace
