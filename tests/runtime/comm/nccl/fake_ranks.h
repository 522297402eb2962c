// Ranks that are threads of the test, each with an AsyncDevice for a GPU and a fake NCCL.
#ifndef TESTS_RUNTIME_COMM_NCCL_FAKE_RANKS_H_
#define TESTS_RUNTIME_COMM_NCCL_FAKE_RANKS_H_

#include <functional>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/reference/reference.h"
#include "runtime/comm/exchange.h"
#include "runtime/comm/nccl/set_up.h"
#include "tests/kernels/async_device.h"
#include "tests/runtime/comm/nccl/fake_nccl.h"

namespace millrace::nccl {

struct FakeRanks {
  explicit FakeRanks(int size, absl::Duration delay = absl::ZeroDuration()) : world(size) {
    for (int r = 0; r < size; ++r) {
      references.push_back(*OpenReference({}));
      devices.push_back(std::make_unique<AsyncDevice>(references.back().get(), delay));
      apis.push_back(std::make_unique<FakeNccl>(&world));
    }
    exchanges = MakeInProcessExchanges(size);
    communicators.resize(size);
    results.resize(size);
  }
  // After the communicators: NCCL was used as its manual says.
  ~FakeRanks() {
    OnEveryRank([this](int r) { communicators[r].reset(); });
    for (const auto& api : apis) {
      for (const std::string& misuse : api->misuses()) ADD_FAILURE() << misuse;
    }
  }

  // Every rank sets itself up, all at once.
  void Open(const NcclOptions& options) {
    auto controls = MakeInProcessCommunicators(world.size, options.waits);
    OnEveryRank([&](int r) {
      auto made = MakeDeviceCommunicator(apis[r].get(), exchanges[r].get(), std::move(controls[r]), options);
      results[r] = made.status();
      if (!made.ok()) return;
      communicators[r] = *std::move(made);
      results[r] = communicators[r]->Attach(devices[r].get());
    });
  }
  void OpenWell(const NcclOptions& options) {
    Open(options);
    for (const absl::Status& result : results) ASSERT_EQ(result, absl::OkStatus());
  }

  void OnEveryRank(const std::function<void(int)>& body) {
    std::vector<std::thread> threads;
    for (int r = 0; r < world.size; ++r) threads.emplace_back([&body, r] { body(r); });
    for (std::thread& thread : threads) thread.join();
  }

  FakeWorld world;
  std::vector<std::unique_ptr<Device>> references;
  std::vector<std::unique_ptr<AsyncDevice>> devices;
  std::vector<std::unique_ptr<FakeNccl>> apis;
  std::vector<std::unique_ptr<Exchange>> exchanges;
  std::vector<std::unique_ptr<NcclCommunicator>> communicators;
  std::vector<absl::Status> results;
};

}  // namespace millrace::nccl

#endif  // TESTS_RUNTIME_COMM_NCCL_FAKE_RANKS_H_
