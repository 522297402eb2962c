// Ranks that are threads, with memory of devices whose streams work later.
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "kernels/reference/reference.h"
#include "runtime/comm/communicator.h"
#include "tests/conformance/communicator_test.h"
#include "tests/conformance/staged_communicator.h"
#include "tests/kernels/async_device.h"

namespace millrace {
namespace {

struct Devices {
  explicit Devices(int size, absl::Duration delay = absl::ZeroDuration()) {
    for (int r = 0; r < size; ++r) {
      references.push_back(*OpenReference({}));
      devices.push_back(std::make_unique<AsyncDevice>(references.back().get(), delay));
    }
  }
  std::vector<std::unique_ptr<Device>> references;
  std::vector<std::unique_ptr<AsyncDevice>> devices;
};

std::vector<std::unique_ptr<Communicator>> MakeRanks(int size, const CommunicatorOptions& options) {
  auto devices = std::make_shared<Devices>(size);
  std::vector<std::unique_ptr<Communicator>> ranks = MakeInProcessCommunicators(size, options);
  for (int r = 0; r < size; ++r) {
    EXPECT_EQ(ranks[r]->Attach(devices->devices[r].get()), absl::OkStatus());
    ranks[r] = std::make_unique<StagedCommunicator>(devices, devices->devices[r].get(), std::move(ranks[r]));
  }
  return ranks;
}

INSTANTIATE_TEST_SUITE_P(InProcessOnDevices, CommunicatorConformance,
                         testing::Values(CommunicatorBackend{"in_process_on_devices", MakeRanks}));

// A ring of kernels and transfers that the host only lists: it waits for peers to post, never for a stream.
TEST(InProcessOnDevices, TransfersKeepTheOrderOfStreams) {
  constexpr int kSize = 3, kRounds = 30, kFloats = 1000;
  Devices devices(kSize, absl::Microseconds(200));
  std::vector<std::unique_ptr<Communicator>> ranks = MakeInProcessCommunicators(kSize);
  std::vector<std::thread> threads;
  for (int r = 0; r < kSize; ++r) {
    threads.emplace_back([&, r] {
      Communicator& comm = *ranks[r];
      AsyncDevice& device = *devices.devices[r];
      ASSERT_EQ(comm.Attach(&device), absl::OkStatus());
      ASSERT_EQ(comm.Barrier(), absl::OkStatus());
      auto stream = *device.NewStream();
      auto* const queue = static_cast<AsyncStream*>(stream.get());
      Buffer memory = *device.Allocate(2 * kFloats * sizeof(float));
      float* const in = static_cast<float*>(memory.memory());
      float* const out = in + kFloats;
      for (uint64_t round = 0; round < kRounds; ++round) {
        queue->Put([=] {
          for (int i = 0; i < kFloats; ++i) out[i] = in[i] + static_cast<float>(i);
          return absl::OkStatus();
        });
        auto ticket = comm.PostAfter(*stream, {{true, (r + 1) % kSize, round, out, kFloats * sizeof(float)},
                                               {false, (r + kSize - 1) % kSize, round, in, kFloats * sizeof(float)}});
        ASSERT_TRUE(ticket.ok()) << ticket.status();
        ASSERT_EQ(comm.WaitOn(*stream, *ticket, TestWaits), absl::OkStatus());
      }
      EXPECT_EQ(queue->synchronized(), 0) << "the host waited";
      ASSERT_EQ(stream->Synchronize(), absl::OkStatus());
      for (int i = 0; i < kFloats; ++i) ASSERT_EQ(in[i], static_cast<float>(kRounds * i)) << r;
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(InProcessOnDevices, ARankWithoutADeviceIsAnError) {
  Devices devices(1);
  std::vector<std::unique_ptr<Communicator>> ranks = MakeInProcessCommunicators(2);
  ASSERT_EQ(ranks[0]->Attach(devices.devices[0].get()), absl::OkStatus());
  char memory[4] = {};
  auto sends = ranks[0]->Post({{true, 1, 0, memory, 4}});
  auto receives = ranks[1]->Post({{false, 0, 0, memory, 4}});
  ASSERT_TRUE(sends.ok() && receives.ok());
  EXPECT_EQ(ranks[0]->Wait(*sends, TestWaits).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ranks[1]->Wait(*receives, TestWaits).code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace millrace
