// Every launcher's own variables, as it sets them, and what a process reads from them.
#include <gmock/gmock.h>

#include "tests/runtime/launch/environments.h"

namespace millrace {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

const Variables kTorchrun = {{"TORCHELASTIC_RUN_ID", "none"},
                             {"RANK", "3"},
                             {"WORLD_SIZE", "4"},
                             {"LOCAL_RANK", "1"},
                             {"LOCAL_WORLD_SIZE", "2"},
                             {"GROUP_RANK", "1"},
                             {"GROUP_WORLD_SIZE", "2"},
                             {"ROLE_RANK", "3"},
                             {"ROLE_WORLD_SIZE", "4"},
                             {"ROLE_NAME", "default"},
                             {"MASTER_ADDR", "node0"},
                             {"MASTER_PORT", "29500"},
                             {"TORCHELASTIC_RESTART_COUNT", "0"},
                             {"TORCHELASTIC_MAX_RESTARTS", "3"},
                             {"TORCHELASTIC_USE_AGENT_STORE", "False"},
                             {"OMP_NUM_THREADS", "1"}};

const Variables kOpenMpi = {{"OMPI_COMM_WORLD_SIZE", "4"},
                            {"OMPI_COMM_WORLD_RANK", "2"},
                            {"OMPI_COMM_WORLD_LOCAL_RANK", "2"},
                            {"OMPI_COMM_WORLD_LOCAL_SIZE", "4"},
                            {"OMPI_COMM_WORLD_NODE_RANK", "2"},
                            {"OMPI_UNIVERSE_SIZE", "2"},
                            {"PMIX_RANK", "2"},
                            {"PMIX_NAMESPACE", "1531576321"},
                            {"PMIX_SERVER_URI21", "1531576320.0;tcp4://127.0.0.1:41407"}};

const Variables kSlurm = {{"SLURM_JOB_ID", "4097"},
                          {"SLURM_PROCID", "5"},
                          {"SLURM_NTASKS", "8"},
                          {"SLURM_STEP_NUM_TASKS", "6"},
                          {"SLURM_LOCALID", "1"},
                          {"SLURM_NODEID", "2"},
                          {"SLURM_STEP_NODELIST", "node[009-011]"},
                          {"SLURM_STEP_NUM_NODES", "3"},
                          {"SLURM_STEP_TASKS_PER_NODE", "2(x3)"},
                          {"SLURM_STEP_ID", "0"}};

TEST(Contracts, NoLauncherIsASingleProcess) {
  const LaunchContract contract = Detected(Variables{{"PATH", "/bin"}});
  EXPECT_EQ(Place(contract), "0/1 local 0/1 machine 0/1");
  EXPECT_EQ(contract.source_key, "single");
  EXPECT_FALSE(contract.launched());
  EXPECT_FALSE(contract.coordinator);
}

TEST(Contracts, Flags) {
  LaunchEnvironment environment = With({});
  environment.flags = {1, 2, -1, "10.0.0.1:4000"};
  const LaunchContract contract = Detected(environment);
  EXPECT_EQ(Place(contract), "1/2 local 0/1 machine 1/2");
  EXPECT_EQ(Meeting(contract), "10.0.0.1:4000");
  EXPECT_EQ(contract.source_key, "flags");
}

TEST(Contracts, OurOwnVariables) {
  const LaunchContract contract = Detected({{"MILLRACE_RANK", "3"},
                                            {"MILLRACE_SIZE", "4"},
                                            {"MILLRACE_LOCAL_RANK", "1"},
                                            {"MILLRACE_LOCAL_SIZE", "2"},
                                            {"MILLRACE_COORDINATOR", "[::1]:3000"}});
  EXPECT_EQ(Place(contract), "3/4 local 1/2 machine 1/2");
  EXPECT_EQ(Meeting(contract), "[::1]:3000");
  EXPECT_EQ(contract.source_key, "millrace");
}

TEST(Contracts, OurCoordinatorNeedsNoPort) {
  EXPECT_EQ(
      Meeting(Detected({{"MILLRACE_COORDINATOR", "head.example"}, {"MILLRACE_RANK", "0"}, {"MILLRACE_SIZE", "2"}})),
      "head.example:29500");
}

TEST(Contracts, Torchrun) {
  const LaunchContract contract = Detected(kTorchrun);
  EXPECT_EQ(Place(contract), "3/4 local 1/2 machine 1/2");
  EXPECT_EQ(Meeting(contract), "node0:29500");
  EXPECT_EQ(contract.source_key, "torchrun");
  EXPECT_THAT(contract.evidence, Contains("rank 3: RANK=3 (torchrun or env://)"));
}

TEST(Contracts, TorchrunsOwnStoreKeepsItsPort) {
  Variables variables = kTorchrun;
  variables["TORCHELASTIC_USE_AGENT_STORE"] = "True";
  EXPECT_EQ(Meeting(Detected(variables)), "node0:29501");
  variables["MASTER_PORT"] = "65535";
  EXPECT_EQ(Meeting(Detected(variables)), "node0:1024");
}

TEST(Contracts, PlainEnv) {
  const LaunchContract contract = Detected({{"RANK", "1"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "localhost"}});
  EXPECT_EQ(Place(contract), "1/2 local 0/1 machine 1/2");
  EXPECT_EQ(Meeting(contract), "localhost:29500");
}

TEST(Contracts, RayTrainsWorker) {
  const LaunchContract contract = Detected({{"RANK", "1"},
                                            {"LOCAL_RANK", "1"},
                                            {"WORLD_SIZE", "2"},
                                            {"LOCAL_WORLD_SIZE", "2"},
                                            {"NODE_RANK", "0"},
                                            {"MASTER_ADDR", "10.0.0.4"},
                                            {"MASTER_PORT", "41234"},
                                            {"RAY_JOB_ID", "01000000"}});
  EXPECT_EQ(Place(contract), "1/2 local 1/2 machine 0/1");
  EXPECT_EQ(Meeting(contract), "127.0.0.1:41234") << "both are on one machine";
}

TEST(Contracts, RanksOfOneMachineMeetOnItsLoopback) {
  Variables variables = kTorchrun;
  variables["MASTER_ADDR"] = "host.example";
  EXPECT_EQ(Meeting(Detected(variables)), "host.example:29500") << "two machines";
  variables["LOCAL_WORLD_SIZE"] = "4";
  variables["LOCAL_RANK"] = "3";
  variables["GROUP_RANK"] = "0";
  variables["GROUP_WORLD_SIZE"] = "1";
  EXPECT_EQ(Meeting(Detected(variables)), "127.0.0.1:29500");
  variables["MILLRACE_COORDINATOR"] = variables["MASTER_ADDR"] = "host.example";
  EXPECT_EQ(Meeting(Detected(variables)), "host.example:29500") << "our own word is meant as it stands";
}

TEST(Contracts, KubeflowTrainJob) {
  for (const int machine : {0, 1}) {
    const LaunchContract contract = Detected({{"PET_NNODES", "2"},
                                              {"PET_NPROC_PER_NODE", "1"},
                                              {"PET_NODE_RANK", std::to_string(machine)},
                                              {"PET_MASTER_ADDR", "localhost"},
                                              {"PET_MASTER_PORT", "29500"},
                                              {"JOB_COMPLETION_INDEX", std::to_string(machine)},
                                              {"KUBERNETES_SERVICE_HOST", "10.96.0.1"}});
    EXPECT_EQ(contract.rank, machine);
    EXPECT_EQ(contract.size, 2);
    EXPECT_EQ(contract.ranks_here, 1);
    EXPECT_EQ(Meeting(contract), "localhost:29500");
    EXPECT_EQ(contract.source_key, "pet");
  }
}

TEST(Contracts, KubeflowTrainJobWithTwoRanksAPod) {
  const LaunchContract contract = Detected({{"PET_NNODES", "2"},
                                            {"PET_NPROC_PER_NODE", "2"},
                                            {"PET_NODE_RANK", "1"},
                                            {"PET_MASTER_ADDR", "job-node-0-0.job"},
                                            {"PET_MASTER_PORT", "29500"}});
  EXPECT_EQ(Place(contract), "2/4 local 0/2 machine 1/2");
  EXPECT_EQ(contract.ranks_here, 2);
}

TEST(Contracts, AutomaticProcessesAreTheCores) {
  LaunchEnvironment environment = With({{"PET_NNODES", "1"}, {"PET_NPROC_PER_NODE", "auto"}});
  environment.cores = 3;
  const LaunchContract contract = Detected(environment);
  EXPECT_EQ(contract.size, 3);
  EXPECT_EQ(contract.ranks_here, 3);
}

TEST(Contracts, PyTorchJobGivesRankToThePod) {
  // The operator's RANK is the pod's, WORLD_SIZE counts processes.
  const Variables pod = {{"RANK", "1"},
                         {"WORLD_SIZE", "4"},
                         {"MASTER_ADDR", "job-master-0"},
                         {"MASTER_PORT", "23456"},
                         {"PET_NNODES", "2"},
                         {"PET_NPROC_PER_NODE", "2"},
                         {"PET_NODE_RANK", "1"},
                         {"PET_MASTER_ADDR", "job-master-0"},
                         {"PET_MASTER_PORT", "23456"}};
  const LaunchContract contract = Detected(pod);
  EXPECT_EQ(Place(contract), "2/4 local 0/2 machine 1/2");
  EXPECT_EQ(contract.ranks_here, 2);
  EXPECT_EQ(Meeting(contract), "job-master-0:23456");
}

TEST(Contracts, PyTorchJobWithAutomaticProcesses) {
  const LaunchContract contract = Detected({{"RANK", "1"},
                                            {"WORLD_SIZE", "2"},
                                            {"MASTER_ADDR", "job-master-0"},
                                            {"MASTER_PORT", "23456"},
                                            {"PET_NNODES", "2"},
                                            {"PET_NPROC_PER_NODE", "auto"},
                                            {"PET_NODE_RANK", "1"}});
  EXPECT_EQ(Place(contract), "1/2 local 0/1 machine 1/2");
}

TEST(Contracts, RanksThatWeStartInAPodStillAgreeWithIt) {
  const LaunchContract contract = Detected({{"MILLRACE_RANK", "3"},
                                            {"MILLRACE_SIZE", "4"},
                                            {"PET_NNODES", "2"},
                                            {"PET_NPROC_PER_NODE", "2"},
                                            {"PET_NODE_RANK", "1"},
                                            {"PET_MASTER_ADDR", "head"}});
  EXPECT_EQ(contract.rank, 3);
  EXPECT_EQ(contract.ranks_here, 1);
  EXPECT_EQ(Meeting(contract), "head:29500");
}

TEST(Contracts, OpenMpi) {
  const LaunchContract contract = Detected(kOpenMpi);
  EXPECT_EQ(Place(contract), "2/4 local 2/4 machine 0/1");
  EXPECT_EQ(contract.source_key, "mpi");
  ASSERT_TRUE(contract.coordinator);
  EXPECT_EQ(contract.coordinator->host, "127.0.0.1");
  EXPECT_GE(contract.coordinator->port, 61440);
  Variables other = kOpenMpi;
  other["OMPI_COMM_WORLD_RANK"] = other["OMPI_COMM_WORLD_LOCAL_RANK"] = other["PMIX_RANK"] = "0";
  EXPECT_EQ(Meeting(Detected(other)), Meeting(contract)) << "all ranks meet in one place";
}

TEST(Contracts, OpenMpiOverSeveralHostsMeetsWhereMpirunIs) {
  Variables variables = kOpenMpi;
  variables["OMPI_COMM_WORLD_LOCAL_SIZE"] = "2";
  variables["OMPI_COMM_WORLD_LOCAL_RANK"] = "0";
  EXPECT_EQ(Meeting(Detected(variables)), "none");
  variables["OMPI_MCA_orte_hnp_uri"] = "1531576320.0;tcp://10.96.0.1,10.148.0.1:34911";
  EXPECT_THAT(Meeting(Detected(variables)), HasSubstr("10.96.0.1:6"));
}

TEST(Contracts, Mpich) {
  EXPECT_EQ(Place(Detected({{"PMI_RANK", "1"}, {"PMI_SIZE", "2"}, {"MPI_LOCALRANKID", "1"}, {"MPI_LOCALNRANKS", "2"}})),
            "1/2 local 1/2 machine 0/1");
}

TEST(Contracts, PmixAloneTakesItsSizeFromSlurm) {
  Variables variables = kSlurm;
  variables["PMIX_RANK"] = "5";
  variables["PMIX_NAMESPACE"] = "slurm.pmix.4097.0";
  EXPECT_EQ(Place(Detected(variables)), "5/6 local 1/2 machine 2/3");
}

TEST(Contracts, Slurm) {
  const LaunchContract contract = Detected(kSlurm);
  EXPECT_EQ(Place(contract), "5/6 local 1/2 machine 2/3");
  EXPECT_EQ(Meeting(contract), "node009:61441");  // 4097 % 4096 + 61440
  EXPECT_EQ(contract.source_key, "slurm");
}

TEST(Contracts, SlurmTaskWithoutItsStepsVariables) {
  EXPECT_EQ(Place(Detected({{"SLURM_JOB_ID", "7"},
                            {"SLURM_PROCID", "0"},
                            {"SLURM_NTASKS", "2"},
                            {"SLURM_LOCALID", "0"},
                            {"SLURM_NODEID", "0"},
                            {"SLURM_NODELIST", "a,b"},
                            {"SLURM_NNODES", "2"}})),
            "0/2 local 0/1 machine 0/2");
}

TEST(Contracts, SlurmsBatchScriptIsNoTask) {
  EXPECT_EQ(Detected({{"SLURM_JOB_ID", "7"}, {"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "4"}, {"ENVIRONMENT", "BATCH"}})
                .source_key,
            "single");
}

TEST(Contracts, CoordinatorFromTheScriptOfASlurmJob) {
  Variables variables = kSlurm;
  variables["MASTER_ADDR"] = "node010";
  EXPECT_EQ(Meeting(Detected(variables)), "node010:29500");
}

TEST(Contracts, Horovod) {
  const LaunchContract contract = Detected({{"HOROVOD_RANK", "3"},
                                            {"HOROVOD_SIZE", "4"},
                                            {"HOROVOD_LOCAL_RANK", "1"},
                                            {"HOROVOD_LOCAL_SIZE", "2"},
                                            {"HOROVOD_CROSS_RANK", "1"},
                                            {"HOROVOD_CROSS_SIZE", "2"},
                                            {"HOROVOD_GLOO_RENDEZVOUS_ADDR", "10.0.0.1"},
                                            {"HOROVOD_GLOO_RENDEZVOUS_PORT", "4567"},
                                            {"HOROVOD_GLOO_IFACE", "eth0"}});
  EXPECT_EQ(Place(contract), "3/4 local 1/2 machine 1/2");
  EXPECT_EQ(Meeting(contract), "10.0.0.1:4568") << "horovodrun serves its own port";
}

TEST(Contracts, KubernetesIndexedJob) {
  LaunchEnvironment environment =
      With({{"JOB_COMPLETION_INDEX", "1"}, {"KUBERNETES_SERVICE_HOST", "10.96.0.1"}, {"WORLD_SIZE", "2"}});
  environment.root = FreshFolder();
  environment.host_name = "job-1";
  EXPECT_EQ(Place(Detected(environment)), "1/2 local 0/1 machine 1/2");
  EXPECT_EQ(Meeting(Detected(environment)), "none");
  PutFile(environment, "/etc/hosts",
          "127.0.0.1\tlocalhost\n# kept by the cluster\n10.244.0.7\tjob-1.svc.space.svc.cluster.local\tjob-1\n");
  EXPECT_EQ(Meeting(Detected(environment)), "job-0.svc.space.svc.cluster.local:29500");
  environment.variables["MILLRACE_COORDINATOR"] = "job-0.svc:3000";
  EXPECT_EQ(Meeting(Detected(environment)), "job-0.svc:3000");
}

TEST(Contracts, OurSizeCompletesAKubernetesIndex) {
  EXPECT_EQ(Place(Detected({{"JOB_COMPLETION_INDEX", "2"}, {"KUBERNETES_SERVICE_HOST", "x"}, {"MILLRACE_SIZE", "3"}})),
            "2/3 local 0/1 machine 2/3");
}

TEST(Contracts, AnIndexAloneIsNoPlace) {
  EXPECT_THAT(Refusal({{"JOB_COMPLETION_INDEX", "2"}, {"KUBERNETES_SERVICE_HOST", "x"}}), HasSubstr("WORLD_SIZE"));
  EXPECT_EQ(
      Detected({{"JOB_COMPLETION_INDEX", "2"}, {"KUBERNETES_SERVICE_HOST", "x"}, {"MILLRACE_LAUNCH", "single"}}).size,
      1);
}

TEST(Contracts, TfConfig) {
  EXPECT_EQ(
      Place(Detected({{"TF_CONFIG", R"({"cluster":{"worker":["a:1","b:2"]},"task":{"type":"worker","index":1}})"}})),
      "1/2 local 0/1 machine 1/2");
  const LaunchContract chief = Detected(
      {{"TF_CONFIG",
        R"({"cluster":{"chief":["c:9"],"worker":["a:1","b:2"],"ps":["p:1"]},"task":{"type":"worker","index":"0"}})"}});
  EXPECT_EQ(Place(chief), "1/3 local 0/1 machine 1/3");
  EXPECT_EQ(Meeting(chief), "c:9");
  EXPECT_FALSE(Detected({{"TF_CONFIG", R"({"task":{"type":"worker","index":0}})"}}).launched());
}

TEST(Contracts, TpuVariables) {
  const LaunchContract contract = Detected({{"TPU_WORKER_ID", "1"},
                                            {"TPU_WORKER_HOSTNAMES", "t0.svc,t1.svc"},
                                            {"MEGASCALE_NUM_SLICES", "2"},
                                            {"MEGASCALE_SLICE_ID", "1"},
                                            {"MEGASCALE_COORDINATOR_ADDRESS", "lead:8080"}});
  EXPECT_EQ(contract.rank, 3);
  EXPECT_EQ(contract.size, 4);
  EXPECT_EQ(Meeting(contract), "lead:8476");
}

}  // namespace
}  // namespace millrace
