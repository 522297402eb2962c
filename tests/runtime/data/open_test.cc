#include "runtime/data/open.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "runtime/data/token_file.h"
#include "tests/runtime/data/files.h"

namespace millrace {
namespace {

using ::testing::HasSubstr;

proto::Input TokenInput(proto::Input::Role role, int64_t length) {
  proto::Input input;
  input.set_name(role == proto::Input::TOKENS ? "tokens" : "labels");
  input.set_role(role);
  input.mutable_type()->set_dtype(proto::I64);
  input.mutable_type()->add_dims(-1);
  input.mutable_type()->add_dims(length);
  return input;
}

DataNeeds Needs(int64_t length, int64_t vocabulary = 0) {
  return {{TokenInput(proto::Input::TOKENS, length), TokenInput(proto::Input::LABELS, length)}, vocabulary, 11};
}

proto::DataConfig Config(const std::string& path, const std::string& format = "") {
  proto::DataConfig config;
  config.set_path(path);
  config.set_format(format);
  return config;
}

std::vector<int64_t> Fetch(const DataSource& source, proto::Input::Role role, int64_t length, uint64_t first,
                           uint64_t count) {
  std::vector<int64_t> ids(count * length, -1);
  const absl::Status status = source.Fetch(TokenInput(role, length), first, count, ids.data(), ids.size() * 8);
  EXPECT_TRUE(status.ok()) << status;
  return ids;
}

std::vector<uint16_t> Counting(int n) {
  std::vector<uint16_t> tokens(n);
  std::iota(tokens.begin(), tokens.end(), 0);
  return tokens;
}

TEST(OpenData, TextIsBytes) {
  const std::string path = Write(FreshFolder() + "/poem.txt", std::string(90, 'a') + "h\xC3\xA9llo w\xC3\xB6rld");
  const auto data = OpenData(Config(path), Needs(4));
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ(data->format, "text");
  EXPECT_EQ(data->train->vocabulary(), 256);
  EXPECT_THAT(data->summary, HasSubstr("read as text"));
  EXPECT_THAT(data->summary, HasSubstr("--data-format="));
  const auto tail = Fetch(*data->validation, proto::Input::TOKENS, 4, 0, 2);
  EXPECT_EQ(std::string(tail.begin(), tail.end()).size(), 8u);
}

TEST(OpenData, WindowsAndLabelsOfNanoGpt) {
  const std::string path = Write(FreshFolder() + "/train.bin", Bytes(Counting(1000)));
  const auto data = OpenData(Config(path), Needs(8, 1000));
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ(data->format, "nanogpt");
  EXPECT_EQ(data->train->samples_per_epoch(), (900u - 1) / 8);
  EXPECT_EQ(data->validation->samples_per_epoch(), (100u - 1) / 8);
  const auto tokens = Fetch(*data->train, proto::Input::TOKENS, 8, 3, 2);
  const auto labels = Fetch(*data->train, proto::Input::LABELS, 8, 3, 2);
  for (int i = 0; i < 16; ++i) {
    EXPECT_EQ(tokens[i], 24 + i);
    EXPECT_EQ(labels[i], 25 + i);
  }
  // The held-out tokens begin where the training range ends, and no window reaches over.
  EXPECT_EQ(Fetch(*data->validation, proto::Input::TOKENS, 8, 0, 1)[0], 900);
  const uint64_t last = data->train->samples_per_epoch() - 1;
  EXPECT_LT(Fetch(*data->train, proto::Input::LABELS, 8, last, 1)[7], 900);
  // Epoch after epoch.
  EXPECT_EQ(Fetch(*data->train, proto::Input::TOKENS, 8, last + 1, 1)[0], 0);
}

TEST(OpenData, LlmcShardsOfBothKinds) {
  const std::string folder = FreshFolder();
  const std::string gpt2 = Write(folder + "/gpt2.bin", Llmc<uint16_t>(kGpt2Magic, 1, 100, Counting(100)));
  const auto a = OpenData(Config(gpt2), Needs(4));
  ASSERT_TRUE(a.ok()) << a.status();
  EXPECT_EQ(a->format, "llmc");
  EXPECT_EQ(Fetch(*a->train, proto::Input::TOKENS, 4, 1, 1)[0], 4);
  const std::string llama =
      Write(folder + "/llama.bin", Llmc<uint32_t>(kLlama3Magic, 7, 100, std::vector<uint32_t>(100, 128000)));
  const auto b = OpenData(Config(llama), Needs(4, 128256));
  ASSERT_TRUE(b.ok()) << b.status();
  EXPECT_EQ(Fetch(*b->train, proto::Input::TOKENS, 4, 1, 1)[0], 128000);
}

TEST(OpenData, FolderIsOneStreamInNameOrder) {
  const std::string folder = FreshFolder();
  std::vector<uint16_t> all = Counting(300);
  Write(folder + "/b.bin", Llmc<uint16_t>(kGpt2Magic, 1, 200, {all.begin() + 100, all.end()}));
  Write(folder + "/a.bin", Llmc<uint16_t>(kGpt2Magic, 1, 100, {all.begin(), all.begin() + 100}));
  Write(folder + "/readme.txt", "not a shard");
  const auto data = OpenData(Config(folder), Needs(8));
  ASSERT_TRUE(data.ok()) << data.status();
  const auto across = Fetch(*data->train, proto::Input::TOKENS, 8, 12, 1);  // tokens 96 to 103
  for (int i = 0; i < 8; ++i) EXPECT_EQ(across[i], 96 + i);
}

TEST(OpenData, ShardsNamedValAreHeldOut) {
  const std::string folder = FreshFolder();
  Write(folder + "/train.bin", Bytes(Counting(100)));
  Write(folder + "/val.bin", Bytes(std::vector<uint16_t>(50, 7)));
  const auto data = OpenData(Config(folder), Needs(4));
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ(data->train->samples_per_epoch(), 99u / 4);
  EXPECT_EQ(data->validation->samples_per_epoch(), 49u / 4);
  EXPECT_EQ(Fetch(*data->validation, proto::Input::TOKENS, 4, 0, 1)[0], 7);
}

TEST(OpenData, ShuffledEpochsVisitEveryWindowInAnotherOrder) {
  const std::string path = Write(FreshFolder() + "/train.bin", Bytes(Counting(1000)));
  proto::DataConfig config = Config(path);
  config.set_shuffle(true);
  const auto data = OpenData(config, Needs(4));
  ASSERT_TRUE(data.ok()) << data.status();
  const uint64_t n = data->train->samples_per_epoch();
  std::vector<std::vector<int64_t>> epochs;
  for (uint64_t epoch = 0; epoch < 2; ++epoch) {
    std::set<int64_t> starts;
    epochs.emplace_back();
    for (uint64_t i = 0; i < n; ++i) {
      epochs.back().push_back(Fetch(*data->train, proto::Input::TOKENS, 4, epoch * n + i, 1)[0]);
      starts.insert(epochs.back().back());
    }
    EXPECT_EQ(starts.size(), n);
  }
  EXPECT_NE(epochs[0], epochs[1]);
  EXPECT_FALSE(std::is_sorted(epochs[0].begin(), epochs[0].end()));
  // The held-out samples keep the file's order: the loss is always of the same ones.
  EXPECT_EQ(Fetch(*data->validation, proto::Input::TOKENS, 4, 0, 1)[0], 900);
}

TEST(OpenData, DescriptionTellsContentsApart) {
  const std::string folder = FreshFolder();
  auto changed = Counting(1000);
  changed[500] = 3;
  const auto a = OpenData(Config(Write(folder + "/a.bin", Bytes(Counting(1000)))), Needs(4));
  const auto b = OpenData(Config(Write(folder + "/b.bin", Bytes(changed))), Needs(4));
  ASSERT_TRUE(a.ok() && b.ok());
  EXPECT_NE(a->train->description(), b->train->description());
}

TEST(OpenData, FetchRefusesOtherSizes) {
  const auto data = OpenData(Config(Write(FreshFolder() + "/a.bin", Bytes(Counting(100)))), Needs(4));
  ASSERT_TRUE(data.ok());
  std::vector<int64_t> ids(100);
  EXPECT_FALSE(data->train->Fetch(TokenInput(proto::Input::TOKENS, 4), 0, 2, ids.data(), 63).ok());
  EXPECT_FALSE(data->train->Fetch(TokenInput(proto::Input::TOKENS, 4), 0, 3, ids.data(), 64).ok());
  EXPECT_FALSE(data->train->Fetch(TokenInput(proto::Input::TOKENS, 4), 0, uint64_t{1} << 60, ids.data(), 0).ok());
}

struct Refusal {
  std::string name, file, bytes, format, message;
  int64_t vocabulary = 0;
};

class Refused : public ::testing::TestWithParam<Refusal> {};

TEST_P(Refused, WithAMessageThatSaysWhy) {
  const Refusal& bad = GetParam();
  const auto data =
      OpenData(Config(Write(FreshFolder() + "/" + bad.file, bad.bytes), bad.format), Needs(16, bad.vocabulary));
  ASSERT_FALSE(data.ok());
  EXPECT_THAT(data.status().message(), HasSubstr(bad.message));
  EXPECT_THAT(data.status().message(), HasSubstr(bad.file));
}

std::vector<uint16_t> WithBad(int at) {
  auto tokens = Counting(200);
  tokens[at] = 50257;
  return tokens;
}

INSTANTIATE_TEST_SUITE_P(
    TokenFiles, Refused,
    ::testing::Values(
        Refusal{"EmptyText", "a.txt", "", "", "is empty"}, Refusal{"EmptyBin", "a.bin", "", "", "is empty"},
        Refusal{"EmptyNamed", "a.bin", "", "llmc", "--data-format="},
        Refusal{"ShortText", "a.txt", "too short", "", "too short to train on windows of 16"},
        Refusal{"ShortBin", "a.bin", Bytes(Counting(20)), "", "read as nanogpt"},
        Refusal{"OddLength", "a.bin", Bytes(Counting(100)) + "x", "", "201 bytes, an odd number"},
        Refusal{"OddSaysGuess", "a.bin", Bytes(Counting(100)) + "x", "", "--data-format=text|nanogpt|llmc"},
        Refusal{"WrongMagic", "a.bin", Llmc<uint16_t>(20240522, 1, 100, Counting(100)), "llmc", "begins with 20240522"},
        Refusal{"WrongVersion", "a.bin", Llmc<uint16_t>(kGpt2Magic, 2, 100, Counting(100)), "", "version 2"},
        Refusal{"LlamaVersion", "a.bin", Llmc<uint32_t>(kLlama3Magic, 1, 1, {1}), "", "version 1"},
        Refusal{"NegativeCount", "a.bin", Llmc<uint16_t>(kGpt2Magic, 1, -5, Counting(100)), "", "counts -5 tokens"},
        Refusal{"ZeroCount", "a.bin", Llmc<uint16_t>(kGpt2Magic, 1, 0, {}), "", "counts 0 tokens"},
        Refusal{"CutOff", "a.bin", Llmc<uint16_t>(kGpt2Magic, 1, 101, Counting(100)), "", "cut off"},
        Refusal{"TooLong", "a.bin", Llmc<uint16_t>(kGpt2Magic, 1, 99, Counting(100)), "", "the file has 1224"},
        Refusal{"HugeCount", "a.bin", Llmc<uint16_t>(kGpt2Magic, 1, 2147483647, Counting(100)), "", "4294968318 bytes"},
        Refusal{"HeaderCut", "a.bin", Llmc<uint16_t>(kGpt2Magic, 1, 100, {}).substr(0, 900), "", "900 bytes"},
        Refusal{"ElevenBytes", "a.bin", Llmc<uint16_t>(kGpt2Magic, 1, 100, {}).substr(0, 11), "", "header alone"},
        Refusal{"Unknown", "a.dat", std::string("\xff\xfe\x00\x01", 4), "", "cannot tell what this is"},
        Refusal{"TokenTooLarge", "a.bin", Bytes(WithBad(123)), "", "token 123 is 50257, but the vocabulary has 50257",
                50257},
        Refusal{"TextForSmallModel", "a.txt", std::string(100, 'z'), "", "token 0 is 122", 65}),
    [](const auto& info) { return info.param.name; });

TEST(OpenData, RefusesFoldersAndPathsThatHoldNoData) {
  const std::string folder = FreshFolder();
  Write(folder + "/notes.txt", "no shards here");
  auto data = OpenData(Config(folder), Needs(4));
  EXPECT_THAT(data.status().message(), HasSubstr("no file in this folder ends in .bin"));
  data = OpenData(Config(folder + "/absent.txt"), Needs(4));
  EXPECT_EQ(data.status().code(), absl::StatusCode::kNotFound);
  data = OpenData(Config("/dev/zero"), Needs(4));
  EXPECT_THAT(data.status().message(), HasSubstr("not a regular file"));
  Write(folder + "/a.bin", Bytes(Counting(100)));
  Write(folder + "/b.bin", Llmc<uint16_t>(kGpt2Magic, 1, 100, Counting(100)));
  data = OpenData(Config(folder), Needs(4));
  EXPECT_THAT(data.status().message(), HasSubstr("must be of one kind"));
}

TEST(OpenData, RefusesSettingsThatMakeNoSense) {
  EXPECT_THAT(OpenData(Config("", "text"), Needs(4)).status().message(), HasSubstr("needs --data=PATH"));
  EXPECT_THAT(OpenData(Config("x", "synthetic"), Needs(4)).status().message(), HasSubstr("reads no file"));
  EXPECT_THAT(OpenData(Config("x", "parquet"), Needs(4)).status().message(), HasSubstr("is not known"));
  proto::DataConfig config;
  config.set_validation_fraction(1.0);
  EXPECT_THAT(OpenData(config, Needs(4)).status().message(), HasSubstr("validation-fraction"));
  config.set_validation_fraction(0);
  config.set_vocabulary(300);
  EXPECT_THAT(OpenData(config, Needs(4, 256)).status().message(), HasSubstr("room for only 256"));
  EXPECT_THAT(OpenData({}, Needs(4)).status().message(), HasSubstr("--vocabulary"));
  DataNeeds features = Needs(4);
  features.inputs[0].set_role(proto::Input::FEATURES);
  const std::string path = Write(FreshFolder() + "/a.txt", std::string(100, 'a'));
  EXPECT_THAT(OpenData(Config(path), features).status().message(), HasSubstr("cannot be filled"));
}

}  // namespace
}  // namespace millrace
