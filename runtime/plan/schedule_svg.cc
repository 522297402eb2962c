#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "runtime/plan/schedule_chunks.h"
#include "runtime/plan/schedule_picture.h"

namespace millrace {
namespace {

// Pixels.
constexpr double kLeft = 64, kRight = 60, kTop = 56, kRow = 26, kGap = 5, kAxis = 34, kLegend = 30;
constexpr double kNarrowest = 760, kWidest = 6000;
constexpr double kActionWidth = 17;  // wanted for the mean action; numbers need about 9 for two digits

struct Look {
  proto::Phase phase;
  const char* name;  // class and legend's letter
  const char* fill;
  const char* ink;
  const char* meaning;
};
// Luma 84, 128, 175, 221 of 255, and a hatch: five fills that a grey print keeps apart.
constexpr std::array<Look, 5> kLooks = {{{proto::F, "F", "#2b5c94", "#ffffff", "forward"},
                                         {proto::BW, "BW", "#4f9a6b", "#ffffff", "backward (input and weights)"},
                                         {proto::B, "B", "#86c5a0", "#000000", "input gradient"},
                                         {proto::W, "W", "#f3dc9c", "#000000", "weight gradient"},
                                         {proto::R, "R", "url(#hatch)", "#000000", "recompute"}}};

const Look& LookOf(proto::Phase phase) {
  return *std::find_if(kLooks.begin(), kLooks.end() - 1, [&](const Look& look) { return look.phase == phase; });
}

std::string Escaped(absl::string_view text) {
  std::string out;
  for (char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        // What is not ASCII may be broken UTF-8, which no XML reader takes.
        out += absl::ascii_isprint(c) ? c : '?';
    }
  }
  return out;
}

// Two decimals without trailing zeros: small files.
std::string Px(double value) {
  std::string text = absl::StrFormat("%.2f", value);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text == "-0" ? "0" : text;
}

// 1, 2 or 5 times a power of ten, so that ticks lie at least 60 pixels apart.
double TickStep(double scale) {
  double step = std::pow(10, std::floor(std::log10(60 / scale)));
  for (double factor : {1.0, 2.0, 5.0, 10.0}) {
    if (step * factor * scale >= 60) return step * factor;
  }
  return step * 10;
}

class Picture {
 public:
  Picture(const Schedule& schedule, const ScheduleSimulation& simulation, absl::string_view title)
      : schedule_(schedule), simulation_(simulation), title_(Escaped(title)), chunks_(ChunkOfStage(schedule)) {
    size_t actions = 0;
    for (const auto& list : schedule.ranks) actions = std::max(actions, list.size());
    const double fullest =
        simulation.busy.empty() ? 0 : *std::max_element(simulation.busy.begin(), simulation.busy.end());
    const double wanted = fullest > 0 ? actions * kActionWidth * simulation.makespan / fullest : kNarrowest;
    plot_ = std::clamp(wanted, kNarrowest, kWidest);
    scale_ = simulation.makespan > 0 ? plot_ / simulation.makespan : 0;
    bottom_ = kTop + schedule.ranks.size() * (kRow + kGap);
    most_chunks_ = chunks_.empty() ? 0 : *std::max_element(chunks_.begin(), chunks_.end());
  }

  std::string Draw() && {
    Head();
    if (scale_ > 0) Axis();
    for (size_t rank = 0; rank < schedule_.ranks.size(); ++rank) Row(rank);
    Legend();
    return out_ + "</svg>\n";
  }

 private:
  void Head() {
    const double width = kLeft + plot_ + kRight, height = bottom_ + kAxis + kLegend;
    absl::StrAppend(&out_, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"", Px(width), "\" height=\"", Px(height),
                    "\" viewBox=\"0 0 ", Px(width), " ", Px(height),
                    "\" font-family=\"Helvetica, Arial, sans-serif\" font-size=\"12\">\n<title>", title_, "</title>\n");
    absl::StrAppend(&out_,
                    "<defs><pattern id=\"hatch\" width=\"5\" height=\"5\" patternUnits=\"userSpaceOnUse\" "
                    "patternTransform=\"rotate(45)\"><path d=\"M0 0h5v5h-5z\" fill=\"#ffffff\"/>"
                    "<path d=\"M0 0h1.6v5h-1.6z\" fill=\"#a982bd\"/></pattern></defs>\n<style>\n");
    for (const Look& look : kLooks) absl::StrAppend(&out_, ".", look.name, "{fill:", look.fill, "}");
    absl::StrAppend(&out_,
                    "\n.action{stroke:#ffffff;stroke-width:.8}.late{fill:#000000}.R{stroke:#a982bd}\n</style>\n");
    absl::StrAppend(&out_, "<path d=\"M0 0h", Px(width), "v", Px(height), "h", Px(-width), "z\" fill=\"#ffffff\"/>\n");
    absl::StrAppend(&out_, "<text x=\"", Px(kLeft), "\" y=\"22\" font-size=\"15\" font-weight=\"bold\">", title_,
                    "</text>\n");
    absl::StrAppend(
        &out_, "<text x=\"", Px(kLeft), "\" y=\"42\" fill=\"#444444\">",
        absl::StrFormat("bubble rate %.2f %% (over ideal %.2f %%), makespan %.6g, at most %.4g micro-batches held per "
                        "rank, %d ranks, %d micro-batches",
                        100 * simulation_.bubble_rate, 100 * simulation_.bubble_over_ideal, simulation_.makespan,
                        PeakMemory(), schedule_.ranks.size(), schedule_.micro_batches),
        "</text>\n");
    absl::StrAppend(&out_, "<text x=\"", Px(kLeft + plot_ + kRight - 6), "\" y=\"", Px(kTop - 6),
                    "\" text-anchor=\"end\" fill=\"#444444\" font-size=\"11\">busy</text>\n");
  }

