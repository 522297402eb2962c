#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "kernels/cpu/cpu.h"

namespace millrace {
namespace {

std::unique_ptr<Device> Open() {
  auto device = OpenCpu({.threads = 2});
  EXPECT_TRUE(device.ok()) << device.status();
  return *std::move(device);
}

TEST(CpuDevice, TellsItsKindAndProcessor) {
  const auto device = Open();
  EXPECT_EQ(device->kind(), "cpu");
  EXPECT_FALSE(device->name().empty());
  EXPECT_EQ(device->name().find(':'), std::string::npos) << device->name();
}

TEST(CpuDevice, MemoryIsAlignedAndZeroed) {
  const auto device = Open();
  for (const uint64_t bytes : {1, 255, 4097, 10 << 20}) {
    auto buffer = device->Allocate(bytes);
    ASSERT_TRUE(buffer.ok()) << buffer.status();
    EXPECT_EQ(buffer->bytes(), bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer->memory()) % 256, 0u);
    EXPECT_EQ(std::string(static_cast<char*>(buffer->memory()), bytes), std::string(bytes, '\0'));
    std::memset(buffer->memory(), 1, bytes);
  }
}

TEST(CpuDevice, NothingIsAnEmptyBuffer) {
  const auto device = Open();
  auto buffer = device->Allocate(0);
  ASSERT_TRUE(buffer.ok()) << buffer.status();
  EXPECT_EQ(buffer->bytes(), 0u);
}

TEST(CpuDevice, MoreThanThereIsIsRefused) {
  const auto device = Open();
  for (const uint64_t bytes : {uint64_t{1} << 46, ~uint64_t{0}}) {
    const auto status = device->Allocate(bytes).status();
    EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
    EXPECT_NE(std::string(status.message()).find(std::to_string(bytes)), std::string::npos) << status;
  }
}

TEST(CpuDevice, CopiesInAndOut) {
  const auto device = Open();
  auto buffer = device->Allocate(5);
  ASSERT_TRUE(buffer.ok()) << buffer.status();
  ASSERT_EQ(device->CopyIn(buffer->memory(), "abcde", 5), absl::OkStatus());
  char back[5];
  ASSERT_EQ(device->CopyOut(back, buffer->memory(), 5), absl::OkStatus());
  EXPECT_EQ(std::string(back, 5), "abcde");
}

TEST(CpuDevice, RefusesSenselessThreads) {
  for (int threads : {0, -1, 1 << 20}) {
    EXPECT_TRUE(absl::IsInvalidArgument(OpenCpu({.threads = threads}).status())) << threads;
  }
}

TEST(CpuDevice, EventsAreAlwaysReady) {
  const auto device = Open();
  auto stream = device->NewStream();
  auto event = device->NewEvent();
  ASSERT_TRUE(stream.ok() && event.ok());
  EXPECT_EQ((*stream)->Record(event->get()), absl::OkStatus());
  EXPECT_TRUE((*event)->Ready());
  EXPECT_EQ((*stream)->WaitFor(event->get()), absl::OkStatus());
}

TEST(CpuDevice, KernelsAreCheckedBeforeTheyAreMade) {
  const auto device = Open();
  const TensorSpec a{proto::F32, {2, 3}}, b{proto::F32, {3, 4}}, y{proto::F32, {2, 4}}, wrong{proto::F32, {2, 5}};
  EXPECT_EQ(device->NewKernel({"MatMul", {a, b}, {y}, {}}).status(), absl::OkStatus());
  EXPECT_TRUE(absl::IsInvalidArgument(device->NewKernel({"MatMul", {a, b}, {wrong}, {}}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(device->NewKernel({"MatMul", {a}, {y}, {}}).status()));
  EXPECT_TRUE(absl::IsNotFound(device->NewKernel({"Conv3000", {a}, {y}, {}}).status()));
}

}  // namespace
}  // namespace millrace
