#include "runtime/checkpoint/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>

#include "runtime/checkpoint/weights.h"
#include "tests/runtime/checkpoint/memory_store.h"
#include "tests/runtime/data/files.h"

namespace millrace {
namespace {

using ::testing::HasSubstr;

std::string FileOf(const std::string& json, const std::string& buffer) {
  const uint64_t size = json.size();
  return std::string(reinterpret_cast<const char*>(&size), 8) + json + buffer;
}

absl::Status OpenStatus(const std::string& bytes, const SafetensorsLimits& limits = {}) {
  return SafetensorsFile::Open(Write(FreshFolder() + "/x.safetensors", bytes), limits).status();
}

TEST(Safetensors, RoundTrip) {
  const std::string path = FreshFolder() + "/w.safetensors";
  const MemoryStore store = SmallStore(5);
  ASSERT_TRUE(WriteSafetensors(path, store, {{"model", "a \"quoted\" name"}}).ok());
  const auto file = SafetensorsFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ((*file)->metadata().at("format"), "pt");
  EXPECT_EQ((*file)->metadata().at("model"), "a \"quoted\" name");
  ASSERT_EQ((*file)->tensors().size(), store.tensors().size());
  for (int i = 0; i < store.tensors().size(); ++i) {
    const int at = (*file)->Find(store.tensors()[i].name);
    ASSERT_GE(at, 0) << store.tensors()[i].name;
    EXPECT_EQ((*file)->tensors()[at].type.DebugString(), store.tensors()[i].type.DebugString());
    std::string bytes(store.contents[i].size(), '\0');
    ASSERT_TRUE((*file)->Read(at, bytes.data(), bytes.size()).ok());
    EXPECT_EQ(bytes, store.contents[i]);
    EXPECT_FALSE((*file)->Read(at, bytes.data(), bytes.size() + 1).ok());
  }
  EXPECT_EQ(*WeightsDigest(store), *WeightsDigest(**file));
  EXPECT_EQ((*file)->Find("absent"), -1);
}

TEST(Safetensors, WritesLargestAlignmentFirstAndPadsTheHeader) {
  const std::string path = FreshFolder() + "/w.safetensors";
  ASSERT_TRUE(WriteSafetensors(path, SmallStore(5)).ok());
  const std::string bytes = Contents(path);
  uint64_t header = 0;
  std::memcpy(&header, bytes.data(), 8);
  EXPECT_EQ(header % 8, 0u);
  EXPECT_EQ(bytes[8], '{');
  const std::string json = bytes.substr(8, header);
  EXPECT_LT(json.find("\"scale\""), json.find("\"adamw.m/wte\""));
  EXPECT_LT(json.find("\"adamw.m/wte\""), json.find("\"nothing\""));
  EXPECT_LT(json.find("\"nothing\""), json.find("\"wte\""));
  EXPECT_LT(json.find("\"wte\""), json.find("\"half\""));
}

// A reader that shares no code with ours.
TEST(Safetensors, PythonReadsTheSame) {
  const std::string folder = FreshFolder(), path = folder + "/w.safetensors";
  const MemoryStore store = SmallStore(5);
  ASSERT_TRUE(WriteSafetensors(path, store).ok());
  Write(folder + "/read.py",
        "import sys, json, hashlib\n"
        "b = open(sys.argv[1], 'rb').read()\n"
        "n = int.from_bytes(b[:8], 'little')\n"
        "h = json.loads(b[8:8 + n])\n"
        "assert h.pop('__metadata__') == {'format': 'pt'}\n"
        "end = 0\n"
        "for name, t in h.items():\n"
        "    assert t['data_offsets'][0] == end, name\n"
        "    end = t['data_offsets'][1]\n"
        "    size = {'F64': 8, 'F32': 4, 'BF16': 2}[t['dtype']]\n"
        "    for d in t['shape']: size *= d\n"
        "    assert size == t['data_offsets'][1] - t['data_offsets'][0]\n"
        "assert 8 + n + end == len(b)\n"
        "s = hashlib.sha256()\n"
        "for name in sorted(h):\n"
        "    a, z = h[name]['data_offsets']\n"
        "    s.update(b[8 + n + a:8 + n + z])\n"
        "print(s.hexdigest())\n");
  FILE* python = popen(("python3 " + folder + "/read.py " + path).c_str(), "r");
  ASSERT_NE(python, nullptr);
  char line[200] = "";
  ASSERT_NE(fgets(line, sizeof(line), python), nullptr);
  EXPECT_EQ(pclose(python), 0);
  EXPECT_EQ(std::string(line), *WeightsDigest(store) + "\n");
}

TEST(WeightsDigest, IsOverBytesInNameOrder) {
  MemoryStore one, other;
  one.Add("a", proto::F32, {2}, 0, 1);
  one.Add("b", proto::F32, {2}, 1, 2);
  other.Add("b", proto::F32, {2}, 0, 2);
  other.Add("a", proto::F32, {2}, 0, 1);
  EXPECT_EQ(*WeightsDigest(one), *WeightsDigest(other));
  other.contents[0][0] ^= 1;
  EXPECT_NE(*WeightsDigest(one), *WeightsDigest(other));
}

TEST(Safetensors, ReadsTheGoldenFiles) {
  for (const std::string name : {"gpt2", "llama"}) {
    const auto file = SafetensorsFile::Open("tests/golden/" + name + ".safetensors");
    ASSERT_TRUE(file.ok()) << file.status();
    EXPECT_GT((*file)->tensors().size(), 5u);
  }
}

TEST(Safetensors, AcceptsWhatTheFormatAllows) {
  EXPECT_TRUE(OpenStatus(FileOf("{}", "")).ok());
  EXPECT_TRUE(OpenStatus(FileOf("  {}   ", "")).ok());
  const std::string scalar = R"({"s":{"dtype":"F32","shape":[],"data_offsets":[0,4]}})";
  EXPECT_TRUE(OpenStatus(FileOf(scalar, "abcd")).ok());
  const std::string empty =
      R"({"z":{"dtype":"F32","shape":[2,0],"data_offsets":[0,0]},"a":{"data_offsets":[0,1],"dtype":"U8","shape":[1]}})";
  EXPECT_TRUE(OpenStatus(FileOf(empty, "x")).ok());
}

struct Refusal {
  std::string name, json, buffer, message;
};

class Refused : public ::testing::TestWithParam<Refusal> {};

TEST_P(Refused, WithAReason) {
  const absl::Status status = OpenStatus(FileOf(GetParam().json, GetParam().buffer));
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr(GetParam().message));
}

std::string One(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return "{\"t\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}}";
}

const std::string kFour = "abcd";
INSTANTIATE_TEST_SUITE_P(
    Header, Refused,
    ::testing::Values(
        Refusal{"NotJson", "hello", "", "not JSON"}, Refusal{"Empty", "", "", "not JSON"},
        Refusal{"Array", "[]", "", "an array"}, Refusal{"Number", "7", "", "a number"},
        Refusal{"NotUtf8", "{\"\xff\":{}}", "", "not JSON"}, Refusal{"Trailing", "{}x", "", "not JSON"},
        Refusal{"Deep", std::string(100000, '['), "", "an array"},
        Refusal{"DeepObjects", R"({"t":{"dtype":{"a":1}}})", "", "an object"},
        Refusal{
            "DuplicateTensor",
            R"({"t":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"t":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
            "ab", "'t': is named twice"},
        Refusal{"DuplicateField", R"({"t":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "a",
                "has dtype twice"},
        Refusal{"UnknownField", R"({"t":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":1}})", "a",
                "unknown field x"},
        Refusal{"MissingField", R"({"t":{"dtype":"U8","shape":[1]}})", "a", "lacks"},
        Refusal{"MetadataNumber", R"({"__metadata__":{"a":1}})", "", "a number"},
        Refusal{"MetadataObject", R"({"__metadata__":{"a":{}}})", "", "an object"},
        Refusal{"MetadataString", R"({"__metadata__":"a"})", "", "a string"},
        Refusal{"MetadataTwice", R"({"__metadata__":{},"__metadata__":{}})", "", "twice"},
        Refusal{"MetadataKeyTwice", R"({"__metadata__":{"a":"b","a":"c"}})", "", "has a twice"},
        Refusal{"ControlInName", R"({"a\u0000b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "a", "control"},
        Refusal{"NegativeShape", One("U8", "[-1]", "[0,1]"), "a", "negative"},
        Refusal{"FractionalShape", One("U8", "[1.5]", "[0,1]"), "a", "whole"},
        Refusal{"ExponentShape", One("U8", "[1e0]", "[0,1]"), "a", "whole"},
        Refusal{"NegativeOffset", One("U8", "[1]", "[-1,0]"), "a", "negative"},
        Refusal{"TwoToThe64", One("U8", "[18446744073709551616]", "[0,1]"), "a", "whole"},
        Refusal{"Overflow", One("F32", "[2,18446744073709551614]", "[0,4]"), kFour, "too large"},
        Refusal{"OverflowSigned", One("F32", "[2,9223372036854775807]", "[0,4]"), kFour, "too large"},
        Refusal{"WrongSize", One("F32", "[2]", "[0,4]"), kFour, "do not hold the 8 bytes"},
        Refusal{"Backwards", One("F32", "[1]", "[4,0]"), kFour, "do not hold"},
        Refusal{"ThreeOffsets", One("F32", "[1]", "[0,4,4]"), kFour, "too many numbers"},
        Refusal{"OneOffset", One("F32", "[1]", "[0]"), kFour, "do not hold"},
        Refusal{"UnknownType", One("F4", "[1]", "[0,4]"), kFour, "dtype F4"},
        Refusal{"Rank17", One("U8", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]", "[0,1]"), "a", "too many numbers"},
        Refusal{"StartsLate", One("F32", "[1]", "[4,8]"), "abcdefgh", "begins at byte 4"},
        Refusal{"BufferTooLong", One("F32", "[1]", "[0,4]"), "abcdX", "the file has 5"},
        Refusal{"BufferTooShort", One("F32", "[1]", "[0,4]"), "ab", "the file has 2"},
        Refusal{
            "Overlap",
            R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
            "abc", "without overlap or hole"},
        Refusal{
            "Hole",
            R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}})",
            "abc", "without overlap or hole"}),
    [](const auto& info) { return info.param.name; });

