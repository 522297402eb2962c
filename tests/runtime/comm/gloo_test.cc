// Ranks are threads, each with its own gloo context, over loopback.
#include "tests/conformance/communicator_test.h"
#include "tests/runtime/comm/gloo_ranks.h"

namespace millrace {

INSTANTIATE_TEST_SUITE_P(Gloo, CommunicatorConformance,
                         testing::Values(CommunicatorBackend{"gloo", [](int size, const CommunicatorOptions& options) {
                                                               return MakeGlooRanks(size, options);
                                                             }}));

}  // namespace millrace
