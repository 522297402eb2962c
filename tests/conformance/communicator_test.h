// The suite that every Communicator passes. A backend registers itself in one line:
//
//   INSTANTIATE_TEST_SUITE_P(InProcess, CommunicatorConformance,
//                            testing::Values(CommunicatorBackend{"in_process", MakeInProcessCommunicators}));
//
// Tests are written as what each rank does, and ranks tell each other things by their communicators only: so they run
// as well where each rank is a process that runs the same test.
#ifndef TESTS_CONFORMANCE_COMMUNICATOR_TEST_H_
#define TESTS_CONFORMANCE_COMMUNICATOR_TEST_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/comm/communicator.h"

namespace millrace {

struct CommunicatorBackend {
  std::string name;
  // Communicators of a new group; element r belongs to rank r, and is null when that rank is another process.
  std::function<std::vector<std::unique_ptr<Communicator>>(int size, const CommunicatorOptions& options)> make;
  int processes = 0;  // 0: ranks are threads, any number. Else the only size there is
  bool in_order = false;  // what goes one way between two ranks moves in the order of posting, the same on both
};

class CommunicatorConformance : public testing::TestWithParam<CommunicatorBackend> {
 public:
  using Ranks = std::vector<std::unique_ptr<Communicator>>;

 protected:
  // `size` ranks; where ranks are processes, all of them, or none when that is fewer than `size`: then skip.
  Ranks Make(int size, const CommunicatorOptions& options = {});
  // Runs `body` on one thread per rank of this process and joins them.
  void OnEveryRank(const Ranks& ranks, const std::function<void(Communicator&)>& body);
};

// Ends the test here, by name, when there are too few ranks.
#define SKIP_WITHOUT(ranks, wanted) \
  if (ranks.empty()) GTEST_SKIP() << "needs " << wanted << " ranks"

std::string TestWaits();
absl::Status PostAndWait(Communicator& comm, const std::vector<Transfer>& group);

}  // namespace millrace

#endif  // TESTS_CONFORMANCE_COMMUNICATOR_TEST_H_
