#include "runtime/profile/cost_cache.h"

#include <cstdlib>
#include <fstream>
#include <limits>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "proto/text_proto.h"

namespace millrace {
namespace {

proto::CostTable Machine(const std::string& name = "a processor") {
  proto::CostTable table;
  table.set_schema_version(1);
  table.set_device_kind("cpu");
  table.set_device_name(name);
  table.set_threads(1);
  table.set_cores(2);
  table.set_versions("library 1");
  return table;
}

proto::CostTable With(const std::string& key, double seconds) {
  proto::CostTable table = Machine();
  table.add_kernels()->set_key(key);
  table.mutable_kernels(0)->set_seconds(seconds);
  return table;
}

class CostCache : public testing::Test {
 protected:
  void SetUp() override {
    folder_ =
        absl::StrCat(testing::TempDir(), "/costs-", testing::UnitTest::GetInstance()->current_test_info()->name());
    file_ = CostCacheFile(folder_, Machine(), "1");
  }
  std::string folder_, file_;
};

TEST_F(CostCache, FolderFollowsTheEnvironment) {
  setenv("XDG_CACHE_HOME", "/some/cache", 1);
  EXPECT_EQ(CostCacheFolder(), "/some/cache/millrace/costs");
  setenv("XDG_CACHE_HOME", "not/absolute", 1);
  setenv("HOME", "/some/body", 1);
  EXPECT_EQ(CostCacheFolder(), "/some/body/.cache/millrace/costs");
  unsetenv("HOME");
  EXPECT_EQ(CostCacheFolder(), "");
}

TEST_F(CostCache, EveryFactMakesAnotherFile) {
  EXPECT_EQ(CostCacheFile("f", Machine(), "1"), CostCacheFile("f", With("k", 1), "1"));
  EXPECT_NE(CostCacheFile("f", Machine(), "1"), CostCacheFile("f", Machine(), "2"));
  EXPECT_NE(CostCacheFile("f", Machine(), "1"), CostCacheFile("f", Machine("another"), "1"));
  proto::CostTable other = Machine();
  other.set_versions("library 2");
  EXPECT_NE(CostCacheFile("f", Machine(), "1"), CostCacheFile("f", other, "1"));
  other = Machine();
  other.set_sharing(2);
  EXPECT_NE(CostCacheFile("f", Machine(), "1"), CostCacheFile("f", other, "1"));
}

TEST_F(CostCache, KeepsAndAdds) {
  EXPECT_EQ(ReadCostCache(file_, Machine()).kernels_size(), 0);
  ASSERT_TRUE(WriteCostCache(file_, With("a", 1)).ok());
  ASSERT_TRUE(WriteCostCache(file_, With("b", 2)).ok());
  ASSERT_TRUE(WriteCostCache(file_, With("a", 3)).ok());
  const proto::CostTable found = ReadCostCache(file_, Machine());
  ASSERT_EQ(found.kernels_size(), 2);
  EXPECT_EQ(found.kernels(0).key(), "a");
  EXPECT_EQ(found.kernels(0).seconds(), 3);
  EXPECT_EQ(found.kernels(1).seconds(), 2);
}

TEST_F(CostCache, DamageIsIgnoredAndWrittenOver) {
  ASSERT_TRUE(WriteCostCache(file_, With("a", 1)).ok());
  std::ofstream(file_) << "\xff\xff no message";
  EXPECT_EQ(ReadCostCache(file_, Machine()).kernels_size(), 0);
  ASSERT_TRUE(WriteCostCache(file_, With("b", 2)).ok());
  EXPECT_EQ(ReadCostCache(file_, Machine()).kernels_size(), 1);
}

TEST_F(CostCache, OfAnotherMachineOrNoNumberIsIgnored) {
  ASSERT_TRUE(WriteCostCache(file_, With("a", 1)).ok());
  EXPECT_EQ(ReadCostCache(file_, Machine("another")).kernels_size(), 0);
  ASSERT_TRUE(WriteMessage(file_, With("a", std::numeric_limits<double>::quiet_NaN())).ok());
  EXPECT_EQ(ReadCostCache(file_, Machine()).kernels_size(), 0);
}

TEST_F(CostCache, AFolderThatCannotBe) {
  std::ofstream(folder_) << "a file stands here";
  EXPECT_FALSE(WriteCostCache(file_, With("a", 1)).ok());
}

}  // namespace
}  // namespace millrace
