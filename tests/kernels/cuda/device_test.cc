// What device, streams, events and graphs ask of CUDA, and in which order, seen by a recording API.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "kernels/cuda/cuda_device.h"
#include "kernels/cuda/cuda_graph.h"
#include "kernels/cuda/cuda_kernel.h"
#include "tests/kernels/cuda/fake_cuda_api.h"

namespace millrace::cuda {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Copies its input and says so.
class Doubling : public CudaKernel {
 public:
  Doubling() : CudaKernel("Doubling", {}) {}
  Code code = kSuccess;

 protected:
  absl::Status Launch(CudaStream& stream, const KernelArgs& args) const override {
    MR_RETURN_IF_ERROR(stream.Copy(args.outputs[0], args.inputs[0], 8));
    return Launched(stream, code);
  }
};

constexpr OpFamily kFamilies[] = {
    {"Neg", [](const Machine&, const OpDesc&) -> KernelOr { return std::make_unique<Doubling>(); }}};

class CudaDeviceTest : public testing::Test {
 protected:
  CudaDeviceTest() {
    Machine machine;
    machine.chip = FakeCudaApi::H200(1);
    device_ = std::make_unique<CudaDevice>(api_, machine, kFamilies);
  }

  FakeCudaApi api_;
  std::unique_ptr<CudaDevice> device_;
};

TEST_F(CudaDeviceTest, NamesItself) {
  EXPECT_EQ(device_->kind(), "cuda");
  EXPECT_EQ(device_->name(), "NVIDIA H200, compute capability 9.0, 139 GiB");
}

TEST_F(CudaDeviceTest, AllocatesOnItsOwnDeviceZeroedAndFrees) {
  {
    auto buffer = device_->Allocate(1000);
    ASSERT_TRUE(buffer.ok()) << buffer.status();
    EXPECT_EQ(api_.calls.front(), "SetDevice 1");
    EXPECT_EQ(api_.calls[1], "Malloc 1000");
    EXPECT_EQ(api_.calls.back(), "StreamSynchronize stream0");
    EXPECT_THAT(std::vector<char>(static_cast<char*>(buffer->memory()), static_cast<char*>(buffer->memory()) + 1000),
                testing::Each(0));
    api_.Take();
  }
  EXPECT_THAT(api_.Take(), ElementsAre("Free"));
  EXPECT_TRUE(device_->Allocate(0).ok());
  EXPECT_THAT(api_.Take(), ElementsAre());
}

TEST_F(CudaDeviceTest, SaysHowMuchMemoryThereIsWhenThereIsNotEnough) {
  api_.fail["Malloc"] = kOutOfMemory;
  const auto buffer = device_->Allocate(5000);
  EXPECT_EQ(buffer.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(buffer.status().message()),
              HasSubstr("cuda:1 was asked for 5000 bytes; 1000 of 2000 are free"));
}

TEST_F(CudaDeviceTest, LeavesNothingBehind) {
  {
    auto buffer = device_->Allocate(64);
    std::vector<char> bytes(64);
    ASSERT_TRUE(device_->CopyIn(buffer->memory(), bytes.data(), 64).ok());
    buffer = Buffer();
    device_.reset();
  }
  EXPECT_EQ(api_.live_allocations, 0);
}

TEST_F(CudaDeviceTest, CopiesInAndOutByPieces) {
  const uint64_t bytes = 2 * Staging::kPieceBytes + 5;
  std::vector<char> from(bytes), back(bytes);
  for (uint64_t i = 0; i < bytes; ++i) from[i] = static_cast<char>(i * 31 >> 8);
  auto buffer = device_->Allocate(bytes);
  ASSERT_TRUE(buffer.ok());
  ASSERT_TRUE(device_->CopyIn(buffer->memory(), from.data(), 2 * Staging::kPieceBytes).ok());  // makes both pieces
  api_.Take();
  ASSERT_TRUE(device_->CopyIn(buffer->memory(), from.data(), bytes).ok());
  const std::string whole = absl::StrCat("Copy in ", Staging::kPieceBytes, " stream0");
  // The third piece waits until the first has left its page-locked memory.
  EXPECT_THAT(api_.Take(),
              ElementsAre("EventSynchronize event0", whole, "EventRecord event0 stream0", "EventSynchronize event1",
                          whole, "EventRecord event1 stream0", "EventSynchronize event0", "Copy in 5 stream0",
                          "EventRecord event0 stream0", "StreamSynchronize stream0"));
  ASSERT_TRUE(device_->CopyOut(back.data(), buffer->memory(), bytes).ok());
  EXPECT_TRUE(from == back);
  EXPECT_TRUE(device_->CopyIn(nullptr, nullptr, 0).ok());
}

TEST_F(CudaDeviceTest, CopiesOfAStreamStandInItsOrder) {
  auto stream = device_->NewStream();
  int64_t host = 7, device = 0, back = 0;
  ASSERT_TRUE((*stream)->CopyIn(&device, &host, 8).ok());
  api_.Take();
  // The host waits for a piece to be free, never for the stream.
  ASSERT_TRUE((*stream)->CopyIn(&device, &host, 8).ok());
  EXPECT_THAT(api_.Take(), ElementsAre("EventSynchronize event1", "Copy in 8 stream0", "EventRecord event1 stream0"));
  ASSERT_TRUE((*stream)->CopyOut(&back, &device, 8).ok());
  EXPECT_THAT(api_.Take(), ElementsAre("EventSynchronize event2", "Copy out 8 stream0", "EventRecord event2 stream0",
                                       "EventSynchronize event2"));
  EXPECT_EQ(back, 7);
}

TEST_F(CudaDeviceTest, OrdersStreamsByEventsWithoutTheHost) {
  const auto compute = device_->NewStream(), transfer = device_->NewStream();
  const auto event = device_->NewEvent();
  ASSERT_TRUE(compute.ok() && transfer.ok() && event.ok());
  api_.Take();
  ASSERT_TRUE((*compute)->Record(event->get()).ok());
  ASSERT_TRUE((*transfer)->WaitFor(event->get()).ok());
  EXPECT_THAT(api_.Take(), ElementsAre("EventRecord event0 stream0", "StreamWaitEvent stream1 event0"));
}

TEST_F(CudaDeviceTest, EventIsReadyOnceItsWorkIsDone) {
  const auto event = device_->NewEvent();
  api_.busy_queries = 1;
  EXPECT_FALSE((*event)->Ready());
  EXPECT_TRUE((*event)->Ready());
}

TEST_F(CudaDeviceTest, TimedEventsSayHowFarTheyAreApart) {
  const auto first = device_->NewTimedEvent(), second = device_->NewTimedEvent();
  EXPECT_THAT(api_.Take(), ElementsAre("SetDevice 1", "EventCreateTimed event0", "EventCreateTimed event1"));
  const auto seconds = (*second)->SecondsSince(**first);
  ASSERT_TRUE(seconds.ok()) << seconds.status();
  EXPECT_EQ(*seconds, 0.25);
  EXPECT_THAT(api_.Take(), ElementsAre("EventElapsed event0 event1"));
}

TEST_F(CudaDeviceTest, StreamWaitsForItsWorkBeforeItDies) {
  auto stream = device_->NewStream();
  api_.Take();
  stream->reset();
  EXPECT_THAT(api_.Take(), ElementsAre("StreamSynchronize stream0", "StreamDestroy stream0"));
}

TEST_F(CudaDeviceTest, KernelsRunOnTheStreamTheyAreGiven) {
  const OpDesc desc = {"Neg", {{proto::F32, {2}}}, {{proto::F32, {2}}}, {}};
  const auto kernel = device_->NewKernel(desc);
  ASSERT_TRUE(kernel.ok()) << kernel.status();
  const auto stream = device_->NewStream();
  double x = 3, y = 0;
  void *in = &x, *out = &y;
  ASSERT_TRUE((*kernel)->Run(**stream, {&in, &out}).ok());
  EXPECT_EQ(y, 3);
  static_cast<Doubling&>(**kernel).code = 700;
  const absl::Status failed = (*kernel)->Run(**stream, {&in, &out});
  EXPECT_THAT(std::string(failed.message()), HasSubstr("cuda:1: launching Doubling: cudaError700: text of 700"));
  EXPECT_THAT(std::string(failed.message()), HasSubstr("CUDA_LAUNCH_BLOCKING"));
}

TEST_F(CudaDeviceTest, RefusesWhatItHasNoKernelFor) {
  const OpDesc relu = {"Relu", {{proto::F32, {2}}}, {{proto::F32, {2}}}, {}};
  EXPECT_EQ(device_->NewKernel(relu).status().code(), absl::StatusCode::kUnimplemented);
  const OpDesc wrong = {"Neg", {{proto::F32, {2}}}, {{proto::F32, {3}}}, {}};
  EXPECT_EQ(device_->NewKernel(wrong).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(CudaDeviceTest, GraphIsCapturedOnceAndLaunchedOften) {
  const auto made = device_->NewStream();
  CudaStream& stream = static_cast<CudaStream&>(**made);
  api_.Take();
  int64_t x = 1, y = 0;
  auto graph = CudaGraph::Capture(stream, [&] { return stream.Copy(&y, &x, 8); });
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_EQ(y, 0);  // captured, not run
  EXPECT_THAT(api_.Take(), ElementsAre("BeginCapture stream0", "Copy within 8 stream0", "EndCapture graph0",
                                       "  of stream0", "GraphInstantiate graph0 exec0", "GraphDestroy graph0"));
  ASSERT_TRUE((*graph)->Launch(stream).ok());
  ASSERT_TRUE((*graph)->Launch(stream).ok());
  graph->reset();
  EXPECT_THAT(api_.Take(),
              ElementsAre("GraphLaunch exec0 stream0", "GraphLaunch exec0 stream0", "GraphExecDestroy exec0"));
}

TEST_F(CudaDeviceTest, CaptureEndsWhenTheWorkFails) {
  const auto made = device_->NewStream();
  CudaStream& stream = static_cast<CudaStream&>(**made);
  api_.Take();
  const auto graph = CudaGraph::Capture(stream, [] { return absl::InternalError("no"); });
  EXPECT_EQ(graph.status().message(), "no");
  EXPECT_THAT(api_.Take(),
              ElementsAre("BeginCapture stream0", "EndCapture graph0", "  of stream0", "GraphDestroy graph0"));
}

TEST_F(CudaDeviceTest, ErrorsNameWhatWhereAndWhy) {
  const auto stream = device_->NewStream();
  api_.fail["Copy"] = kInvalidValue;
  int64_t x = 1, y = 0;
  EXPECT_EQ((*stream)->Copy(&y, &x, 8).message(), "cuda:1: copying 8 bytes within the device: cudaError1: text of 1");
}

TEST(FindChipTest, SaysWhatIsMissing) {
  FakeCudaApi api;
  api.chips = {FakeCudaApi::H200(0), FakeCudaApi::H200(1)};
  ASSERT_TRUE(FindChip(api, 1).ok());
  EXPECT_EQ(FindChip(api, 1)->index, 1);
  const absl::Status out = FindChip(api, 2).status();
  EXPECT_EQ(out.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(out.message(),
            "there is no device cuda:2; this machine has cuda:0 (NVIDIA H200, compute capability 9.0, 139 GiB), cuda:1 "
            "(NVIDIA H200, compute capability 9.0, 139 GiB)");
  EXPECT_EQ(FindChip(api, -1).status().code(), absl::StatusCode::kInvalidArgument);

  api.chips[1].major = 7;
  EXPECT_THAT(std::string(FindChip(api, 1).status().message()), HasSubstr("too old: compute capability 8.0"));

  api.chips.clear();
  api.count_code = kNoDevice;
  EXPECT_THAT(std::string(FindChip(api, 0).status().message()), HasSubstr("an NVIDIA driver but no GPU"));
  api.driver = 12040;
  api.count_code = kInsufficientDriver;
  EXPECT_THAT(std::string(FindChip(api, 0).status().message()),
              HasSubstr("supports CUDA 12.4 and this program was built with CUDA 13.0"));
  api.driver = 0;
  const absl::Status none = FindChip(api, 0).status();
  EXPECT_EQ(none.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(none.message()), HasSubstr("no NVIDIA driver was found"));
}

}  // namespace
}  // namespace millrace::cuda
