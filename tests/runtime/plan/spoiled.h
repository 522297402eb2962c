// A correct plan to spoil, and words to find one's way in it.
#ifndef TESTS_RUNTIME_PLAN_SPOILED_H_
#define TESTS_RUNTIME_PLAN_SPOILED_H_

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/plan/plan.h"
#include "runtime/plan/verify.h"
#include "tests/runtime/plan/tiny_plan.h"

namespace millrace {

// A 1F1B plan of 3 ranks and 4 micro-batches, and words to find one's way in it. Rank 0, for instance:
//   LOAD 0, 0F0, SEND, LOAD 1, 0F1, SEND, LOAD 2, 0F2, SEND, RECV, 0B0, 0W0, ...
class Spoiled : public testing::Test {
 protected:
  proto::Program* train() { return plan_.mutable_programs(0); }
  proto::RankProgram* rank(int r) { return train()->mutable_ranks(r); }
  proto::StageProgram* stage(int s) { return train()->mutable_stages(s); }
  proto::Instruction* at(int r, int i) { return rank(r)->mutable_instructions(i); }

  int Find(int r, proto::Instruction::Kind kind, int micro_batch = 0, proto::Phase phase = proto::PHASE_UNSPECIFIED,
           int skip = 0) {
    for (int i = 0; i < rank(r)->instructions_size(); ++i) {
      if (at(r, i)->kind() == kind && at(r, i)->micro_batch() == micro_batch && at(r, i)->phase() == phase &&
          skip-- == 0)
        return i;
    }
    ADD_FAILURE() << "no such instruction";
    return 0;
  }
  int FindRun(int r, proto::Phase phase, int micro_batch) {
    return Find(r, proto::Instruction::RUN, micro_batch, phase);
  }

  // Takes an instruction out, and its number out of every `after`.
  void Drop(int r, int i) {
    rank(r)->mutable_instructions()->DeleteSubrange(i, 1);
    for (proto::Instruction& later : *rank(r)->mutable_instructions()) {
      std::vector<uint32_t> after;
      for (uint32_t a : later.after()) {
        if (a != i) after.push_back(a > i ? a - 1 : a);
      }
      later.mutable_after()->Assign(after.begin(), after.end());
    }
  }
  // Exchanges instructions i and i + 1, `after` too.
  void SwapWithNext(int r, int i) {
    rank(r)->mutable_instructions()->SwapElements(i, i + 1);
    for (proto::Instruction& later : *rank(r)->mutable_instructions()) {
      for (uint32_t& a : *later.mutable_after()) a = a == i ? i + 1 : a == i + 1 ? i : a;
    }
  }
  // Makes a GROUP of one of every SEND and RECV.
  void GroupTransfers() {
    for (int r = 0; r < train()->ranks_size(); ++r) {
      for (proto::Instruction& instruction : *rank(r)->mutable_instructions()) {
        if (instruction.channel() == 0) continue;
        proto::Instruction group;
        group.set_kind(proto::Instruction::GROUP);
        group.set_channel(instruction.channel());
        *group.mutable_after() = instruction.after();
        instruction.clear_after();
        *group.add_group() = instruction;
        instruction = group;
      }
    }
  }
  std::string Place(int r, int i) {
    return absl::StrCat("program train, rank ", r, ", instruction ", i, " (", Describe(*train(), *at(r, i)), ")");
  }
  void ExpectRule(const std::string& rule, const std::string& also = "") {
    const absl::Status status = VerifyPlan(plan_);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()),
                testing::AllOf(testing::HasSubstr("rule " + rule + ": "), testing::HasSubstr(also)));
  }

  proto::ExecutionPlan plan_ = TinyPlan({});
};

}  // namespace millrace

#endif  // TESTS_RUNTIME_PLAN_SPOILED_H_
