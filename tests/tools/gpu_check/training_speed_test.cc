#include "tools/gpu_check/training_speed.h"

#include "gtest/gtest.h"

namespace millrace {
namespace {

// Nobody measures them before a GPU is at hand; the way they are measured is seen here.
TEST(TrainingSpeed, ASmallModelIsMeasured) {
  TrainedModel trained;
  trained.model.layers = 1;
  trained.model.heads = 1;
  trained.model.width = 8;
  trained.model.vocabulary = 32;
  trained.model.context = 8;
  trained.model.dtype = proto::BF16;
  trained.micro_batches = 2;
  for (int pp : {1, 2}) {
    trained.pp = pp;
    const auto speed = MeasureTraining(trained, "reference");
    ASSERT_TRUE(speed.ok()) << speed.status();
    EXPECT_EQ(speed->tokens, 16);
    // 12 * 8^2 + 13 * 8 of a block, 16 of the last normalisation, 32 * 8 of the table.
    EXPECT_EQ(speed->flops, 16.0 * (6 * (12 * 64 + 13 * 8 + 16 + 256) + 12 * 1 * 8 * 8));
    EXPECT_GT(speed->step_seconds, 0);
    EXPECT_GT(speed->predicted_seconds, 0);
    EXPECT_GT(speed->arena_bytes, 1000);
    EXPECT_EQ(speed->taken_bytes, 0);
    EXPECT_EQ(speed->overhead_seconds > 0, pp == 1);
  }
}

TEST(TrainingSpeed, WhatADeviceCannotDoIsAnError) {
  TrainedModel trained;
  trained.model.dtype = proto::F64;
  EXPECT_FALSE(MeasureTraining(trained, "reference").ok());
  EXPECT_FALSE(MeasureTraining(trained, "abacus").ok());
}

}  // namespace
}  // namespace millrace
