#include "runtime/comm/patience.h"

#include <algorithm>
#include <cstdio>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace millrace {
namespace {

constexpr int kSpins = 60;
constexpr int kSpinsWhenCrowded = 4;

Patience::Clock::duration ToChrono(absl::Duration duration) {
  return std::chrono::nanoseconds(absl::ToInt64Nanoseconds(std::min(duration, absl::Hours(24 * 365))));
}

}  // namespace

Patience::Patience(const CommunicatorOptions& options)
    : start_(Clock::now()),
      end_(start_ + ToChrono(options.terminate_after)),
      next_(std::min(start_ + ToChrono(options.warn_after), end_)),
      report_(options.report) {}

double Patience::seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

absl::Status Patience::Overdue(const std::function<std::string()>& what) {
  const std::string text = what ? what() : "a wait without a name";
  const std::string report = report_ ? absl::StrCat("\n", report_()) : "";
  if (next_ == end_) {
    return absl::DeadlineExceededError(
        absl::StrCat(text, ": gave up after ", seconds(), " s; is its peer stuck or gone?", report));
  }
  std::fprintf(stderr, "millrace: %s: %.1f s so far%s\n", text.c_str(), seconds(), report.c_str());
  next_ = end_;
  return absl::OkStatus();
}

int SpinsBeforeParking(int ranks) {
  return ranks <= static_cast<int>(std::thread::hardware_concurrency()) ? kSpins : kSpinsWhenCrowded;
}

}  // namespace millrace
