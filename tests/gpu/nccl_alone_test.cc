// NCCL with one rank, and what it can show on any GPU: set-up, collectives of one, registration, abort.
#include <memory>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "gtest/gtest.h"
#include "kernels/cuda/cuda.h"
#include "runtime/comm/exchange.h"
#include "runtime/comm/nccl/nccl.h"
#include "tests/gpu/gpu_ranks.h"

namespace millrace {
namespace {

class NcclAlone : public testing::Test {
 protected:
  void SetUp() override {
    if (GpuCount() == 0) GTEST_SKIP() << "no GPU";
    device_ = *OpenCuda({});
    exchanges_ = MakeInProcessExchanges(1);
    auto made = MakeNcclCommunicator(exchanges_[0].get(), std::move(MakeInProcessCommunicators(1)[0]), {});
    ASSERT_TRUE(made.ok()) << made.status();
    nccl_ = *std::move(made);
    ASSERT_EQ(nccl_->Attach(device_.get()), absl::OkStatus());
  }

  std::unique_ptr<Device> device_;
  std::vector<std::unique_ptr<Exchange>> exchanges_;
  std::unique_ptr<NcclCommunicator> nccl_;
};

TEST_F(NcclAlone, SetsUpAndLeaves) {
  EXPECT_EQ(nccl_->communicators(), 1);
  EXPECT_EQ(nccl_->Barrier(), absl::OkStatus());
}

TEST_F(NcclAlone, RegistersAnArena) {
  Buffer arena = *device_->Allocate(64 << 20);
  EXPECT_EQ(nccl_->Register(arena.memory(), arena.bytes()), absl::OkStatus());
  nccl_.reset();
}

TEST_F(NcclAlone, AllReduceOfOneIsItsInput) {
  auto stream = *device_->NewStream();
  Buffer memory = *device_->Allocate(4096);
  std::vector<float> host(1024, 3.5f), back(1024);
  ASSERT_EQ(device_->CopyIn(memory.memory(), host.data(), 4096), absl::OkStatus());
  Collective c;
  c.ranks = {0};
  c.count = 1024;
  c.input = c.output = memory.memory();
  auto ticket = nccl_->Start(c, stream.get());
  ASSERT_TRUE(ticket.ok()) << ticket.status();
  ASSERT_EQ(nccl_->WaitOn(*stream, *ticket, [] { return std::string("the test waits"); }), absl::OkStatus());
  ASSERT_EQ(stream->Synchronize(), absl::OkStatus());
  ASSERT_EQ(device_->CopyOut(back.data(), memory.memory(), 4096), absl::OkStatus());
  EXPECT_EQ(back, host);
}

TEST_F(NcclAlone, AbortsWithinASecond) {
  const absl::Time start = absl::Now();
  nccl_->Abort(absl::DataLossError("enough"));
  EXPECT_EQ(nccl_->Post({}).status(), absl::DataLossError("enough"));
  EXPECT_LT(absl::Now() - start, absl::Seconds(1));
}

}  // namespace
}  // namespace millrace
