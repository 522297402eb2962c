#include "tools/report/timeline_svg.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "runtime/plan/instruction_name.h"
#include "tools/report/columns.h"
#include "tools/report/units.h"

namespace millrace {
namespace {

constexpr int kMostRanks = 64;
constexpr int kMostCells = 6000;     // with more segments than that, lanes are drawn in columns
constexpr int kMostColumns = 24000;  // of all lanes
constexpr double kWidth = 1130, kLeft = 62, kRight = 8, kTop = 22, kAxis = 20;  // pixels
constexpr double kThin = 12, kThick = 20, kGap = 9;
constexpr double kShortest = 1e-12;  // a step of fewer seconds is none: traces are files
constexpr double kMuchLonger = 2.5;  // a step that took so many times what was predicted
constexpr double kNumberWidth = 15;  // a cell needs that much for its number

std::string Px(double value) {
  std::string text = absl::StrFormat("%.1f", value);
  if (text.size() > 2 && text.substr(text.size() - 2) == ".0") text.resize(text.size() - 2);
  return text;
}

// 1, 2 or 5 times a power of ten: the least that makes at most ten ticks.
double TickStep(double seconds) {
  double step = std::pow(10, std::floor(std::log10(seconds / 10)));
  for (double factor : {1.0, 2.0, 5.0, 10.0}) {
    if (step * factor * 10 >= seconds) return step * factor;
  }
  return step * 10;
}

std::string TickText(double seconds) {
  if (seconds >= 1) return absl::StrFormat("%.3g s", seconds);
  return seconds >= 1e-3 ? absl::StrFormat("%.3g ms", seconds * 1e3) : absl::StrFormat("%.3g us", seconds * 1e6);
}

class Picture {
 public:
  Picture(const proto::Program& program, const Attribution& predicted, const Attribution* measured)
      : program_(program), predicted_(predicted), measured_(measured) {
    seconds_ = std::max(predicted.seconds, measured == nullptr ? 0 : measured->seconds);
    if (seconds_ < kShortest) seconds_ = 0;
    scale_ = seconds_ > 0 ? (kWidth - kLeft - kRight) / seconds_ : 0;
    stretch_ = measured == nullptr ? 1 : PredictionStretch(predicted, *measured);
    ranks_ = std::min<int>(kMostRanks, static_cast<int>(predicted.ranks.size()));
    size_t segments = 0;
    for (const Attribution* step : {&predicted_, measured_}) {
      for (int r = 0; step != nullptr && r < ranks_; ++r) segments += step->ranks[r].segments.size();
    }
    cells_ = segments <= kMostCells;
    height_ = kTop + ranks_ * RowHeight() + kAxis;
  }

  std::string Draw() && {
    absl::StrAppend(&out_, "<svg viewBox=\"0 0 ", Px(kWidth), " ", Px(height_),
                    "\" role=\"img\" aria-label=\"Timeline of ", ranks_, " ranks over ", SecondsText(seconds_),
                    "; the tables below hold the same times\">\n");
    Axis();
    for (int rank = 0; rank < ranks_; ++rank) {
      double y = kTop + rank * RowHeight();
      const double middle = y + (measured_ == nullptr ? kThick : kThin + kThick + 1) / 2 + 4;
      absl::StrAppend(&out_, "<text x=\"0\" y=\"", Px(middle), "\">rank ", rank, "</text>\n");
      if (measured_ == nullptr) {
        Lane(rank, predicted_, y, kThick);
        continue;
      }
      absl::StrAppend(&out_, "<text class=\"soft\" x=\"", Px(kLeft - 14), "\" y=\"", Px(y + 9), "\">p</text><text ",
                      "class=\"soft\" x=\"", Px(kLeft - 14), "\" y=\"", Px(y + kThin + 15), "\">m</text>\n");
      Lane(rank, predicted_, y, kThin, stretch_);
      Lane(rank, *measured_, y + kThin + 1, kThick);
    }
    return out_ + "</svg>\n";
  }

 private:
  double RowHeight() const { return (measured_ == nullptr ? kThick : kThin + 1 + kThick) + kGap; }
  double X(double seconds, double stretch = 1) const { return kLeft + seconds * scale_ * stretch; }

  void Axis() {
    if (!(seconds_ > 0)) return;
    const double step = TickStep(seconds_), bottom = height_ - kAxis;
    for (int tick = 0; tick <= 10 && tick * step <= seconds_ * (1 + 1e-9); ++tick) {
      const double x = X(tick * step);
      absl::StrAppend(&out_, "<path class=\"axis\" d=\"M", Px(x), " ", Px(kTop - 6), "V", Px(bottom), "\"/>");
      const bool last = x > kWidth - 40;
      absl::StrAppend(&out_, "<text class=\"soft\" x=\"", Px(x), "\" y=\"12\"",
                      tick == 0 ? ""
                      : last    ? " text-anchor=\"end\""
                                : " text-anchor=\"middle\"",
                      ">", tick == 0 ? "0" : TickText(tick * step), "</text>\n");
    }
  }

