#include "tools/report/units.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace millrace {

std::string BytesText(double bytes) {
  const char* units[] = {"B", "kB", "MB", "GB", "TB"};
  int unit = 0;
  while (bytes >= 999.5 && unit < 4) {
    bytes /= 1000;
    ++unit;
  }
  return absl::StrFormat(bytes < 9.95 && unit > 0 ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
}

std::string SecondsText(double seconds) {
  if (seconds >= 1) return absl::StrFormat("%.2f s", seconds);
  if (seconds >= 1e-3) return absl::StrFormat("%.2f ms", seconds * 1e3);
  return absl::StrFormat("%.1f us", seconds * 1e6);
}

std::string Ms(double seconds) {
  const double ms = seconds * 1e3, size = std::abs(ms);
  if (size < 5e-7) return "-";
  if (size < 0.0995) return absl::StrFormat("%.3f", ms);
  if (size < 9.995) return absl::StrFormat("%.2f", ms);
  if (size < 999.5) return absl::StrFormat("%.1f", ms);
  return absl::StrFormat("%.0f", ms);
}

std::string Both(double measured, double predicted) {
  if (Ms(measured) == "-" && Ms(predicted) == "-") return "-";
  return absl::StrCat(Ms(measured), " (", Ms(predicted), ")");
}

std::string PerCentOver(double measured, double predicted) {
  if (!(predicted > 0)) return "-";
  if (measured > 2 * predicted) return absl::StrFormat("%.1f times", measured / predicted);
  return absl::StrFormat("%+.1f %%", 100 * (measured / predicted - 1));
}

}  // namespace millrace
