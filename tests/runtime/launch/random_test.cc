// Environments put together at random from every launcher's variables: whatever they say, the answer is a place that
// can be, or a refusal in one short line.
#include <random>

#include "tests/runtime/launch/environments.h"

namespace millrace {
namespace {

constexpr const char* kNames[] = {"MILLRACE_RANK",
                                  "MILLRACE_SIZE",
                                  "MILLRACE_LOCAL_RANK",
                                  "MILLRACE_LOCAL_SIZE",
                                  "MILLRACE_NODE_RANK",
                                  "MILLRACE_COORDINATOR",
                                  "MILLRACE_LAUNCH",
                                  "TORCHELASTIC_RUN_ID",
                                  "TORCHELASTIC_USE_AGENT_STORE",
                                  "RANK",
                                  "WORLD_SIZE",
                                  "LOCAL_RANK",
                                  "LOCAL_WORLD_SIZE",
                                  "GROUP_RANK",
                                  "GROUP_WORLD_SIZE",
                                  "NODE_RANK",
                                  "MASTER_ADDR",
                                  "MASTER_PORT",
                                  "PET_NNODES",
                                  "PET_NPROC_PER_NODE",
                                  "PET_NODE_RANK",
                                  "PET_MASTER_ADDR",
                                  "PET_MASTER_PORT",
                                  "PET_RDZV_ENDPOINT",
                                  "OMPI_COMM_WORLD_RANK",
                                  "OMPI_COMM_WORLD_SIZE",
                                  "OMPI_COMM_WORLD_LOCAL_RANK",
                                  "OMPI_COMM_WORLD_LOCAL_SIZE",
                                  "OMPI_MCA_orte_hnp_uri",
                                  "PMI_RANK",
                                  "PMI_SIZE",
                                  "MPI_LOCALRANKID",
                                  "MPI_LOCALNRANKS",
                                  "PMIX_RANK",
                                  "PMIX_NAMESPACE",
                                  "SLURM_JOB_ID",
                                  "SLURM_PROCID",
                                  "SLURM_NTASKS",
                                  "SLURM_STEP_NUM_TASKS",
                                  "SLURM_LOCALID",
                                  "SLURM_NODEID",
                                  "SLURM_STEP_NODELIST",
                                  "SLURM_STEP_NUM_NODES",
                                  "SLURM_STEP_TASKS_PER_NODE",
                                  "SLURM_STEP_ID",
                                  "ENVIRONMENT",
                                  "HOROVOD_RANK",
                                  "HOROVOD_SIZE",
                                  "HOROVOD_LOCAL_RANK",
                                  "HOROVOD_LOCAL_SIZE",
                                  "HOROVOD_CROSS_RANK",
                                  "HOROVOD_CROSS_SIZE",
                                  "HOROVOD_GLOO_RENDEZVOUS_ADDR",
                                  "HOROVOD_GLOO_RENDEZVOUS_PORT",
                                  "SM_HOSTS",
                                  "SM_CURRENT_HOST",
                                  "JOB_COMPLETION_INDEX",
                                  "KUBERNETES_SERVICE_HOST",
                                  "TF_CONFIG",
                                  "TPU_WORKER_ID",
                                  "TPU_WORKER_HOSTNAMES",
                                  "MEGASCALE_NUM_SLICES",
                                  "MEGASCALE_SLICE_ID",
                                  "MEGASCALE_COORDINATOR_ADDRESS"};

constexpr const char* kLikely[] = {"0",     "1",     "2",         "3",           "4",       "2",    "1",    "4",
                                   "29500", "node1", "localhost", "node1:29500", "1048576", "auto", "True", "BATCH"};

constexpr const char* kUnlikely[] = {"",
                                     "-1",
                                     "65536",
                                     "99999999999999999999",
                                     "abc",
                                     "1:4",
                                     "[::1]:5",
                                     "node[1-3],x",
                                     "node[1-",
                                     "2(x3),1",
                                     "single",
                                     "millrace",
                                     "torchrun",
                                     "a,b,c",
                                     R"(["a","b"])",
                                     "a",
                                     "b",
                                     "::::",
                                     "1.0;tcp://10.0.0.1,10.0.0.2:5",
                                     "1.0;tcp://",
                                     R"({"cluster":{"worker":["a:1","b:2"]},"task":{"type":"worker","index":1}})",
                                     R"({"cluster":)",
                                     "\n",
                                     "\xff\xfe",
                                     "$(id)"};

void CheckContract(const LaunchContract& c) {
  EXPECT_GE(c.rank, 0);
  EXPECT_GE(c.ranks_here, 1);
  EXPECT_LE(c.rank + c.ranks_here, c.size);
  EXPECT_GE(c.local_rank, 0);
  EXPECT_LT(c.local_rank, c.local_size);
  EXPECT_LE(c.local_size, c.size);
  EXPECT_GE(c.node_rank, 0);
  EXPECT_LT(c.node_rank, c.nodes);
  EXPECT_EQ(c.launched(), c.source_key != "single");
  if (!c.coordinator) return;
  EXPECT_TRUE(CheckHost(c.coordinator->host, "x").ok()) << c.coordinator->host;
  EXPECT_GE(c.coordinator->port, 1);
  EXPECT_LE(c.coordinator->port, 65535);
}

TEST(RandomEnvironments, AreRightOrRefused) {
  int accepted = 0, refused = 0;
  for (uint32_t seed = 0; seed < 40000 && !HasFailure(); ++seed) {
    std::mt19937 random(seed);
    Variables variables;
    for (int n = 2 + random() % 12; n > 0; --n) {
      std::string value =
          random() % 8 == 0 ? kUnlikely[random() % std::size(kUnlikely)] : kLikely[random() % std::size(kLikely)];
      if (random() % 64 == 0 && !value.empty()) value[random() % value.size()] = static_cast<char>(random());
      // Variables of one launcher stand side by side: a walk from a random place meets several of them.
      variables[kNames[(random() % 4 == 0 ? random() : seed / 7 + n) % std::size(kNames)]] = value;
    }
    const absl::StatusOr<LaunchContract> contract = DetectLaunch(With(variables));
    SCOPED_TRACE(seed);
    if (contract.ok()) {
      accepted += contract->launched();
      CheckContract(*contract);
      continue;
    }
    ++refused;
    const std::string message(contract.status().message());
    EXPECT_EQ(contract.status().code(), absl::StatusCode::kFailedPrecondition) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    EXPECT_LT(message.size(), 800u) << message;
  }
  EXPECT_GT(accepted, 400) << "the environments are all nonsense, so little was tested";
  EXPECT_GT(refused, 400);
}

}  // namespace
}  // namespace millrace
