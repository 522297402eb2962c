// Slurm's short forms of host lists and task counts.
#include "runtime/launch/nodelist.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace millrace {
namespace {

using ::testing::ElementsAre;

std::vector<std::string> Expanded(absl::string_view list) {
  const absl::StatusOr<std::vector<std::string>> hosts = ExpandNodelist(list);
  EXPECT_TRUE(hosts.ok()) << hosts.status();
  return hosts.ok() ? *hosts : std::vector<std::string>();
}

TEST(Nodelist, OneHost) { EXPECT_THAT(Expanded("login2.cluster"), ElementsAre("login2.cluster")); }

TEST(Nodelist, RangesKeepLeadingZeros) {
  const std::vector<std::string> hosts = Expanded("node[001-015,17],host2[1-2]");
  ASSERT_EQ(hosts.size(), 18u);
  EXPECT_EQ(hosts[0], "node001");
  EXPECT_EQ(hosts[14], "node015");
  EXPECT_EQ(hosts[15], "node17");
  EXPECT_EQ(hosts[16], "host21");
  EXPECT_EQ(hosts[17], "host22");
}

TEST(Nodelist, WidthGrowsWithTheNumber) { EXPECT_THAT(Expanded("n[9-11]"), ElementsAre("n9", "n10", "n11")); }

TEST(Nodelist, SeveralBracketsMultiply) {
  EXPECT_THAT(Expanded("r[1-2]n[0,3]x"), ElementsAre("r1n0x", "r1n3x", "r2n0x", "r2n3x"));
}

TEST(Nodelist, OneNumberInBrackets) { EXPECT_THAT(Expanded("a[7],b"), ElementsAre("a7", "b")); }

TEST(Nodelist, WrongListsAreRefused) {
  for (const char* list : {"",
                           ",",
                           "a,",
                           ",a",
                           "a[",
                           "a[]",
                           "a[1",
                           "a[1-]",
                           "a[-1]",
                           "a[2-1]",
                           "a[1,]",
                           "a]",
                           "a b",
                           "a[x]",
                           "a;b",
                           "a[1-2]]",
                           "a[0-65536]",
                           "a[0-999]b[0-999]",
                           "a[1-99999999999999999999]",
                           "$(id)"}) {
    EXPECT_FALSE(ExpandNodelist(list).ok()) << list;
  }
  EXPECT_FALSE(ExpandNodelist(std::string(1 << 17, 'a')).ok());
  EXPECT_FALSE(ExpandNodelist(std::string(300, 'a')).ok()) << "longer than a host's name may be";
}

TEST(Nodelist, EveryPrefixIsReadOrRefused) {
  const std::string list = "node[001-015,17],host2[1-2]";
  for (size_t n = 0; n <= list.size(); ++n) (void)ExpandNodelist(list.substr(0, n));
}

TEST(Nodelist, TasksOfAHost) {
  EXPECT_EQ(TasksOfHost("2(x3),1", 0).value(), 2);
  EXPECT_EQ(TasksOfHost("2(x3),1", 2).value(), 2);
  EXPECT_EQ(TasksOfHost("2(x3),1", 3).value(), 1);
  for (const char* counts : {"", "x", "2(x", "2(3)", "2(x0)", "-1", "2(x3),1"}) {
    EXPECT_FALSE(TasksOfHost(counts, 4).ok()) << counts;
  }
}

}  // namespace
}  // namespace millrace
