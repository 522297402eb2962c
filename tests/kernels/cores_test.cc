// Cores that a process may use: control groups of both versions, in and out of containers.
#include "kernels/cores.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <filesystem>

#include "tests/runtime/data/files.h"

namespace millrace {
namespace {

// The files of a machine, in a folder of the test's own.
class Machine {
 public:
  Machine& File(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(root_ + path).parent_path());
    Write(root_ + path, text);
    return *this;
  }
  AllowedCores With(int affinity) const { return FindAllowedCores(root_, affinity); }

 private:
  const std::string root_ = FreshFolder();
};

TEST(AllowedCores, AffinityWithoutAQuota) {
  const AllowedCores allowed = Machine().With(3);
  EXPECT_EQ(allowed.cores, 3);
  EXPECT_EQ(allowed.quota, 0);
}

TEST(AllowedCores, Version2) {
  const AllowedCores allowed = Machine()
                                   .File("/proc/self/cgroup", "0::/kube/pod\n")
                                   .File("/sys/fs/cgroup/kube/pod/cpu.max", "250000 100000\n")
                                   .With(8);
  EXPECT_EQ(allowed.cores, 2);
  EXPECT_DOUBLE_EQ(allowed.quota, 2.5);
  EXPECT_EQ(allowed.quota_from, "/sys/fs/cgroup/kube/pod/cpu.max");
}

TEST(AllowedCores, AGroupAboveLimitsToo) {
  const AllowedCores allowed = Machine()
                                   .File("/proc/self/cgroup", "0::/kube/pod\n")
                                   .File("/sys/fs/cgroup/kube/pod/cpu.max", "max 100000\n")
                                   .File("/sys/fs/cgroup/kube/cpu.max", "400000 100000\n")
                                   .With(8);
  EXPECT_EQ(allowed.cores, 4);
  EXPECT_EQ(allowed.quota_from, "/sys/fs/cgroup/kube/cpu.max");
}

TEST(AllowedCores, Version1) {
  EXPECT_EQ(Machine()
                .File("/proc/self/cgroup", "5:memory:/m\n4:cpu,cpuacct:/docker/abc\n")
                .File("/sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us", "150000\n")
                .File("/sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us", "50000\n")
                .With(8)
                .cores,
            3);
}

TEST(AllowedCores, Version1InAContainerThatSeesOnlyItsTop) {
  EXPECT_EQ(Machine()
                .File("/proc/self/cgroup", "4:cpu,cpuacct:/docker/abc\n")
                .File("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "200000\n")
                .File("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n")
                .With(8)
                .cores,
            2);
}

TEST(AllowedCores, Version1WithoutAQuota) {
  EXPECT_EQ(Machine()
                .File("/proc/self/cgroup", "4:cpu:/\n")
                .File("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n")
                .File("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n")
                .With(8)
                .cores,
            8);
}

TEST(AllowedCores, LessThanOneCoreIsOne) {
  EXPECT_EQ(
      Machine().File("/proc/self/cgroup", "0::/\n").File("/sys/fs/cgroup/cpu.max", "10000 100000\n").With(8).cores, 1);
}

TEST(AllowedCores, AQuotaAboveTheAffinityChangesNothing) {
  EXPECT_EQ(
      Machine().File("/proc/self/cgroup", "0::/\n").File("/sys/fs/cgroup/cpu.max", "900000 100000\n").With(2).cores, 2);
}

TEST(AllowedCores, FilesThatMakeNoSenseAreNoLimit) {
  for (const char* text : {"", "x", "100000", "100000 0", "-5 100000", "nan nan", "1e400 1", "0 100000"}) {
    EXPECT_EQ(Machine().File("/proc/self/cgroup", "0::/\n").File("/sys/fs/cgroup/cpu.max", text).With(8).cores, 8)
        << text;
  }
  EXPECT_EQ(Machine().File("/proc/self/cgroup", "0::/../../etc\nx\n::\n").With(8).cores, 8);
}

TEST(AllowedCores, AffinityIsTheThreads) {
  cpu_set_t before, one;
  ASSERT_EQ(sched_getaffinity(0, sizeof(before), &before), 0);
  CPU_ZERO(&one);
  for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++cpu) {
    if (CPU_ISSET(cpu, &before)) CPU_SET(cpu, &one);
  }
  ASSERT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
  EXPECT_EQ(FindAllowedCores("/nonexistent").affinity, 1);
  ASSERT_EQ(sched_setaffinity(0, sizeof(before), &before), 0);
  EXPECT_EQ(FindAllowedCores("/nonexistent").affinity, CPU_COUNT(&before));
}

}  // namespace
}  // namespace millrace
