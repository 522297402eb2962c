// What processes decide together: the same answer in each, whatever ranks it has.
#include "runtime/job/agree.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/checkpoint/weights.h"
#include "runtime/job/gathered_weights.h"
#include "runtime/job/same_run.h"
#include "runtime/job/shared_clock.h"
#include "tests/runtime/checkpoint/memory_store.h"
#include "tests/runtime/job/processes.h"
#include "tests/runtime/worker/toy_plan.h"

namespace millrace {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

proto::ExecutionPlan Plan() {
  ToyOptions options;
  options.stages = options.ranks = 4;
  return ToyPlan(options);
}

class Agree : public ::testing::TestWithParam<Split> {
 protected:
  std::vector<absl::Status> InEach(const std::function<absl::Status(Ranks*)>& body) {
    return WithRanks(plan_, GetParam(), body);
  }
  void AllRight(const std::function<absl::Status(Ranks*)>& body) {
    for (const absl::Status& status : InEach(body)) EXPECT_TRUE(status.ok()) << status;
  }

  const proto::ExecutionPlan plan_ = Plan();
};

TEST_P(Agree, EveryProcessKnowsWhoIsWhere) {
  AllRight([&](Ranks* ranks) {
    EXPECT_EQ(ranks->size(), 4);
    EXPECT_EQ(ranks->processes().size(), GetParam().size());
    for (const std::vector<int>& process : GetParam()) {
      for (int rank : process) EXPECT_EQ(ranks->process_of(rank), process[0]);
    }
    EXPECT_EQ(ranks->has_root(), ranks->this_process() == 0);
    return absl::OkStatus();
  });
}

TEST_P(Agree, Share) {
  AllRight([](Ranks* ranks) {
    std::vector<double> all(4, -1);
    for (int rank : ranks->here()) all[rank] = rank * 10;
    const absl::Status status = Share(ranks, &all);
    EXPECT_THAT(all, ElementsAre(0, 10, 20, 30));
    return status;
  });
}

TEST_P(Agree, AnyOfIsTrueEverywhereWhenItIsTrueOnce) {
  for (int who : {-1, 0, 3}) {
    AllRight([who](Ranks* ranks) {
      const auto any = AnyOf(ranks, who >= 0 && ranks->is_here(who));
      EXPECT_TRUE(any.ok() && *any == (who >= 0)) << who;
      return any.status();
    });
  }
}

TEST_P(Agree, TheLowestErrorIsEveryProcesses) {
  AllRight([](Ranks* ranks) {
    EXPECT_TRUE(AllOk(ranks, absl::OkStatus()).ok());
    absl::Status mine;
    if (ranks->is_here(3)) mine = absl::DataLossError("the last one is broken");
    if (ranks->is_here(2)) mine = absl::ResourceExhaustedError("no room");
    const absl::Status all = AllOk(ranks, mine);
    EXPECT_EQ(all.code(), absl::StatusCode::kResourceExhausted);
    EXPECT_THAT(std::string(all.message()), HasSubstr("no room"));
    EXPECT_TRUE(ranks->is_here(2) || std::string(all.message()).substr(0, 5) == "rank ") << all;
    return absl::OkStatus();
  });
}

TEST_P(Agree, TheRootDecides) {
  // Nothing, a word, and more than a piece.
  for (const std::string& said : {std::string(), std::string("left"), std::string(9 << 20, 'x')}) {
    AllRight([&](Ranks* ranks) {
      const auto heard = FromRoot(ranks, ranks->has_root() ? said : "not heard");
      EXPECT_TRUE(heard.ok() && *heard == said) << said.size();
      return heard.status();
    });
  }
  const std::vector<absl::Status> statuses = InEach([&](Ranks* ranks) {
    absl::StatusOr<std::string> roots = std::string("not heard");
    if (ranks->has_root()) roots = absl::NotFoundError("no such run");
    return FromRoot(ranks, roots).status();
  });
  for (const absl::Status& status : statuses) {
    EXPECT_EQ(status.code(), absl::StatusCode::kNotFound) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("no such run"));
  }
}

TEST_P(Agree, GatherAtRoot) {
  AllRight([](Ranks* ranks) {
    const std::string mine(ranks->this_process() * (3 << 20), static_cast<char>('a' + ranks->this_process()));
    const auto gathered = GatherAtRoot(ranks, mine);
    if (!gathered.ok()) return gathered.status();
    EXPECT_EQ(gathered->size(), ranks->has_root() ? ranks->processes().size() : 0);
    for (size_t i = 0; i < gathered->size(); ++i) {
      const int process = ranks->processes()[i];
      EXPECT_EQ((*gathered)[i].size(), process * (3 << 20));
      EXPECT_THAT((*gathered)[i].substr(0, 100), Each(static_cast<char>('a' + process)));
    }
    return absl::OkStatus();
  });
}

