#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "runtime/plan/schedule_chunks.h"
#include "runtime/plan/schedule_picture.h"

namespace millrace {
namespace {

constexpr int kNarrowest = 40;
constexpr int kWidest = 10000;
constexpr int kMostMarks = 3;  // apostrophes of a late chunk

struct Look {
  proto::Phase phase;
  char letter, fill;
  int color;  // ANSI background
  absl::string_view name;
};
constexpr std::array<Look, 5> kLooks = {{{proto::F, 'F', '-', 44, "forward"},
                                         {proto::BW, 'B', '=', 42, "whole backward"},
                                         {proto::B, 'b', '=', 46, "input gradient"},
                                         {proto::W, 'w', '~', 43, "weight gradient"},
                                         {proto::R, 'r', ':', 45, "recompute"}}};

const Look& LookOf(proto::Phase phase) {
  return *std::find_if(kLooks.begin(), kLooks.end() - 1, [&](const Look& look) { return look.phase == phase; });
}

// Columns per unit of time.
double Scale(const ScheduleSimulation& simulation, int room) {
  double unit = std::numeric_limits<double>::infinity();
  for (const auto& list : simulation.ranks) {
    for (const TimedAction& timed : list) {
      if (timed.end > timed.start) unit = std::min(unit, timed.end - timed.start);
    }
  }
  if (!(simulation.makespan > 0)) return 0;
  const double to_fit = room / simulation.makespan;
  const double whole = std::floor(to_fit * unit + 1e-9);  // columns of the shortest action
  if (whole < 2) return to_fit;                           // one column has no room for a number
  for (const auto& list : simulation.ranks) {
    for (const TimedAction& timed : list) {
      const double units = timed.end / unit;
      if (std::abs(units - std::round(units)) > 1e-6) return to_fit;
    }
  }
  return whole / unit;
}

class Line {
 public:
  Line(int columns, double scale) : text_(columns, '.'), color_(columns, 0), edge_(columns, false), scale_(scale) {}

  void Add(const TimedAction& timed, int chunk) {
    const int columns = static_cast<int>(text_.size());
    const int first = std::min(Column(timed.start), columns - 1);
    const int last = std::min(std::max(Column(timed.end), first + 1), columns);  // short, but never unseen
    const Look& look = LookOf(timed.action.phase);
    std::string number = absl::StrCat(timed.action.micro_batch);
    const size_t room = last - first - 1;
    if (number.size() > room) number.clear();  // a part of it would be another number
    std::string cell =
        absl::StrCat(std::string(1, look.letter), number, std::string(std::min(chunk, kMostMarks), '\''));
    cell.resize(last - first, look.fill);
    text_.replace(first, cell.size(), cell);
    std::fill(color_.begin() + first, color_.begin() + last, look.color);
    edge_[first] = true;
  }

  std::string Print(bool color) const {
    if (!color) return text_;
    std::string out;
    int now = 0;
    for (size_t i = 0; i < text_.size(); ++i) {
      if (color_[i] != now || (edge_[i] && now != 0)) {
        // A reset where a cell begins: what the terminal showed before does not leak in.
        absl::StrAppend(&out, "\033[0m");
      }
      if (color_[i] != 0 && (color_[i] != now || edge_[i])) absl::StrAppend(&out, "\033[30;", color_[i], "m");
      now = color_[i];
      out += text_[i];
    }
    return now == 0 ? out : out + "\033[0m";
  }

 private:
  int Column(double at) const {
    return static_cast<int>(std::clamp(std::round(at * scale_), 0.0, static_cast<double>(text_.size())));
  }

  std::string text_;
  std::vector<int> color_;
  std::vector<bool> edge_;
  double scale_;
};

std::string Legend(const Schedule& schedule, bool chunks, const DrawOptions& options, int width) {
  std::vector<std::string> entries;
  std::vector<size_t> widths;
  const auto add = [&](std::string shown, absl::string_view name, int color) {
    widths.push_back(shown.size() + 1 + name.size());
    if (options.color && color != 0) shown = absl::StrCat("\033[30;", color, "m", shown, "\033[0m");
    entries.push_back(absl::StrCat(shown, " ", name));
  };
  for (const Look& look : kLooks) {
    for (const auto& list : schedule.ranks) {
      if (std::none_of(list.begin(), list.end(), [&](const Action& a) { return a.phase == look.phase; })) continue;
      add(std::string({look.letter, '0', look.fill}), look.name, look.color);
      break;
    }
  }
  if (chunks) add("'", "later chunk", 0);
  add("..", "idle", 0);
  std::string text;
  int column = 0;
  for (size_t i = 0; i < entries.size(); ++i) {
    const int size = static_cast<int>(widths[i]);
    if (column > 0 && column + 3 + size > width) {
      text += '\n';
      column = 0;
    }
    absl::StrAppend(&text, column > 0 ? "   " : "", entries[i]);
    column += (column > 0 ? 3 : 0) + size;
  }
  return text + "\n";
}

// Control characters cannot reach the terminal by way of a file's name.
std::string OneLine(absl::string_view title) {
  std::string text(title);
  std::replace_if(
      text.begin(), text.end(), [](char c) { return absl::ascii_iscntrl(c); }, ' ');
  return text;
}

}  // namespace

std::string DrawScheduleGrid(const Schedule& schedule, const ScheduleSimulation& simulation, absl::string_view title,
                             const DrawOptions& options) {
  const int ranks = static_cast<int>(schedule.ranks.size());
  const int digits = static_cast<int>(absl::StrCat(ranks - 1).size());
  const int width = std::clamp(options.width, kNarrowest, kWidest);
  const int room = width - digits - 14;  // "rank 0 |" and "| 100 %"
  const double scale = Scale(simulation, room);
  const int columns =
      std::clamp(static_cast<int>(std::ceil(simulation.makespan * scale - 1e-6)), std::min(room, 8), room);
  const std::vector<int> chunks = ChunkOfStage(schedule);
  std::string text =
      absl::StrFormat("%s: %d ranks, %d micro-batches, makespan %.6g, bubble rate %.2f %%\n", OneLine(title), ranks,
                      schedule.micro_batches, simulation.makespan, 100 * simulation.bubble_rate);
  for (int rank = 0; rank < ranks; ++rank) {
    Line line(columns, scale);
    for (const TimedAction& timed : simulation.ranks[rank]) line.Add(timed, chunks[timed.action.stage]);
    const double busy = simulation.makespan > 0 ? 100 * simulation.busy[rank] / simulation.makespan : 0;
    absl::StrAppend(&text, absl::StrFormat("rank %*d |", digits, rank), line.Print(options.color),
                    absl::StrFormat("| %3.0f %%\n", busy));
  }
  const std::string end = absl::StrFormat("%.6g", simulation.makespan);
  const int pad = std::max(1, columns - static_cast<int>(end.size()) - 1);
  absl::StrAppend(&text, std::string(digits + 7, ' '), "0", std::string(pad, ' '), end, "   busy\n");
  const bool any_chunks = std::any_of(chunks.begin(), chunks.end(), [](int chunk) { return chunk > 0; });
  return absl::StrCat(text, Legend(schedule, any_chunks, options, width));
}

}  // namespace millrace
