// The suite that every Communicator passes. A backend registers itself in one line:
//
//   INSTANTIATE_TEST_SUITE_P(InProcess, CommunicatorConformance,
//                            testing::Values(CommunicatorBackend{"in_process", MakeInProcessCommunicators}));
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
  // Communicators of a new group; element r belongs to rank r.
  std::function<std::vector<std::unique_ptr<Communicator>>(int size, const CommunicatorOptions& options)> make;
};

class CommunicatorConformance : public testing::TestWithParam<CommunicatorBackend> {
 protected:
  using Ranks = std::vector<std::unique_ptr<Communicator>>;

  Ranks Make(int size, const CommunicatorOptions& options = {}) { return GetParam().make(size, options); }
  // Runs `body` on one thread per rank and joins them.
  void OnEveryRank(const Ranks& ranks, const std::function<void(Communicator&)>& body);
};

}  // namespace millrace

#endif  // TESTS_CONFORMANCE_COMMUNICATOR_TEST_H_