TEST(Safetensors, RefusesHeadersThatDoNotFit) {
  EXPECT_THAT(OpenStatus("1234567").message(), HasSubstr("too few"));
  EXPECT_THAT(OpenStatus("").message(), HasSubstr("too few"));
  EXPECT_THAT(OpenStatus(std::string(8, '\xff')).message(), HasSubstr("limit"));
  EXPECT_THAT(OpenStatus(FileOf("{}", "").substr(0, 9)).message(), HasSubstr("in a file of 9"));
  EXPECT_THAT(OpenStatus(FileOf(std::string(100, ' ') + "{}", ""), {.max_header_bytes = 100}).message(),
              HasSubstr("limit"));
  EXPECT_THAT(OpenStatus(FileOf(One("U8", "[1]", "[0,1]"), "a"), {.max_tensors = 0}).message(),
              HasSubstr("more than 0"));
  EXPECT_THAT(OpenStatus(FileOf("{\"" + std::string(5000, 'n') + "\":{}}", "")).message(), HasSubstr("too long"));
}

TEST(Safetensors, EveryTruncationIsRefused) {
  const std::string path = FreshFolder() + "/w.safetensors";
  ASSERT_TRUE(WriteSafetensors(path, SmallStore(5)).ok());
  const std::string bytes = Contents(path);
  for (size_t size = 0; size < bytes.size(); ++size) {
    Write(path, bytes.substr(0, size));
    ASSERT_FALSE(SafetensorsFile::Open(path).ok()) << size;
  }
}

TEST(Safetensors, AFailedWriteLeavesTheOldFile) {
  const std::string folder = FreshFolder();
  MemoryStore broken = SmallStore(1);
  broken.contents[1].resize(3);  // Read fails: the size is wrong
  Write(folder + "/w.safetensors", "old");
  EXPECT_FALSE(WriteSafetensors(folder + "/w.safetensors", broken).ok());
  EXPECT_EQ(Contents(folder + "/w.safetensors"), "old");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder), {}), 1);
}

}  // namespace
}  // namespace millrace
