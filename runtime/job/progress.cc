#include "runtime/job/progress.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "runtime/log/log.h"

namespace millrace {
namespace {

constexpr char kClearLine[] = "\r\x1b[K";

std::string Duration(double seconds) {
  if (seconds >= 10) return absl::StrFormat("%.1f s", seconds);
  if (seconds >= 0.01) return absl::StrFormat("%.0f ms", seconds * 1e3);
  return absl::StrFormat("%.2f ms", seconds * 1e3);
}

}  // namespace

std::string StepLine(const StepReport& r) {
  std::string line = absl::StrFormat("step %d/%d  loss %.4f  norm %.3g  lr %.1e  %s  %.0f %s/s  bubble %.0f %%", r.step,
                                     r.steps, r.loss, r.gradient_norm, r.learning_rate, Duration(r.seconds),
                                     r.tokens_per_second(), r.counts_tokens ? "tok" : "samples", r.bubble * 100);
  if (r.mfu > 0) absl::StrAppendFormat(&line, "  MFU %.0f %%", r.mfu * 100);
  if (r.skipped) absl::StrAppend(&line, "  skipped: the gradient is not finite");
  return line;
}

Progress::Progress(std::ostream* out, bool terminal, uint64_t steps)
    : out_(out), terminal_(terminal && out != nullptr), every_(std::max<uint64_t>(1, steps / 100)) {
  if (terminal_) SetLogSink([this](LogLevel, const std::string& line) { Note(line); });
}

Progress::~Progress() {
  if (terminal_) SetLogSink(nullptr);
  std::lock_guard lock(mutex_);
  if (!shown_.empty()) *out_ << "\n" << std::flush;
}

void Progress::Step(const StepReport& report) {
  if (out_ == nullptr) return;
  std::lock_guard lock(mutex_);
  const absl::Time now = absl::Now();
  const bool last = report.step == report.steps;
  const bool slow = now - last_kept_ >= absl::Seconds(10);
  const bool keep = last || report.skipped || slow || (!terminal_ && report.step % every_ == 0);
  if (keep) {
    Keep(StepLine(report));
    last_kept_ = now;
  } else if (terminal_ && now - last_shown_ >= absl::Milliseconds(100)) {
    shown_ = StepLine(report);
    *out_ << kClearLine << shown_ << std::flush;
    last_shown_ = now;
  }
}

void Progress::Note(absl::string_view line) {
  if (out_ == nullptr) return;
  std::lock_guard lock(mutex_);
  Keep(line);
}

void Progress::Keep(absl::string_view line) {
  if (!shown_.empty()) *out_ << kClearLine;
  shown_.clear();
  *out_ << std::string(line) << "\n" << std::flush;
}

}  // namespace millrace
