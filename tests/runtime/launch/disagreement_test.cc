// Two launchers in one environment: nested ones that agree, and ones of which only one can be right.
#include <gmock/gmock.h>

#include "tests/runtime/launch/environments.h"

namespace millrace {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

Variables Both(Variables a, const Variables& b) {
  a.insert(b.begin(), b.end());
  return a;
}

Variables OpenMpi(int rank, int size, int local_size) {
  return {{"OMPI_COMM_WORLD_RANK", std::to_string(rank)},
          {"OMPI_COMM_WORLD_SIZE", std::to_string(size)},
          {"OMPI_COMM_WORLD_LOCAL_RANK", std::to_string(rank % local_size)},
          {"OMPI_COMM_WORLD_LOCAL_SIZE", std::to_string(local_size)}};
}

Variables Slurm(int task, int tasks, int nodes) {
  return {{"SLURM_JOB_ID", "7"},
          {"SLURM_STEP_ID", "0"},
          {"SLURM_PROCID", std::to_string(task)},
          {"SLURM_STEP_NUM_TASKS", std::to_string(tasks)},
          {"SLURM_STEP_NUM_NODES", std::to_string(nodes)},
          {"SLURM_NODEID", std::to_string(task * nodes / tasks)},
          {"SLURM_STEP_NODELIST", "n[1-64]"}};
}

Variables Torchrun(int rank, int size, int local_size) {
  return {{"TORCHELASTIC_RUN_ID", "x"},
          {"RANK", std::to_string(rank)},
          {"WORLD_SIZE", std::to_string(size)},
          {"LOCAL_RANK", std::to_string(rank % local_size)},
          {"LOCAL_WORLD_SIZE", std::to_string(local_size)},
          {"GROUP_RANK", std::to_string(rank / local_size)},
          {"GROUP_WORLD_SIZE", std::to_string(size / local_size)},
          {"MASTER_ADDR", "n1"},
          {"MASTER_PORT", "29500"}};
}

TEST(Disagreement, BothSidesAreShownWithWhereTheyStand) {
  const std::string message = Refusal(Both(OpenMpi(1, 4, 4), Slurm(3, 4, 1)));
  EXPECT_THAT(message,
              AllOf(HasSubstr("MPI says 1 (OMPI_COMM_WORLD_RANK=1)"), HasSubstr("Slurm says 3 (SLURM_PROCID=3)"),
                    HasSubstr("MILLRACE_LAUNCH=mpi"), HasSubstr("the rank")));
  EXPECT_EQ(message.find('\n'), std::string::npos);
}

TEST(Disagreement, OfSizes) {
  EXPECT_THAT(Refusal(Both(OpenMpi(1, 4, 4), Slurm(1, 8, 1))),
              AllOf(HasSubstr("OMPI_COMM_WORLD_SIZE=4"), HasSubstr("SLURM_STEP_NUM_TASKS=8")));
}

TEST(Disagreement, OfCoordinatorsThatAreSaid) {
  const Variables env = {{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "a"}, {"MASTER_PORT", "1234"}};
  EXPECT_THAT(Refusal(Both(env, {{"MILLRACE_COORDINATOR", "b:1234"}})),
              AllOf(HasSubstr("the coordinator"), HasSubstr("a:1234"), HasSubstr("b:1234")));
  EXPECT_EQ(Refusal(Both(env, {{"MILLRACE_COORDINATOR", "a:1234"}})), "");
  EXPECT_THAT(Refusal(Both(env, {{"MILLRACE_COORDINATOR", "a:1235"}})), HasSubstr("a:1235"));
}

TEST(Disagreement, NamesOfThisMachineAreOne) {
  EXPECT_EQ(Refusal({{"RANK", "0"},
                     {"WORLD_SIZE", "2"},
                     {"MASTER_ADDR", "localhost"},
                     {"MILLRACE_COORDINATOR", "127.0.0.1:29500"}}),
            "");
}

TEST(Disagreement, OfFlagsAndEnvironment) {
  LaunchEnvironment environment = With(OpenMpi(1, 2, 2));
  environment.flags.rank = 0;
  EXPECT_THAT(Refusal(environment), AllOf(HasSubstr("--rank=0"), HasSubstr("OMPI_COMM_WORLD_RANK=1")));
  environment.flags.rank = 1;
  EXPECT_EQ(Refusal(environment), "");
}

TEST(Disagreement, OfHorovodAndTorchrun) {
  EXPECT_THAT(Refusal(Both(Torchrun(0, 2, 2), {{"HOROVOD_RANK", "1"}, {"HOROVOD_SIZE", "2"}})),
              HasSubstr("HOROVOD_RANK=1"));
}

TEST(Disagreement, IsSettledByName) {
  const Variables variables = Both(OpenMpi(1, 4, 4), Slurm(3, 4, 1));
  EXPECT_EQ(Detected(Both(variables, {{"MILLRACE_LAUNCH", "slurm"}})).rank, 3);
  EXPECT_EQ(Detected(Both(variables, {{"MILLRACE_LAUNCH", "mpi"}})).rank, 1);
  EXPECT_EQ(Detected(Both(variables, {{"MILLRACE_LAUNCH", "single"}})).size, 1);
  EXPECT_THAT(Refusal(Both(variables, {{"MILLRACE_LAUNCH", "sulrm"}})), HasSubstr("kubernetes"));
}

TEST(Nesting, EqualAnswersAreOne) {
  const LaunchContract contract = Detected(Both(OpenMpi(2, 4, 2), Slurm(2, 4, 2)));
  EXPECT_EQ(contract.rank, 2);
  EXPECT_EQ(contract.source_key, "mpi");
  EXPECT_EQ(Meeting(contract), "n1:61447") << "Slurm names a host where MPI names none";
}

TEST(Nesting, MpirunsDaemonsAreSlurmTasks) { EXPECT_EQ(Detected(Both(OpenMpi(3, 4, 2), Slurm(1, 2, 2))).rank, 3); }

TEST(Nesting, MpirunInABatchScript) {
  EXPECT_EQ(
      Detected(Both(OpenMpi(3, 4, 4), {{"SLURM_JOB_ID", "7"}, {"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "4"}})).rank, 3);
}

TEST(Nesting, OneTorchrunAMachineUnderSrun) {
  EXPECT_EQ(Detected(Both(Torchrun(3, 4, 2), Slurm(1, 2, 2))).rank, 3);
  // torchrun may number machines by the order in which they come.
  EXPECT_EQ(Detected(Both(Torchrun(3, 4, 2), Slurm(0, 2, 2))).rank, 3);
  EXPECT_EQ(Detected(Both(Torchrun(1, 2, 1), Slurm(0, 2, 2))).rank, 1);
  EXPECT_THAT(Refusal(Both(Torchrun(3, 4, 2), Slurm(1, 3, 3))), HasSubstr("WORLD_SIZE=4"));
}

TEST(Nesting, TorchrunHasUsedItsArguments) {
  const Variables arguments = {
      {"PET_NNODES", "1:4"}, {"PET_NPROC_PER_NODE", "9"}, {"PET_RDZV_ENDPOINT", "elsewhere:1"}};
  EXPECT_EQ(Detected(Both(Torchrun(1, 2, 2), arguments)).rank, 1);
}

}  // namespace
}  // namespace millrace
