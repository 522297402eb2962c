// Thousands of spoiled plans: none may crash the verifier, the simulator or the pictures. Most are refused; one that is
// accepted must also simulate.
#include <algorithm>
#include <random>
#include <string>

#include "google/protobuf/stubs/logging.h"
#include "gtest/gtest.h"
#include "proto/text_proto.h"
#include "runtime/plan/draw.h"
#include "runtime/plan/plan.h"
#include "runtime/plan/simulate.h"
#include "runtime/plan/verify.h"
#include "tests/runtime/plan/tiny_plan.h"

namespace millrace {
namespace {

// Gives the plan to everyone who reads plans. True when the verifier accepts it.
bool Use(const proto::ExecutionPlan& plan) {
  const bool accepted = VerifyPlan(plan).ok();
  bool simulated = true;
  for (const proto::Program& program : plan.programs()) {
    const absl::StatusOr<Simulation> simulation = Simulate(plan, program.name());
    if (simulation.ok()) {
      EXPECT_FALSE(DrawTimeline(plan, simulation->trace, {}).empty());
    } else if (simulation.status().message().find("duration") == absl::string_view::npos) {
      simulated = false;
    }
    EXPECT_FALSE(DrawSchedule(program).empty());
  }
  EXPECT_TRUE(!accepted || simulated) << "the verifier accepts what does not run";
  return accepted;
}

TEST(Fuzz, ChangedAndCutBytes) {
  google::protobuf::LogSilencer quiet;
  std::mt19937_64 random(20260614);
  int parsed = 0, refused = 0;
  for (const bool split : {false, true}) {
    const std::string good = CanonicalBytes(TinyPlan({.stages = 3, .micro_batches = 3, .split = split}));
    for (int round = 0; round < 12000; ++round) {
      std::string bytes = good;
      for (int changes = 1 + random() % 4; changes > 0; --changes) {
        bytes[random() % bytes.size()] = static_cast<char>(random() % 3 == 0 ? 0xff : random());
      }
      if (random() % 8 == 0) bytes.resize(random() % bytes.size());
      proto::ExecutionPlan plan;
      if (!plan.ParseFromString(bytes)) continue;
      ++parsed;
      refused += !Use(plan);
    }
  }
  EXPECT_GT(parsed, 1000);
  EXPECT_GT(refused, 500);
}

// Changes one number somewhere in the message tree, to values that break sums and indices.
void ChangeANumber(google::protobuf::Message* message, std::mt19937_64* random, int depth = 0) {
  const auto* reflection = message->GetReflection();
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  reflection->ListFields(*message, &fields);
  if (fields.empty() || depth > 8) return;
  const auto* field = fields[(*random)() % fields.size()];
  const int at = field->is_repeated() ? (*random)() % reflection->FieldSize(*message, field) : 0;
  static const uint64_t kValues[] = {0,
                                     1,
                                     2,
                                     255,
                                     256,
                                     257,
                                     4096,
                                     0x7fffffff,
                                     0x80000000,
                                     0xffffffff,
                                     uint64_t{1} << 62,
                                     uint64_t{1} << 63,
                                     ~uint64_t{0} - 255,
                                     ~uint64_t{0}};
  const uint64_t value = kValues[(*random)() % std::size(kValues)];
  using Field = google::protobuf::FieldDescriptor;
  switch (field->cpp_type()) {
    case Field::CPPTYPE_MESSAGE:
      if (field->is_repeated() && (*random)() % 16 == 0) {
        reflection->SwapElements(message, field, at, (*random)() % reflection->FieldSize(*message, field));
      } else if (field->is_repeated() && (*random)() % 16 == 0) {
        reflection->RemoveLast(message, field);
      } else {
        ChangeANumber(field->is_repeated() ? reflection->MutableRepeatedMessage(message, field, at)
                                           : reflection->MutableMessage(message, field),
                      random, depth + 1);
      }
      break;
    case Field::CPPTYPE_UINT32:
      field->is_repeated() ? reflection->SetRepeatedUInt32(message, field, at, value)
                           : reflection->SetUInt32(message, field, value);
      break;
    case Field::CPPTYPE_UINT64:
      field->is_repeated() ? reflection->SetRepeatedUInt64(message, field, at, value)
                           : reflection->SetUInt64(message, field, value);
      break;
    case Field::CPPTYPE_INT32:
      field->is_repeated() ? reflection->SetRepeatedInt32(message, field, at, value)
                           : reflection->SetInt32(message, field, value);
      break;
    case Field::CPPTYPE_INT64:
      field->is_repeated() ? reflection->SetRepeatedInt64(message, field, at, value)
                           : reflection->SetInt64(message, field, value);
      break;
    case Field::CPPTYPE_ENUM:
      if (!field->is_repeated()) reflection->SetEnumValue(message, field, static_cast<int>(value % 20));
      break;
    default:
      break;
  }
}

TEST(Fuzz, ChangedNumbers) {
  std::mt19937_64 random(7);
  int refused = 0;
  const proto::ExecutionPlan good = TinyPlan({.stages = 3, .micro_batches = 3});
  for (int round = 0; round < 10000; ++round) {
    proto::ExecutionPlan plan = good;
    for (int changes = 1 + random() % 3; changes > 0; --changes) ChangeANumber(&plan, &random);
    refused += !Use(plan);
  }
  EXPECT_GT(refused, 5000);
}

}  // namespace
}  // namespace millrace
