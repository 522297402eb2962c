// Values that no launcher would set: each is refused in one line that names where it stands.
#include <gmock/gmock.h>

#include "tests/runtime/launch/environments.h"

namespace millrace {
namespace {

using ::testing::HasSubstr;

struct Hostile {
  const char* name;
  Variables variables;
  std::string must_say;
};

class HostileValues : public ::testing::TestWithParam<Hostile> {};

TEST_P(HostileValues, AreRefusedInOneLine) {
  const std::string message = Refusal(GetParam().variables);
  EXPECT_NE(message, "") << "was accepted";
  EXPECT_THAT(message, HasSubstr(GetParam().must_say));
  EXPECT_EQ(message.find('\n'), std::string::npos);
  EXPECT_LT(message.size(), 600u);
}

Variables Env(const std::string& rank, const std::string& size) { return {{"RANK", rank}, {"WORLD_SIZE", size}}; }
Variables Master(const std::string& host, const std::string& port) {
  return {{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", host}, {"MASTER_PORT", port}};
}
Variables Slurm(const std::string& name, const std::string& value) {
  Variables variables = {{"SLURM_JOB_ID", "7"},
                         {"SLURM_STEP_ID", "0"},
                         {"SLURM_PROCID", "0"},
                         {"SLURM_NODEID", "1"},
                         {"SLURM_STEP_NUM_TASKS", "4"}};
  variables[name] = value;
  return variables;
}
Variables Tf(const std::string& text) { return {{"TF_CONFIG", text}}; }

INSTANTIATE_TEST_SUITE_P(
    Launch, HostileValues,
    ::testing::Values(
        Hostile{"negative_rank", Env("-1", "2"), "RANK='-1'"}, Hostile{"rank_of_size", Env("2", "2"), "RANK=2"},
        Hostile{"zero_ranks", Env("0", "0"), "WORLD_SIZE='0'"}, Hostile{"word", Env("abc", "2"), "RANK='abc'"},
        Hostile{"empty", Env("", "2"), "RANK=''"}, Hostile{"empty_size", Env("0", ""), "WORLD_SIZE=''"},
        Hostile{"sign", Env("+1", "2"), "RANK='+1'"}, Hostile{"space", Env(" 1", "2"), "RANK=' 1'"},
        Hostile{"fraction", Env("1.0", "2"), "RANK"}, Hostile{"hexadecimal", Env("0x1", "2"), "RANK"},
        Hostile{"overflow", Env("18446744073709551617", "2"), "RANK"},
        Hostile{"too_many", Env("0", "1048577"), "WORLD_SIZE"}, Hostile{"line_end", Env("1\n2", "4"), "RANK='1\\n2'"},
        Hostile{"long", Env(std::string(100000, '1'), "4"), "RANK='111"},
        Hostile{"control", Env("\x1b[2J", "4"), "\\x1b"},
        Hostile{"local_rank",
                {{"RANK", "0"}, {"WORLD_SIZE", "4"}, {"LOCAL_RANK", "2"}, {"LOCAL_WORLD_SIZE", "2"}},
                "LOCAL_RANK=2"},
        Hostile{"local_size", {{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"LOCAL_WORLD_SIZE", "4"}}, "LOCAL_WORLD_SIZE=4"},
        Hostile{"local_rank_of_few", {{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"LOCAL_RANK", "2"}}, "LOCAL_RANK=2"},
        Hostile{"machine",
                {{"RANK", "0"}, {"WORLD_SIZE", "4"}, {"GROUP_RANK", "2"}, {"GROUP_WORLD_SIZE", "2"}},
                "GROUP_RANK=2"},
        Hostile{"port", Master("a", "70000"), "MASTER_PORT='70000'"},
        Hostile{"port_0", Master("a", "0"), "MASTER_PORT"}, Hostile{"port_word", Master("a", "ssh"), "MASTER_PORT"},
        Hostile{"host", Master("a b", "1"), "MASTER_ADDR"}, Hostile{"no_host", Master("", "1"), "MASTER_ADDR=''"},
        Hostile{"option", Master("-oProxy", "1"), "MASTER_ADDR"},
        Hostile{"long_host", Master(std::string(254, 'a'), "1"), "MASTER_ADDR"},
        Hostile{"shell", Master("$(id)", "1"), "MASTER_ADDR"},
        Hostile{"torchrun_without_rank", {{"TORCHELASTIC_RUN_ID", "x"}, {"WORLD_SIZE", "2"}}, "RANK"},
        Hostile{"own_coordinator",
                {{"MILLRACE_RANK", "0"}, {"MILLRACE_SIZE", "2"}, {"MILLRACE_COORDINATOR", "a:b"}},
                "MILLRACE_COORDINATOR"},
        Hostile{"brackets", {{"MILLRACE_COORDINATOR", "[::1"}}, "MILLRACE_COORDINATOR"},
        Hostile{"rank_without_size", {{"MILLRACE_RANK", "0"}}, "MILLRACE_RANK=0"},
        Hostile{"size_without_rank", {{"MILLRACE_SIZE", "4"}}, "MILLRACE_SIZE=4"},
        Hostile{"elastic", {{"PET_NNODES", "1:4"}}, "PET_NNODES"},
        Hostile{"node", {{"PET_NNODES", "2"}, {"PET_NODE_RANK", "2"}}, "PET_NODE_RANK=2"},
        Hostile{"nproc", {{"PET_NPROC_PER_NODE", "many"}}, "PET_NPROC_PER_NODE"},
        Hostile{"product", {{"PET_NNODES", "1048576"}, {"PET_NPROC_PER_NODE", "1048576"}}, "PET_NPROC_PER_NODE"},
        Hostile{"mpi", {{"OMPI_COMM_WORLD_RANK", "4"}, {"OMPI_COMM_WORLD_SIZE", "4"}}, "OMPI_COMM_WORLD_RANK=4"},
        Hostile{"mpi_half", {{"OMPI_COMM_WORLD_RANK", "1"}}, "OMPI_COMM_WORLD_RANK=1"},
        Hostile{"pmix", {{"PMIX_RANK", "4294967294"}, {"PMIX_NAMESPACE", "x"}}, "PMIX_RANK"},
        Hostile{"nodelist", Slurm("SLURM_STEP_NODELIST", "node[1-"), "SLURM_STEP_NODELIST"},
        Hostile{"nodelist_large", Slurm("SLURM_STEP_NODELIST", "n[0-99999999999]"), "SLURM_STEP_NODELIST"},
        Hostile{"tasks", Slurm("SLURM_STEP_TASKS_PER_NODE", "2(x"), "SLURM_STEP_TASKS_PER_NODE"},
        Hostile{"slurm_job",
                {{"SLURM_JOB_ID", "x"},
                 {"SLURM_STEP_ID", "0"},
                 {"SLURM_PROCID", "0"},
                 {"SLURM_NTASKS", "2"},
                 {"SLURM_STEP_NODELIST", "a"}},
                "SLURM_JOB_ID"},
        Hostile{"horovod", {{"HOROVOD_RANK", "-1"}, {"HOROVOD_SIZE", "2"}}, "HOROVOD_RANK"},
        Hostile{"index",
                {{"JOB_COMPLETION_INDEX", "9"}, {"KUBERNETES_SERVICE_HOST", "x"}, {"WORLD_SIZE", "2"}},
                "JOB_COMPLETION_INDEX=9"},
        Hostile{"tf_cut", Tf(R"({"cluster":{"worker":["a:1")"), "TF_CONFIG"}, Hostile{"tf_list", Tf("[]"), "TF_CONFIG"},
        Hostile{"tf_deep", Tf(std::string(50000, '[')), "TF_CONFIG"},
        Hostile{"tf_numbers", Tf(R"({"cluster":{"worker":[1]},"task":{"type":"worker","index":0}})"), "cluster.worker"},
        Hostile{"tf_index", Tf(R"({"cluster":{"worker":["a:1"]},"task":{"type":"worker","index":1}})"), "task.index"},
        Hostile{"tf_negative", Tf(R"({"cluster":{"worker":["a:1"]},"task":{"type":"worker","index":-1}})"),
                "task.index"},
        Hostile{"tf_fraction", Tf(R"({"cluster":{"worker":["a:1"]},"task":{"type":"worker","index":0.5}})"),
                "task.index"},
        Hostile{"tf_ps", Tf(R"({"cluster":{"worker":["a:1"],"ps":["b:1"]},"task":{"type":"ps","index":0}})"), "'ps'"},
        Hostile{"tf_no_task", Tf(R"({"cluster":{"worker":["a:1"]}})"), "task.type"},
        Hostile{"tf_no_port", Tf(R"({"cluster":{"worker":["a"]},"task":{"type":"worker","index":0}})"), "host:port"},
        Hostile{"tpu", {{"TPU_WORKER_ID", "2"}, {"TPU_WORKER_HOSTNAMES", "a,b"}}, "TPU_WORKER_ID"},
        Hostile{"tpu_hosts", {{"TPU_WORKER_ID", "0"}, {"TPU_WORKER_HOSTNAMES", ""}}, "TPU_WORKER_HOSTNAMES"}),
    [](const ::testing::TestParamInfo<Hostile>& info) { return info.param.name; });

TEST(HostileFlags, AreRefused) {
  LaunchEnvironment environment = With({});
  environment.flags.rank = -2;
  EXPECT_THAT(Refusal(environment), HasSubstr("--rank"));
  environment.flags = {5, 4, -1, ""};
  EXPECT_THAT(Refusal(environment), HasSubstr("--rank=5"));
  environment.flags = {0, 4, -1, "host:99999"};
  EXPECT_THAT(Refusal(environment), HasSubstr("--coordinator"));
}

}  // namespace
}  // namespace millrace
