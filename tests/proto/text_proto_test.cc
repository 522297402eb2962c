// The bounded reader against files that are not what they should be.
#include "proto/text_proto.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <string>

#include "proto/model.pb.h"
#include "proto/plan.pb.h"

namespace millrace {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string TempPath(const std::string& name) { return testing::TempDir() + "/" + name; }

absl::Status ParseModel(const std::string& bytes, proto::Model* model, int max_depth = 64) {
  ReadLimits limits;
  limits.max_depth = max_depth;
  return ParseMessage(bytes, "model.textproto", model, limits);
}

absl::Status ParseModel(const std::string& bytes) {
  proto::Model model;
  return ParseModel(bytes, &model);
}

proto::Model Small() {
  proto::Model model;
  model.set_schema_version(1);
  model.set_name("small");
  model.add_nodes()->set_name("a");
  return model;
}

TEST(ParseMessage, ReadsTextAndBinary) {
  proto::Model model;
  ASSERT_TRUE(ParseModel("schema_version: 1\nname: 'small'\nnodes { name: 'a' }\n", &model).ok());
  EXPECT_EQ(model.name(), "small");
  proto::Model again;
  ASSERT_TRUE(ParseModel(CanonicalBytes(model), &again).ok());
  EXPECT_EQ(CanonicalBytes(again), CanonicalBytes(model));
}

TEST(ParseMessage, NamesLineAndColumnOfAnUnknownField) {
  const absl::Status status = ParseModel("schema_version: 1\n  colour: 'red'\n");
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), StartsWith("model.textproto:2:"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("colour"));
}

TEST(ParseMessage, RefusesAScalarGivenTwice) {
  EXPECT_THAT(std::string(ParseModel("schema_version: 1\nname: 'a'\nname: 'b'\n").message()), StartsWith("model.textproto:3:"));
}

TEST(ParseMessage, RefusesAnEmptyFile) { EXPECT_FALSE(ParseModel("").ok()); }

TEST(ParseMessage, RefusesAMissingVersionAndSaysWhatToAdd) {
  EXPECT_THAT(std::string(ParseModel("name: 'a'\n").message()), HasSubstr("schema_version: 1"));
}

TEST(ParseMessage, RefusesANewerVersion) {
  EXPECT_THAT(std::string(ParseModel("schema_version: 2\n").message()), HasSubstr("newer millrace"));
}

TEST(ParseMessage, RefusesEveryTruncationOfBinary) {
  const std::string bytes = CanonicalBytes(Small());
  int refused = 0;
  for (size_t length = 0; length < bytes.size(); ++length) {
    proto::Model model;
    // A cut between two fields is a whole, smaller message; every other cut is refused.
    if (!ParseModel(bytes.substr(0, length), &model).ok()) ++refused;
  }
  EXPECT_GE(refused, static_cast<int>(bytes.size()) - 3);
}

TEST(ParseMessage, RefusesBinaryOfAnotherMessage) {
  proto::ExecutionPlan plan;
  plan.set_schema_version(1);
  plan.set_pp(4);
  plan.set_norm_block_elements(65536);
  EXPECT_FALSE(ParseModel(CanonicalBytes(plan)).ok());
}

TEST(ParseMessage, RefusesUnknownBinaryFields) {
  std::string bytes = CanonicalBytes(Small());
  bytes += std::string("\xa2\x06\x01x", 4);  // field 100, one byte
  EXPECT_THAT(std::string(ParseModel(bytes).message()), HasSubstr("does not know"));
}

TEST(ParseMessage, SurvivesDeepNesting) {
  // protobuf's own text parser has no depth limit and overflows the stack.
  for (int depth : {100, 2187, 100000}) {
    std::string text = "schema_version: 1\nnodes { attributes { ";
    for (int i = 0; i < depth; ++i) text += "ints {";
    EXPECT_FALSE(ParseModel(text).ok());
  }
  proto::Model model;
  EXPECT_FALSE(ParseModel("schema_version: 1 nodes { attributes { ints { values: 1 } } }", &model, 2).ok());
  EXPECT_TRUE(ParseModel("schema_version: 1 nodes { attributes { ints { values: 1 } } }", &model, 8).ok());
}

TEST(ParseMessage, RefusesGarbageAndOverlongNumbers) {
  EXPECT_FALSE(ParseModel(std::string("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12)).ok());
  EXPECT_FALSE(ParseModel("schema_version: 99999999999999999999\n").ok());
  EXPECT_FALSE(ParseModel(std::string(64, '\0')).ok());
  EXPECT_FALSE(ParseModel("\xff\xfe not utf-8").ok());
  EXPECT_FALSE(ParseModel("<html></html>").ok());
  EXPECT_FALSE(ParseModel("schema_version: 1\nname: 'never closed\n").ok());
}

TEST(ReadMessage, RefusesWhatIsNotARegularFile) {
  proto::Model model;
  EXPECT_EQ(ReadMessage(TempPath("there-is-no-such-file"), &model).code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(ReadMessage(testing::TempDir(), &model).message()), HasSubstr("folder"));
  const std::string pipe = TempPath("pipe");
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_THAT(std::string(ReadMessage(pipe, &model).message()), HasSubstr("not a regular file"));
}

TEST(ReadMessage, RefusesAFileOverTheCap) {
  const std::string path = TempPath("large.textproto");
  ASSERT_TRUE(WriteFileAtomically(path, std::string(4096, ' ')).ok());
  proto::Model model;
  ReadLimits limits;
  limits.max_bytes = 4095;
  EXPECT_THAT(std::string(ReadMessage(path, &model, limits).message()), HasSubstr("limit of 4095"));
}

TEST(WriteMessage, RoundTripsInBothForms) {
  for (const char* name : {"m.textproto", "m.pb"}) {
    const std::string path = TempPath(name);
    ASSERT_TRUE(WriteMessage(path, Small()).ok());
    proto::Model model;
    ASSERT_TRUE(ReadMessage(path, &model).ok());
    EXPECT_EQ(CanonicalBytes(model), CanonicalBytes(Small()));
  }
}

TEST(WriteMessage, LeavesTheOldFileWhenItCannotWrite) {
  const absl::Status status = WriteMessage(TempPath("no-such-folder/m.pb"), Small());
  EXPECT_THAT(std::string(status.message()), HasSubstr("no-such-folder"));
}

TEST(Sha256Hex, MatchesTheStandardsExample) {
  EXPECT_EQ(Sha256Hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

}  // namespace
}  // namespace millrace