TEST_P(Agree, ThreadsOfOneHostHaveOneClock) {
  AllRight([](Ranks* ranks) {
    const auto behind = SecondsBehindRoot(ranks);
    EXPECT_TRUE(behind.ok() && *behind == 0) << *behind;
    return behind.status();
  });
}

TEST_P(Agree, AnotherRunIsRefusedEverywhere) {
  for (const absl::Status& status : InEach([&](Ranks* ranks) {
         proto::JobConfig config;
         config.set_seed(ranks->is_here(3) ? 8 : 7);
         config.set_out_dir(ranks->has_root() ? "here" : "there");
         config.mutable_data()->set_path(ranks->has_root() ? "a" : "b");
         return CheckSameRun(plan_, config, ranks);
       })) {
    if (GetParam().size() == 1) {
      EXPECT_TRUE(status.ok());
      continue;
    }
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(status.message()), HasSubstr("seed: 8"));
    EXPECT_THAT(std::string(status.message()), HasSubstr("seed: 7"));
  }
}

MemoryStore WholeStore() {
  MemoryStore store;
  store.Add("a", proto::F32, {3}, 3, 1);
  store.Add("large", proto::F32, {5, 1 << 18}, 2, 2);  // 5 MiB: two pieces
  store.Add("empty", proto::F32, {0}, 1, 3);
  store.Add("first", proto::F64, {7}, 0, 4);
  return store;
}

// A store of which a process has only the tensors of its ranks.
class PartialStore : public MemoryStore {
 public:
  explicit PartialStore(Ranks* ranks) : MemoryStore(WholeStore()), ranks_(ranks) {}
  // "first" in three parts, the others whole.
  absl::StatusOr<std::vector<TensorPart>> parts() const override {
    absl::StatusOr<std::vector<TensorPart>> whole = MemoryStore::parts();
    whole->pop_back();
    whole->insert(whole->end(), {{3, 0, 2, 0}, {3, 2, 6, 3}, {3, 6, 7, 1}});
    return whole;
  }
  absl::Status ReadPart(const TensorPart& part, void* memory, uint64_t bytes) const override {
    if (!ranks_->is_here(part.rank)) return absl::InternalError("not here");
    return part.tensor == 3 ? WholeStore().ReadPart(part, memory, bytes) : MemoryStore::ReadPart(part, memory, bytes);
  }
  absl::Status Read(int tensor, void* memory, uint64_t bytes) const override {
    if (!ranks_->is_here(rank(tensor))) return absl::InternalError("not here");
    return MemoryStore::Read(tensor, memory, bytes);
  }

 private:
  Ranks* const ranks_;
};

TEST_P(Agree, WeightsAreReadFromWhoHasThem) {
  std::string digest;
  AllRight([&](Ranks* ranks) {
    const PartialStore store(ranks);
    if (!ranks->has_root()) return ServeWeights(store, ranks);
    auto all = GatheredWeights::Of(store, ranks);
    if (!all.ok()) return all.status();
    const auto computed = WeightsDigest(*all);
    if (!computed.ok()) return computed.status();
    digest = *computed;
    return all->Release();
  });
  EXPECT_EQ(digest, *WeightsDigest(WholeStore()));
}

INSTANTIATE_TEST_SUITE_P(Splits, Agree,
                         ::testing::Values(Split{{0, 1, 2, 3}}, OneEach(4), Split{{0, 2}, {1, 3}},
                                           Split{{0}, {1, 2, 3}}));

TEST(Ranks, AProcessMayNotRunWhatThePlanDoesNotHave) {
  const proto::ExecutionPlan plan = Plan();
  RanksOptions options;
  options.here = {4};
  options.make_communicator = JoinedCommunicators(5);
  EXPECT_THAT(std::string(Ranks::Connect(plan, options).status().message()), HasSubstr("the plan has 4 ranks"));
  options.here = {0};
  EXPECT_THAT(std::string(Ranks::Connect(plan, options).status().message()), HasSubstr("rank 0 of 5"));
  options.make_communicator = nullptr;
  EXPECT_THAT(std::string(Ranks::Connect(plan, options).status().message()), HasSubstr("nothing connects it"));
}

}  // namespace
}  // namespace millrace