  void Lane(int rank, const Attribution& step, double y, double height, double stretch = 1) {
    if (!cells_) return Columns(rank, step, y, height, stretch);
    for (const Segment& segment : step.ranks[rank].segments) {
      const double x = X(segment.begin, stretch), width = X(segment.end, stretch) - x;
      if (width < 0.1) continue;
      const std::string style = segment.works ? StyleOf(segment.work) : StyleOf(segment.wait);
      absl::StrAppend(&out_, "<rect class=\"", style, segment.works && width > 3 ? " e" : "", "\" x=\"", Px(x),
                      "\" y=\"", Px(y), "\" width=\"", Px(std::max(width, 0.3)), "\" height=\"", Px(height),
                      "\"><title>", Title(rank, segment), "</title></rect>");
      if (segment.works && segment.instruction >= 0 && width >= kNumberWidth && height >= kThick) {
        const proto::Instruction& run = program_.ranks(rank).instructions(segment.instruction);
        if (run.kind() == proto::Instruction::RUN) {
          absl::StrAppend(&out_, "<text class=\"c\" x=\"", Px(x + width / 2), "\" y=\"", Px(y + height / 2 + 3.5),
                          "\">", run.micro_batch(), "</text>");
        }
      }
    }
    out_ += "\n";
  }

  std::string Title(int rank, const Segment& segment) const {
    const std::string name = segment.instruction < 0
                                 ? ""
                                 : InstructionName(program_, program_.ranks(rank).instructions(segment.instruction));
    const std::string seconds = SecondsText(segment.end - segment.begin);
    if (segment.works) return absl::StrCat(name, ", ", seconds);
    return absl::StrCat("waits ", seconds, " ", WaitMeaning(segment.wait),
                        segment.peer < 0 ? "" : absl::StrCat(" (rank ", segment.peer, ")"),
                        name.empty() ? "" : absl::StrCat(", then ", name));
  }

  // A lane in columns, each of the kind that fills most of it, and a path for each kind: so many pieces at most,
  // however many instructions there are.
  void Columns(int rank, const Attribution& step, double y, double height, double stretch) {
    const int lanes = ranks_ * (measured_ == nullptr ? 1 : 2);
    const double plot = kWidth - kLeft - kRight, wide = std::max(1.0, lanes * plot / kMostColumns);
    std::vector<std::map<std::string, double>> columns(static_cast<size_t>(plot / wide) + 1);
    for (const Segment& segment : step.ranks[rank].segments) {
      const std::string style = segment.works ? StyleOf(segment.work) : StyleOf(segment.wait);
      const double begin = (X(segment.begin, stretch) - kLeft) / wide, end = (X(segment.end, stretch) - kLeft) / wide;
      for (size_t c = static_cast<size_t>(begin); c < columns.size() && c < end; ++c) {
        columns[c][style] += std::min(end, c + 1.0) - std::max(begin, static_cast<double>(c));
      }
    }
    std::vector<std::string> most;
    for (const auto& column : columns) {
      const auto fullest = std::max_element(column.begin(), column.end(),
                                            [](const auto& a, const auto& b) { return a.second < b.second; });
      most.push_back(fullest == column.end() ? "" : fullest->first);
    }
    std::map<std::string, std::string> paths;  // by style
    for (size_t c = 0, next; c < most.size(); c = next) {
      for (next = c + 1; next < most.size() && most[next] == most[c];) ++next;
      if (most[c].empty()) continue;
      const double x = kLeft + c * wide, width = std::min(kWidth - kRight - x, (next - c) * wide);
      absl::StrAppend(&paths[most[c]], "M", Px(x), " ", Px(y), "h", Px(width), "v", Px(height), "H", Px(x), "z");
    }
    for (const auto& [style, path] : paths) {
      absl::StrAppend(&out_, "<path class=\"", style, "\" d=\"", path, "\"/>\n");
    }
  }

  const proto::Program& program_;
  const Attribution& predicted_;
  const Attribution* const measured_;
  double seconds_ = 0, scale_ = 0, height_ = 0, stretch_ = 1;
  int ranks_ = 0;
  bool cells_ = true;
  std::string out_;
};

}  // namespace

double PredictionStretch(const Attribution& predicted, const Attribution& measured) {
  if (!(predicted.seconds > 0) || measured.seconds < kMuchLonger * predicted.seconds) return 1;
  return measured.seconds / predicted.seconds;
}

std::string StyleOf(Work work) {
  constexpr const char* kStyles[kWorks] = {"f", "b", "w", "bw", "r", "load", "coll", "opt"};
  return kStyles[static_cast<int>(work)];
}

std::string StyleOf(Wait wait) { return std::string(WaitName(wait)); }

std::string TimelineSvg(const proto::Program& program, const Attribution& predicted, const Attribution* measured) {
  return Picture(program, predicted, measured).Draw();
}

}  // namespace millrace
