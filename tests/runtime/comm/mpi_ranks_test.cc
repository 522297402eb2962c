// One rank of an MPI job that runs the conformance suite; mpi_test.py starts it under mpirun.
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "runtime/comm/mpi/mpi.h"
#include "tests/conformance/communicator_test.h"

namespace millrace {
namespace {

int Processes() {
  const char* size = std::getenv("OMPI_COMM_WORLD_SIZE");
  return size == nullptr ? 1 : std::atoi(size);
}

INSTANTIATE_TEST_SUITE_P(
    Mpi, CommunicatorConformance,
    testing::Values(CommunicatorBackend{"mpi",
                                        [](int size, const CommunicatorOptions& options) {
                                          std::vector<std::unique_ptr<Communicator>> ranks(size);
                                          auto mine = MakeMpiCommunicator(options);
                                          if (!mine.ok()) {
                                            ADD_FAILURE() << mine.status();
                                            std::abort();
                                          }
                                          const int rank = (*mine)->rank();
                                          ranks[rank] = *std::move(mine);
                                          return ranks;
                                        },
                                        Processes()}));

TEST(MpiExchange, GivesEveryRankEveryValue) {
  auto exchange = MakeMpiExchange();
  ASSERT_TRUE(exchange.ok()) << exchange.status();
  for (int round = 0; round < 5; ++round) {
    const std::string mine(round * 10000, static_cast<char>('a' + (*exchange)->rank()));
    const auto all = (*exchange)->AllGather("round " + std::to_string(round), mine, absl::Now() + absl::Seconds(20));
    ASSERT_TRUE(all.ok()) << all.status();
    ASSERT_EQ(all->size(), Processes());
    for (int r = 0; r < Processes(); ++r) EXPECT_EQ((*all)[r], std::string(round * 10000, 'a' + r));
  }
}

TEST(MpiExchange, NamesTheRanksThatDoNotCome) {
  auto exchange = MakeMpiExchange();
  ASSERT_TRUE(exchange.ok()) << exchange.status();
  if ((*exchange)->size() < 2 || (*exchange)->rank() != 0) return;
  const auto all = (*exchange)->AllGather("alone", "", absl::Now() + absl::Milliseconds(50));
  EXPECT_EQ(all.status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_NE(all.status().message().find("ranks 1"), std::string::npos) << all.status();
}

}  // namespace
}  // namespace millrace

// --is-mpi-linked: exit 0 when it is.
int main(int argc, char** argv) {
  if (argc > 1 && std::strcmp(argv[1], "--is-mpi-linked") == 0) return millrace::MpiIsLinked() ? 0 : 1;
  testing::InitGoogleMock(&argc, argv);
  const int failed = RUN_ALL_TESTS();
  if (failed == 0) millrace::FinalizeMpi();  // tests of aborts leave it to us
  return failed;
}
