#include "runtime/comm/communicator.h"
#include "tests/conformance/communicator_test.h"

namespace millrace {

INSTANTIATE_TEST_SUITE_P(InProcess, CommunicatorConformance,
                         testing::Values(CommunicatorBackend{"in_process", MakeInProcessCommunicators}));

}  // namespace millrace
