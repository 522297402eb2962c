#include "kernels/cores.h"

#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace millrace {
namespace {

int AffinityOfThisThread() {
  for (int processors = 1024; processors <= 1 << 20; processors *= 2) {  // the mask must be as large as the kernel's
    cpu_set_t* const mask = CPU_ALLOC(processors);
    if (mask == nullptr) break;
    const size_t bytes = CPU_ALLOC_SIZE(processors);
    const bool known = sched_getaffinity(0, bytes, mask) == 0;
    const bool too_small = !known && errno == EINVAL;
    const int count = known ? CPU_COUNT_S(bytes, mask) : 0;
    CPU_FREE(mask);
    if (known) return std::max(1, count);
    if (!too_small) break;
  }
  return 1;
}

// The first line of a file of /proc or /sys, whose size reads as 0; "" when there is none.
std::string FirstLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line.size() > 4096 ? "" : line;
}

// Cores of "quota period", both in microseconds; 0: no limit. Version 2 says "max", version 1 says -1.
double CoresOf(absl::string_view quota, absl::string_view period) {
  double microseconds = 0, of = 0;
  if (!absl::SimpleAtod(absl::StripAsciiWhitespace(quota), &microseconds)) return 0;
  if (!absl::SimpleAtod(absl::StripAsciiWhitespace(period), &of)) return 0;
  return microseconds > 0 && of > 0 ? microseconds / of : 0;
}

struct Group {
  bool version_2 = false;
  std::string mount;  // where its files are, under the root
  std::string path;   // "/kubepods/pod7"
};

// The groups that may limit the processor: lines "0::/path" (version 2) and "4:cpu,cpuacct:/path" (version 1).
std::vector<Group> GroupsOfThisProcess(absl::string_view root) {
  std::vector<Group> groups;
  std::ifstream file(absl::StrCat(root, "/proc/self/cgroup"));
  std::string line;
  for (int lines = 0; lines < 64 && std::getline(file, line); ++lines) {
    const std::vector<std::string> parts = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (parts.size() != 3 || parts[2].size() > 4096 || absl::StrContains(parts[2], "..")) continue;
    if (parts[1].empty()) {
      groups.push_back({true, absl::StrCat(root, "/sys/fs/cgroup"), parts[2]});
      groups.push_back({true, absl::StrCat(root, "/sys/fs/cgroup/unified"), parts[2]});
      continue;
    }
    const std::vector<std::string> controllers = absl::StrSplit(parts[1], ',');
    if (std::find(controllers.begin(), controllers.end(), "cpu") == controllers.end()) continue;
    groups.push_back({false, absl::StrCat(root, "/sys/fs/cgroup/", parts[1]), parts[2]});
    if (parts[1] != "cpu") groups.push_back({false, absl::StrCat(root, "/sys/fs/cgroup/cpu"), parts[2]});
  }
  return groups;
}

double QuotaOf(const Group& group, const std::string& folder, std::string* from) {
  if (group.version_2) {
    *from = absl::StrCat(folder, "/cpu.max");
    const std::string line = FirstLine(*from);
    const std::pair<absl::string_view, absl::string_view> words = absl::StrSplit(line, absl::MaxSplits(' ', 1));
    return CoresOf(words.first, words.second);
  }
  *from = absl::StrCat(folder, "/cpu.cfs_quota_us");
  return CoresOf(FirstLine(*from), FirstLine(absl::StrCat(folder, "/cpu.cfs_period_us")));
}

}  // namespace

AllowedCores FindAllowedCores(absl::string_view root, int affinity) {
  AllowedCores allowed;
  allowed.affinity = affinity > 0 ? affinity : AffinityOfThisThread();
  for (const Group& group : GroupsOfThisProcess(root)) {
    // Every group above limits too. In a container the path may be the host's, of which only the mount's top is seen.
    absl::string_view path = absl::StripSuffix(group.path, "/");
    while (true) {
      std::string from;
      const double quota = QuotaOf(group, absl::StrCat(group.mount, path), &from);
      if (quota > 0 && (allowed.quota == 0 || quota < allowed.quota)) {
        allowed.quota = quota;
        allowed.quota_from = std::string(absl::StripPrefix(from, root));
      }
      if (path.empty()) break;
      path = path.substr(0, path.rfind('/'));
    }
  }
  // A part of a core is not counted: threads above the quota are stopped in the middle of a step, all of them.
  allowed.cores = allowed.affinity;
  if (allowed.quota > 0) allowed.cores = std::min<double>(allowed.cores, std::max(1.0, allowed.quota));
  return allowed;
}

}  // namespace millrace
