#include "tools/gpu_check/run_cases.h"

#include <utility>

#include "gtest/gtest.h"

namespace millrace {
namespace {

constexpr size_t kLongest = 600;  // of a reason

class Log : public testing::EmptyTestEventListener {
 public:
  explicit Log(std::vector<CheckedCase>* cases) : cases_(cases) {}

  void OnTestEnd(const testing::TestInfo& info) override {
    const testing::TestResult& result = *info.result();
    CheckedCase one;
    one.suite = info.test_suite_name();
    one.name = info.name();
    one.failed = result.Failed();
    one.skipped = result.Skipped();
    one.seconds = static_cast<double>(result.elapsed_time()) / 1000;
    for (int i = 0; i < result.total_part_count() && one.why.size() < kLongest; ++i) {
      const testing::TestPartResult& part = result.GetTestPartResult(i);
      if (part.passed() || (one.failed && part.skipped())) continue;
      one.why += (one.why.empty() ? "" : "; ") + std::string(part.message());
    }
    one.why = one.why.substr(0, kLongest);
    cases_->push_back(std::move(one));
  }

 private:
  std::vector<CheckedCase>* const cases_;
};

}  // namespace

std::vector<CheckedCase> RunCases(const std::string& filter) {
  std::vector<CheckedCase> cases;
  testing::GTEST_FLAG(filter) = filter;
  testing::TestEventListeners& listeners = testing::UnitTest::GetInstance()->listeners();
  delete listeners.Release(listeners.default_result_printer());
  Log* const log = new Log(&cases);
  listeners.Append(log);
  const int all = RUN_ALL_TESTS();  // its result says what the cases say
  delete listeners.Release(log);
  if (all != 0 && cases.empty()) cases.push_back({"gpu_check", filter, true, false, "no case could be run", 0});
  return cases;
}

}  // namespace millrace
