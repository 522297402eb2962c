// The suite of all communicators, over NCCL's fake: everything but NCCL itself is what runs on GPUs.
#include <memory>
#include <utility>
#include <vector>

#include "tests/conformance/communicator_test.h"
#include "tests/conformance/staged_communicator.h"
#include "tests/runtime/comm/nccl/fake_ranks.h"

namespace millrace {
namespace {

constexpr int kMostPairs = 6;  // beyond, a thread for each stream of each direction is too much

std::vector<std::unique_ptr<Communicator>> MakeRanks(int size, const CommunicatorOptions& waits) {
  auto ranks = std::make_shared<nccl::FakeRanks>(size);
  NcclOptions options;
  options.waits = waits;
  options.leave_within = absl::Milliseconds(10);  // the suite ends the ranks one after the other
  if (size <= kMostPairs) options.groups = AllPairs(size);
  ranks->OpenWell(options);
  std::vector<std::unique_ptr<Communicator>> communicators;
  for (int r = 0; r < size; ++r) {
    communicators.push_back(
        std::make_unique<StagedCommunicator>(ranks, ranks->devices[r].get(), std::move(ranks->communicators[r])));
  }
  return communicators;
}

INSTANTIATE_TEST_SUITE_P(Nccl, CommunicatorConformance,
                         testing::Values(CommunicatorBackend{"nccl", MakeRanks, 0, /*in_order=*/true}));

}  // namespace
}  // namespace millrace
