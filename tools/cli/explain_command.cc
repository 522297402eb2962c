// millrace explain: what a plan will do, where, and why it takes as long as it does.
#include <cstdio>
#include <filesystem>
#include <optional>

#include "proto/status_macros.h"
#include "proto/text_proto.h"
#include "runtime/plan/plan.h"
#include "tools/cli/commands.h"
#include "tools/cli/explain.h"
#include "tools/cli/plan_flags.h"
#include "tools/cli/terminal.h"

namespace millrace {
namespace {

class ExplainCommand : public Command {
 public:
  std::string name() const override { return "explain"; }
  std::string summary() const override { return "show a plan: what limits it, stages, boundaries, memory, the grid"; }
  std::string usage() const override { return "PLAN [--model=GRAPH] [FLAGS]"; }
  std::vector<std::string> examples() const override {
    return {"explain gpt.plan --model=gpt.textproto", "explain gpt.plan --html=plan.html", "explain gpt.plan --json"};
  }
  void Declare(FlagSet* flags) override {
    flags->String("model", &model_,
                  "the model graph: to say what moving each boundary by a unit would cost; default: "
                  "model.pb beside the plan, if there is one");
    flags->String("html", &html_, "write a page for a browser here");
    flags->Bool("json", &json_, "print JSON");
    flags->Int("width", &width_, "columns of the grid; 0: the terminal's");
  }
  absl::Status Run(const FlagSet&, const std::vector<std::string>& arguments) override {
    MR_ASSIGN_OR_RETURN(const std::string path, OnlyArgument(arguments, "the plan"));
    MR_ASSIGN_OR_RETURN(const proto::ExecutionPlan plan, ReadPlan(path));
    DrawOptions draw = DrawingForStdout();
    if (width_ < 0 || width_ > 10000) return UsageError("--width must be from 0 to 10000");
    if (width_ > 0) draw.width = static_cast<int>(width_);
    MR_ASSIGN_OR_RETURN(const std::optional<proto::Model> model, ModelOf(path));
    MR_ASSIGN_OR_RETURN(const Explanation explanation, Explain(plan, model.has_value() ? &*model : nullptr));
    if (!model_.empty() && absl::IsFailedPrecondition(explanation.moves)) return explanation.moves;
    if (!html_.empty()) MR_RETURN_IF_ERROR(WriteFileAtomically(html_, ExplainHtml(plan, explanation)));
    std::printf("%s\n", (json_ ? ExplainJson(plan, explanation) : ExplainFully(plan, explanation, draw)).c_str());
    return absl::OkStatus();
  }

 private:
  absl::StatusOr<std::optional<proto::Model>> ModelOf(const std::string& plan_path) const {
    std::string path = model_;
    if (path.empty()) {
      path = (std::filesystem::path(plan_path).parent_path() / "model.pb").string();
      std::error_code error;
      if (!std::filesystem::exists(path, error)) return std::optional<proto::Model>();
    }
    MR_ASSIGN_OR_RETURN(proto::Model model, ReadModel(path));
    return std::optional<proto::Model>(std::move(model));
  }

  std::string model_, html_;
  bool json_ = false;
  int64_t width_ = 0;
};

}  // namespace

std::unique_ptr<Command> MakeExplainCommand() { return std::make_unique<ExplainCommand>(); }

}  // namespace millrace