  double PeakMemory() const {
    double peak = 0;
    for (double memory : simulation_.peak_memory) peak = std::max(peak, memory);
    return peak;
  }

  void Axis() {
    const double step = TickStep(scale_);
    absl::StrAppend(&out_, "<g fill=\"#444444\" font-size=\"11\" text-anchor=\"middle\">\n");
    for (int i = 0; i * step <= simulation_.makespan * (1 + 1e-9); ++i) {
      const double x = kLeft + i * step * scale_;
      absl::StrAppend(&out_, "<path d=\"M", Px(x), " ", Px(kTop - 2), "V", Px(bottom_ + 3),
                      "\" stroke=\"#cccccc\" stroke-width=\".7\"/>", "<text x=\"", Px(x), "\" y=\"", Px(bottom_ + 16),
                      "\">", absl::StrFormat("%.6g", i * step), "</text>\n");
    }
    absl::StrAppend(&out_, "<text x=\"", Px(kLeft + plot_ + 18), "\" y=\"", Px(bottom_ + 16),
                    "\" text-anchor=\"start\">time</text>\n</g>\n");
  }

  void Row(size_t rank) {
    const double y = kTop + rank * (kRow + kGap);
    absl::StrAppend(&out_, "<g text-anchor=\"middle\">\n<path d=\"M", Px(kLeft), " ", Px(y), "h", Px(plot_), "v",
                    Px(kRow), "h", Px(-plot_), "z\" fill=\"#000000\" fill-opacity=\".05\"/>\n<text x=\"", Px(kLeft - 8),
                    "\" y=\"", Px(y + 17), "\" text-anchor=\"end\">rank ", rank, "</text>\n");
    for (const TimedAction& timed : simulation_.ranks[rank]) DrawAction(timed, y);
    const double busy = simulation_.makespan > 0 ? 100 * simulation_.busy[rank] / simulation_.makespan : 0;
    absl::StrAppend(&out_, "<text x=\"", Px(kLeft + plot_ + kRight - 6), "\" y=\"", Px(y + 17),
                    "\" text-anchor=\"end\" fill=\"#444444\">", absl::StrFormat("%.0f %%", busy), "</text>\n</g>\n");
  }

  void DrawAction(const TimedAction& timed, double y) {
    const Look& look = LookOf(timed.action.phase);
    const double x = kLeft + timed.start * scale_, width = std::max(0.4, (timed.end - timed.start) * scale_);
    absl::StrAppend(&out_, "<rect class=\"action ", look.name, "\" x=\"", Px(x), "\" y=\"", Px(y), "\" width=\"",
                    Px(width), "\" height=\"", Px(kRow), "\"><title>", timed.action.ToString(),
                    absl::StrFormat(", %.6g to %.6g", timed.start, timed.end), "</title></rect>");
    const int chunk = chunks_[timed.action.stage];
    if (chunk > 0) {
      absl::StrAppend(&out_, "<path class=\"late\" d=\"M", Px(x + 0.8), " ", Px(y + kRow - 4), "h",
                      Px(std::max(0.0, (width - 1.6) * chunk / most_chunks_)), "v3h",
                      Px(-std::max(0.0, (width - 1.6) * chunk / most_chunks_)), "z\"/>");
    }
    const std::string number = absl::StrCat(timed.action.micro_batch);
    const double size = std::min(12.0, (width - 2) / (0.58 * number.size()));
    if (size >= 6) {
      absl::StrAppend(&out_, "<text x=\"", Px(x + width / 2), "\" y=\"", Px(y + 13 + size * 0.33), "\" font-size=\"",
                      Px(size), "\" fill=\"", look.ink, "\">", number, "</text>");
    }
    out_ += '\n';
  }

  void Legend() {
    double x = kLeft;
    const double y = bottom_ + kAxis;
    const auto entry = [&](absl::string_view swatch, absl::string_view meaning) {
      absl::StrAppend(&out_, "<path d=\"M", Px(x), " ", Px(y), "h16v13h-16z\" ", swatch, "/><text x=\"", Px(x + 22),
                      "\" y=\"", Px(y + 11), "\">", meaning, "</text>\n");
      x += 22 + 6.3 * meaning.size() + 22;
    };
    for (const Look& look : kLooks) {
      bool used = false;
      for (const auto& list : schedule_.ranks) {
        for (const Action& a : list) used |= a.phase == look.phase;
      }
      if (used) entry(absl::StrCat("class=\"", look.name, "\""), absl::StrCat(look.name, " ", look.meaning));
    }
    entry("fill=\"#000000\" fill-opacity=\".05\"", "idle");
    if (most_chunks_ == 0) return;
    absl::StrAppend(&out_, "<path class=\"late\" d=\"M", Px(x), " ", Px(y + 10), "h16v3h-16z\"/><text x=\"", Px(x + 22),
                    "\" y=\"", Px(y + 11), "\">",
                    most_chunks_ > 1 ? "later chunk (the longer, the later)" : "second chunk", "</text>\n");
  }

  const Schedule& schedule_;
  const ScheduleSimulation& simulation_;
  const std::string title_;
  const std::vector<int> chunks_;
  double plot_ = 0, scale_ = 0, bottom_ = 0;
  int most_chunks_ = 0;
  std::string out_;
};

}  // namespace

std::string ScheduleSvg(const Schedule& schedule, const ScheduleSimulation& simulation, absl::string_view title) {
  return Picture(schedule, simulation, title).Draw();
}

}  // namespace millrace
