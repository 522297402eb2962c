#include "tools/gpu_check/report.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"

namespace millrace {
namespace {

const char* ResultOf(const CheckedCase& one) { return one.failed ? "failed" : one.skipped ? "skipped" : "passed"; }

void PrintCases(const std::vector<CheckedCase>& cases) {
  std::map<std::string, std::map<std::string, int>> counts;
  for (const CheckedCase& one : cases) {
    ++counts[one.suite][ResultOf(one)];
    if (one.failed || one.skipped) {
      std::printf("%-7s  %s.%s: %s\n", ResultOf(one), one.suite.c_str(), one.name.c_str(), one.why.c_str());
    }
  }
  for (auto& [suite, results] : counts) {
    std::printf("%-52s %5d passed %5d failed %5d skipped\n", suite.c_str(), results["passed"], results["failed"],
                results["skipped"]);
  }
}

void PrintFigures(const std::vector<Figure>& figures) {
  for (const Figure& figure : figures) {
    if (!figure.why.empty()) {
      std::printf("%-52s not measured: %s\n", figure.name.c_str(), figure.why.c_str());
    } else if (figure.roof > 0) {
      std::printf("%-52s %10.1f %-9s %5.1f %% of %.0f\n", figure.name.c_str(), figure.value, figure.unit.c_str(),
                  100 * figure.value / figure.roof, figure.roof);
    } else {
      std::printf("%-52s %10.1f %s\n", figure.name.c_str(), figure.value, figure.unit.c_str());
    }
  }
}

}  // namespace

bool CheckReport::failed() const {
  return std::any_of(cases.begin(), cases.end(), [](const CheckedCase& one) { return one.failed; });
}

void Print(const CheckReport& report) {
  std::printf("gpu_check %s: %s, %s\n", report.part.c_str(), report.gpu.empty() ? "no GPU" : report.gpu.c_str(),
              report.libraries.c_str());
  if (!report.trouble.empty()) std::printf("%s\n", report.trouble.c_str());
  PrintCases(report.cases);
  PrintFigures(report.figures);
  std::fflush(stdout);
}

absl::Status WriteJson(const CheckReport& report, const std::string& path) {
  nlohmann::ordered_json json = {
      {"part", report.part}, {"gpu", report.gpu}, {"libraries", report.libraries}, {"trouble", report.trouble}};
  json["cases"] = nlohmann::ordered_json::array();
  for (const CheckedCase& one : report.cases) {
    json["cases"].push_back({{"suite", one.suite},
                             {"name", one.name},
                             {"result", ResultOf(one)},
                             {"why", one.why},
                             {"seconds", one.seconds}});
  }
  json["figures"] = nlohmann::ordered_json::array();
  for (const Figure& figure : report.figures) {
    json["figures"].push_back({{"name", figure.name},
                               {"value", figure.value},
                               {"unit", figure.unit},
                               {"roof", figure.roof},
                               {"why", figure.why}});
  }
  std::ofstream out(path);
  // Words of libraries may hold any bytes.
  out << json.dump(1, ' ', /*ensure_ascii=*/false, nlohmann::json::error_handler_t::replace) << "\n";
  return out.flush() ? absl::OkStatus() : absl::UnavailableError(absl::StrCat("cannot write ", path));
}

}  // namespace millrace
