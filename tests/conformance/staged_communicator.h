// Runs the conformance suite, whose memory is the host's, on a communicator of device memory: transfers go through
// buffers of the device.
#ifndef TESTS_CONFORMANCE_STAGED_COMMUNICATOR_H_
#define TESTS_CONFORMANCE_STAGED_COMMUNICATOR_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kernels/device.h"
#include "runtime/comm/communicator.h"

namespace millrace {

class StagedCommunicator : public Communicator {
 public:
  // `keep` lives until the communicator is gone: whatever it stands on, the device too.
  StagedCommunicator(std::shared_ptr<void> keep, Device* device, std::unique_ptr<Communicator> inner)
      : keep_(std::move(keep)), device_(device), inner_(std::move(inner)) {}

  int rank() const override { return inner_->rank(); }
  int size() const override { return inner_->size(); }
  absl::StatusOr<Ticket> Post(absl::Span<const Transfer> group) override;
  bool Done(Ticket ticket) override;
  absl::Status Wait(Ticket ticket, const std::function<std::string()>& what) override;
  absl::Status Barrier() override { return inner_->Barrier(); }
  absl::Status AllGather(const void* mine, void* all, uint64_t bytes) override {
    return inner_->AllGather(mine, all, bytes);
  }
  void Abort(absl::Status why) override { inner_->Abort(std::move(why)); }
  absl::Status Failure() const override { return inner_->Failure(); }

 private:
  struct Staged {
    std::vector<Transfer> host;
    std::vector<Buffer> buffers;
  };
  absl::Status Arrive(Ticket ticket);
  absl::StatusOr<Buffer> Take(uint64_t bytes);
  void GiveBack(Staged staged);

  const std::shared_ptr<void> keep_;
  Device* const device_;
  std::map<Ticket, Staged> staged_;
  std::multimap<uint64_t, Buffer> free_;  // by size
  const std::unique_ptr<Communicator> inner_;  // dies before the buffers
};

}  // namespace millrace

#endif  // TESTS_CONFORMANCE_STAGED_COMMUNICATOR_H_
