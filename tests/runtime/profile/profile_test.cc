// A toy plan measured on the reference backend: every call has an entry, nothing is measured twice.
#include "runtime/profile/profile.h"

#include <cmath>
#include <set>
#include <string>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernels/backends.h"
#include "runtime/plan/op_descs.h"
#include "tests/runtime/plan/tiny_plan.h"

namespace millrace {
namespace {

using testing::HasSubstr;

proto::ExecutionPlan Plan() {
  proto::ExecutionPlan plan = TinyPlan({});
  plan.set_device_kind("reference");
  plan.set_norm_block_elements(65536);
  proto::Input& x = *plan.add_inputs();
  x.set_name("x");
  x.mutable_type()->set_dtype(proto::F32);
  for (const int64_t size : {2, 4}) x.mutable_type()->add_dims(size);
  for (proto::Rank& rank : *plan.mutable_ranks()) {
    rank.set_threads(1);
    rank.set_shares("cores");
    rank.set_shared_cores(2);
  }
  return plan;
}

ProfileOptions Quick() {
  ProfileOptions options;
  options.budget_seconds = 0.01;
  options.flops = [](const OpDesc&) { return 3.0; };
  options.bytes = [](const OpDesc&) { return 5.0; };
  return options;
}

std::set<std::string> KeysOf(const proto::CostTable& table) {
  std::set<std::string> keys;
  for (const proto::KernelCost& kernel : table.kernels()) keys.insert(kernel.key());
  return keys;
}

TEST(Profile, EveryCallHasAnEntry) {
  const proto::ExecutionPlan plan = Plan();
  const absl::StatusOr<Profiled> profiled = Profile(plan, {}, Quick());
  ASSERT_TRUE(profiled.ok()) << profiled.status();
  const std::set<std::string> keys = KeysOf(profiled->table);
  for (const proto::StageProgram& stage : plan.programs(0).stages()) {
    for (const proto::PhaseProgram& phase : stage.phases()) {
      for (const proto::KernelCall& call : phase.calls()) {
        EXPECT_EQ(keys.count(CallDesc(stage, call).Key()), 1) << CallDesc(stage, call).Key();
      }
    }
  }
  for (const proto::PlannedParameter& parameter : plan.parameters()) {
    EXPECT_EQ(keys.count(SquaredSumsOp(parameter, plan.norm_block_elements()).Key()), 1);
    EXPECT_EQ(keys.count(OptimizerOp(parameter, plan.optimizer()).Key()), 1);
  }
  EXPECT_EQ(profiled->measured, static_cast<int>(keys.size()));
  EXPECT_EQ(profiled->known, 0);
  for (const proto::KernelCost& kernel : profiled->table.kernels()) {
    EXPECT_GT(kernel.seconds(), 0) << kernel.key();
    EXPECT_LT(kernel.seconds(), 1) << kernel.key();
    EXPECT_GE(kernel.samples(), 2) << kernel.key();
    if (std::thread::hardware_concurrency() > 1) EXPECT_GT(kernel.seconds_shared(), 0) << kernel.key();
    EXPECT_EQ(kernel.flops(), 3);
    EXPECT_EQ(kernel.bytes(), 5);
  }
}

TEST(Profile, LinksAndCollectives) {
  const absl::StatusOr<Profiled> profiled = Profile(Plan(), {}, Quick());
  ASSERT_TRUE(profiled.ok()) << profiled.status();
  const proto::CostTable& table = profiled->table;
  ASSERT_EQ(table.links_size(), 1);
  EXPECT_GT(table.links(0).bytes_per_second(), 1e6);
  EXPECT_LT(table.links(0).latency_seconds(), 1);
  std::set<std::string> kinds;
  for (const proto::CollectiveCost& collective : table.collectives()) {
    kinds.insert(collective.kind());
    EXPECT_EQ(collective.ranks(), 3);
    EXPECT_GT(collective.seconds(), 0);
  }
  EXPECT_EQ(kinds, (std::set<std::string>{"all-gather", "barrier"}));
  EXPECT_GT(table.instruction_seconds(), 0);
  EXPECT_LT(table.instruction_seconds(), 1e-3);
}

TEST(Profile, WhatIsKnownIsNotMeasured) {
  const proto::ExecutionPlan plan = Plan();
  const absl::StatusOr<Profiled> first = Profile(plan, {}, Quick());
  ASSERT_TRUE(first.ok()) << first.status();
  proto::CostTable known = first->table;
  for (proto::KernelCost& kernel : *known.mutable_kernels()) kernel.set_seconds(77);
  int opened = 0;
  ProfileOptions options = Quick();
  options.open_device = [&](const DeviceOptions& device) {
    ++opened;
    return OpenDevice("reference", device);
  };
  const absl::StatusOr<Profiled> second = Profile(plan, known, options);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(second->measured, 0);
  EXPECT_EQ(opened, 1);  // only to ask for its name
  EXPECT_EQ(KeysOf(second->table), KeysOf(first->table));
  for (const proto::KernelCost& kernel : second->table.kernels()) EXPECT_EQ(kernel.seconds(), 77);
  EXPECT_EQ(second->table.links(0).latency_seconds(), known.links(0).latency_seconds());

  // One that is missing is measured; the others stay.
  known.mutable_kernels()->DeleteSubrange(0, 1);
  const absl::StatusOr<Profiled> third = Profile(plan, known, Quick());
  ASSERT_TRUE(third.ok()) << third.status();
  EXPECT_EQ(third->measured, 1);
  EXPECT_LT(third->table.kernels(0).seconds(), 1);
  EXPECT_EQ(third->table.kernels(1).seconds(), 77);
}

TEST(Profile, RefusesABudgetOfNothing) {
  for (const double budget : {0.0, -1.0, std::nan(""), 1.0 / 0.0}) {
    ProfileOptions options = Quick();
    options.budget_seconds = budget;
    const absl::Status status = Profile(Plan(), {}, options).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << budget;
    EXPECT_THAT(std::string(status.message()), HasSubstr("budget"));
  }
}

TEST(Profile, ErrorsOfDevicesNameTheRank) {
  proto::ExecutionPlan plan = Plan();
  plan.set_device_kind("abacus");
  EXPECT_EQ(Profile(plan, {}, Quick()).status().code(), absl::StatusCode::kNotFound);
  plan = Plan();
  int opened = 0;
  ProfileOptions options = Quick();
  options.open_device = [&](const DeviceOptions& device) -> absl::StatusOr<std::unique_ptr<Device>> {
    if (++opened > 1) return absl::UnavailableError("it is broken");
    return OpenDevice("reference", device);
  };
  const absl::Status status = Profile(plan, {}, options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("profiling rank 0: it is broken"));
}

}  // namespace
}  // namespace millrace
