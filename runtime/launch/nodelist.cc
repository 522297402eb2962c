#include "runtime/launch/nodelist.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "proto/status_macros.h"
#include "runtime/launch/launch_environment.h"

namespace millrace {
namespace {

constexpr size_t kLongestList = 1 << 16;

// A recursive-descent reader over the text; one place, moved forward.
class Reader {
 public:
  explicit Reader(absl::string_view text) : text_(text) {}

  absl::StatusOr<std::vector<std::string>> Hosts() {
    std::vector<std::string> hosts;
    do {
      MR_ASSIGN_OR_RETURN(const std::vector<std::string> some, OneName());
      if (hosts.size() + some.size() > kMostHosts) return TooMany();
      hosts.insert(hosts.end(), some.begin(), some.end());
    } while (Take(','));
    if (place_ < text_.size()) return Wrong("a comma or the end");
    return hosts;
  }

 private:
  // prefix[ranges]middle[ranges]suffix
  absl::StatusOr<std::vector<std::string>> OneName() {
    std::vector<std::string> names = {""};
    const size_t start = place_;
    while (place_ < text_.size() && text_[place_] != ',') {
      std::vector<std::string> endings;
      if (Take('[')) {
        MR_ASSIGN_OR_RETURN(endings, Ranges());
      } else if (absl::ascii_isalnum(text_[place_]) || absl::StrContains("-_.", text_.substr(place_, 1))) {
        endings = {Letters()};
      } else {
        return Wrong("a letter, a digit or '['");
      }
      if (names.size() * endings.size() > kMostHosts) return TooMany();
      std::vector<std::string> longer;
      for (const std::string& name : names) {
        for (const std::string& ending : endings) longer.push_back(name + ending);
      }
      names = std::move(longer);
      if (names[0].size() > 253) return Wrong("a shorter host name");
    }
    if (place_ == start) return Wrong("a host name");
    return names;
  }

  // 001-015,17 up to the closing bracket, which is taken too.
  absl::StatusOr<std::vector<std::string>> Ranges() {
    std::vector<std::string> numbers;
    do {
      const std::string first = Digits();
      const std::string last = Take('-') ? Digits() : first;
      uint64_t from = 0, to = 0;
      if (!absl::SimpleAtoi(first, &from) || !absl::SimpleAtoi(last, &to)) return Wrong("a number");
      if (to < from) return Wrong("a range that goes up");
      if (to - from >= kMostHosts || numbers.size() + (to - from + 1) > kMostHosts) return TooMany();
      for (uint64_t n = from; n <= to; ++n) {
        numbers.push_back(absl::StrFormat("%0*d", static_cast<int>(first.size()), n));
      }
    } while (Take(','));
    if (!Take(']')) return Wrong("']'");
    return numbers;
  }

  std::string Digits() {
    const size_t start = place_;
    while (place_ < text_.size() && absl::ascii_isdigit(text_[place_]) && place_ - start < 18) ++place_;
    return std::string(text_.substr(start, place_ - start));
  }

  std::string Letters() {
    const size_t start = place_;
    while (place_ < text_.size() && text_[place_] != ',' && text_[place_] != '[' &&
           (absl::ascii_isalnum(text_[place_]) || absl::StrContains("-_.", text_.substr(place_, 1)))) {
      ++place_;
    }
    return std::string(text_.substr(start, place_ - start));
  }

  bool Take(char c) {
    if (place_ >= text_.size() || text_[place_] != c) return false;
    ++place_;
    return true;
  }

  absl::Status Wrong(absl::string_view wanted) const {
    return absl::InvalidArgumentError(
        absl::StrCat(QuotedValue(text_), " at byte ", place_, ": ", wanted, " is needed"));
  }
  absl::Status TooMany() const {
    return absl::InvalidArgumentError(absl::StrCat(QuotedValue(text_), ": more than ", kMostHosts, " hosts"));
  }

  absl::string_view text_;
  size_t place_ = 0;
};

}  // namespace

absl::StatusOr<std::vector<std::string>> ExpandNodelist(absl::string_view list) {
  if (list.size() > kLongestList) {
    return absl::InvalidArgumentError(
        absl::StrCat("a list of ", list.size(), " bytes; ", kLongestList, " are the most"));
  }
  return Reader(list).Hosts();
}

absl::StatusOr<int64_t> TasksOfHost(absl::string_view counts, int64_t index) {
  const auto wrong = [&] {
    return absl::InvalidArgumentError(absl::StrCat(QuotedValue(counts), ": numbers like 2(x3),1 are needed"));
  };
  if (counts.size() > kLongestList) return wrong();
  int64_t passed = 0;
  for (absl::string_view part : absl::StrSplit(counts, ',')) {
    int64_t tasks = 0, times = 1;
    const size_t bracket = part.find('(');
    if (bracket != absl::string_view::npos) {
      absl::string_view repeat = part.substr(bracket);
      if (!absl::ConsumePrefix(&repeat, "(x") || !absl::ConsumeSuffix(&repeat, ")") ||
          !absl::SimpleAtoi(repeat, &times)) {
        return wrong();
      }
    }
    if (!absl::SimpleAtoi(part.substr(0, bracket), &tasks) || tasks < 0 || times < 1 || times > (1 << 20))
      return wrong();
    passed += times;
    if (index < passed) return tasks;
  }
  return absl::InvalidArgumentError(
      absl::StrCat(QuotedValue(counts), ": names ", passed, " hosts; host ", index, " is asked for"));
}

}  // namespace millrace
