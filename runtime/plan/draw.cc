#include "runtime/plan/draw.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "runtime/plan/broken.h"
#include "runtime/plan/figures.h"
#include "runtime/plan/plan.h"

namespace millrace {
namespace {

using proto::Instruction;

constexpr int kNarrowest = 40;
constexpr int kWidest = 10000;

// How a phase looks: its letter, what fills the rest of its cell, its ANSI background.
struct Look {
  char letter, fill;
  int color;
  absl::string_view name;
};

Look LookOf(const Instruction& instruction) {
  if (instruction.kind() != Instruction::RUN) return {'+', '+', 47, "end of step"};
  switch (instruction.phase()) {
    case proto::F:
      return {'F', '-', 44, "forward"};
    case proto::B:
      return {'b', '=', 42, "backward"};
    case proto::BW:
      return {'B', '=', 42, "whole backward"};
    case proto::W:
      return {'w', '~', 43, "weight gradient"};
    default:
      return {'r', ':', 45, "recompute"};
  }
}

// Letter and number. In a narrow cell only the last digits of the number: the letter shows where the cell begins.
std::string Cell(const Look& look, const Instruction& instruction, int columns) {
  if (instruction.kind() != Instruction::RUN) return std::string(columns, look.fill);
  std::string number = absl::StrCat(instruction.micro_batch());
  if (static_cast<int>(number.size()) >= columns) number = number.substr(number.size() - (columns - 1));
  std::string text = absl::StrCat(std::string(1, look.letter), number);
  text.resize(columns, look.fill);
  return text;
}

std::string Seconds(double seconds) {
  if (seconds >= 1) return absl::StrFormat("%.3g s", seconds);
  if (seconds >= 1e-3) return absl::StrFormat("%.3g ms", seconds * 1e3);
  return absl::StrFormat("%.3g us", seconds * 1e6);
}

// One rank's line: cells laid over idle time. Each column belongs to what fills its middle.
class Line {
 public:
  Line(int columns, double seconds) : text_(columns, '.'), color_(columns, 0), per_column_(seconds / columns) {}

  void Add(const Instruction& instruction, double begin, double end) {
    const int first = Column(begin);
    int last = Column(end);
    if (instruction.kind() == Instruction::RUN) last = std::max(last, first + 1);  // short, but never unseen
    last = std::min<int>(last, text_.size());
    if (last <= first) return;
    const Look look = LookOf(instruction);
    text_.replace(first, last - first, Cell(look, instruction, last - first));
    std::fill(color_.begin() + first, color_.begin() + last, look.color);
    starts_.push_back(first);
  }

  std::string Print(bool color) const {
    if (!color) return text_;
    std::string out;
    int now = 0;
    for (size_t i = 0; i < text_.size(); ++i) {
      const bool edge = std::find(starts_.begin(), starts_.end(), static_cast<int>(i)) != starts_.end();
      if (color_[i] != now || edge)
        absl::StrAppend(&out, "\033[0m", color_[i] == 0 ? "" : absl::StrCat("\033[30;", color_[i], "m"));
      now = color_[i];
      out += text_[i];
    }
    return now == 0 ? out : out + "\033[0m";
  }

 private:
  int Column(double at) const {
    const double column = per_column_ > 0 ? std::round(at / per_column_) : 0;
    return static_cast<int>(std::clamp(column, 0.0, static_cast<double>(text_.size())));
  }

  std::string text_;
  std::vector<int> color_;
  std::vector<int> starts_;
  double per_column_;
};

// On as many lines as it needs.
std::string Legend(const proto::Program& program, const DrawOptions& options) {
  std::vector<Look> looks;
  const auto add = [&looks](const Look& look) {
    for (const Look& known : looks) {
      if (known.letter == look.letter) return;
    }
    looks.push_back(look);
  };
  bool end_of_step = false;
  for (const proto::RankProgram& rank : program.ranks()) {
    for (const Instruction& instruction : rank.instructions()) {
      if (instruction.kind() == Instruction::RUN) add(LookOf(instruction));
      end_of_step |= instruction.channel() == 0 && instruction.kind() >= Instruction::REDUCE;
    }
  }
  std::string text;
  int column = 0;
  const auto entry = [&](const std::string& sample, const std::string& meaning, int color) {
    const int columns = static_cast<int>(sample.size() + 1 + meaning.size());
    if (column > 0) {
      const bool fits = column + 3 + columns <= std::max(options.width, kNarrowest);
      absl::StrAppend(&text, fits ? "   " : "\n");
      column = fits ? column + 3 : 0;
    }
    column += columns;
    const std::string shown =
        options.color && color != 0 ? absl::StrCat("\033[30;", color, "m", sample, "\033[0m") : sample;
    absl::StrAppend(&text, shown, " ", meaning);
  };
  for (const Look& look : looks) {
    entry(absl::StrCat(std::string(1, look.letter), "0", std::string(1, look.fill)),
          absl::StrCat(look.name, " of micro-batch 0"), look.color);
  }
  if (end_of_step) entry("++", "end of step", 0);
  entry("..", "idle", 0);
  return text;
}

}  // namespace

std::string DrawTimeline(const proto::ExecutionPlan& plan, const proto::StepTrace& trace, const DrawOptions& options) {
  const proto::Program* program = FindProgram(plan, trace.program());
  if (program == nullptr) return absl::StrCat("the plan has no program ", Quoted(trace.program()), "\n");
  const absl::StatusOr<Simulation> figures = FiguresOf(*program, trace);
  if (!figures.ok()) return absl::StrCat(figures.status().message(), "\n");
  const int digits = static_cast<int>(absl::StrCat(std::max(0, program->ranks_size() - 1)).size());
  const int columns = std::clamp(options.width, kNarrowest, kWidest) - digits - 15;
  std::vector<Line> lines(program->ranks_size(), Line(columns, figures->seconds));
  for (const proto::Span& span : trace.spans()) {
    const Instruction& instruction = program->ranks(span.rank()).instructions(span.instruction());
    if (instruction.channel() != 0 || instruction.kind() == Instruction::LOAD) continue;
    lines[span.rank()].Add(instruction, span.start_seconds() + span.wait_seconds(), span.end_seconds());
  }
  std::string text =
      absl::StrFormat("%s of %s%s%s: %d ranks, %d micro-batches, %s, bubble %.1f %%\n",
                      trace.predicted() ? "prediction" : "measurement", program->name(),
                      program->schedule().empty() ? "" : ", ", program->schedule(), program->ranks_size(),
                      program->micro_batches(), Seconds(figures->seconds), 100 * figures->bubble_rate);
  for (int rank = 0; rank < program->ranks_size(); ++rank) {
    const double busy = figures->seconds > 0 ? 100 * figures->ranks[rank].busy_seconds / figures->seconds : 0;
    absl::StrAppend(&text, absl::StrFormat("rank %*d |", digits, rank), lines[rank].Print(options.color),
                    absl::StrFormat("| %3.0f %%\n", busy));
  }
  const std::string end = Seconds(figures->seconds);
  const int pad = std::max(1, columns - static_cast<int>(end.size()) - 1);
  absl::StrAppend(&text, std::string(digits + 7, ' '), "0", std::string(pad, ' '), end, "   busy\n");
  return absl::StrCat(text, Legend(*program, options), "\n");
}

}  // namespace millrace
