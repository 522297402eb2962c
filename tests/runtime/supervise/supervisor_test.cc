// Real processes: started, killed, stopped, restarted; the right culprit, in time, and nothing left behind.
#include "runtime/supervise/supervisor.h"

#include <dirent.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "runtime/supervise/child.h"

namespace millrace {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kProgram[] = "tests/runtime/supervise/rank_program";

long long MonotonicMs() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

int OpenDescriptors() {
  int count = 0;
  DIR* const folder = opendir("/proc/self/fd");
  while (readdir(folder) != nullptr) ++count;
  closedir(folder);
  return count;
}

// It has ended, though its parent may not have buried it.
bool IsGone(long long pid) {
  std::ifstream file(absl::StrCat("/proc/", pid, "/stat"));
  std::string stat;
  if (!std::getline(file, stat)) return true;
  const size_t name_end = stat.rfind(')');
  return name_end != std::string::npos && name_end + 2 < stat.size() && stat[name_end + 2] == 'Z';
}

class SupervisorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    file_ = absl::StrCat(::testing::TempDir(), "/output.", getpid());
    fd_ = open(file_.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    ASSERT_GE(fd_, 0);
    options_.ranks = 3;
    options_.out = options_.err = fd_;
  }
  void TearDown() override {
    close(fd_);
    unlink(file_.c_str());
  }

  SuperviseResult Run(const std::vector<std::string>& orders) {
    options_.command = {kProgram};
    options_.command.insert(options_.command.end(), orders.begin(), orders.end());
    return RunCommand();
  }
  SuperviseResult RunCommand() {
    const absl::StatusOr<SuperviseResult> result = Supervise(options_);
    returned_ms_ = MonotonicMs();
    EXPECT_TRUE(result.ok()) << result.status();
    ExpectNobodyLeft();
    return result.value_or(SuperviseResult());
  }
  std::string Output() {
    std::ifstream file(file_);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }
  // The numbers that follow `word` in the output.
  std::vector<long long> NumbersAfter(const std::string& word) {
    std::vector<long long> numbers;
    const std::string output = Output();
    for (size_t at = output.find(word); at != std::string::npos; at = output.find(word, at + 1)) {
      numbers.push_back(std::atoll(output.c_str() + at + word.size()));
    }
    return numbers;
  }
  void ExpectNobodyLeft() {
    for (const long long pid : NumbersAfter("] pid ")) EXPECT_TRUE(IsGone(pid)) << "process " << pid;
  }
  bool AwaitOutput(const std::string& text, int times) {
    for (int i = 0; i < 2000; ++i) {
      const std::string output = Output();
      int found = 0;
      for (size_t at = output.find(text); at != std::string::npos; at = output.find(text, at + 1)) ++found;
      if (found >= times) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }
  // From the order that a rank obeyed to the return of Supervise.
  void ExpectInTime(const std::string& order, long long limit_ms) {
    const std::vector<long long> obeyed = NumbersAfter(absl::StrCat("obeys ", order, " at "));
    ASSERT_FALSE(obeyed.empty()) << Output();
    const std::vector<long long> told = NumbersAfter("first error at ");
    for (const long long at : told) EXPECT_LT(at - obeyed.back(), limit_ms);
    std::printf("%s: ranks knew after %lld ms, all gone after %lld ms\n", order.c_str(),
                told.empty() ? -1 : told.front() - obeyed.back(), returned_ms_ - obeyed.back());
    EXPECT_LT(returned_ms_ - obeyed.back(), limit_ms);
  }

  SuperviseOptions options_;
  std::string file_;
  int fd_ = -1;
  long long returned_ms_ = 0;
};

TEST_F(SupervisorTest, AllFinish) {
  options_.job = "a job";
  const int before = OpenDescriptors();
  for (int i = 0; i < 2; ++i) {
    const SuperviseResult result = Run({});
    EXPECT_EQ(result.exit_code, 0) << result.message << "\n" << Output();
    EXPECT_EQ(result.culprit, -1);
  }
  // gRPC keeps some of its own after the first job.
  const int first = OpenDescriptors();
  EXPECT_EQ(Run({}).exit_code, 0);
  EXPECT_LE(OpenDescriptors(), first) << before << " before the first";
  for (int rank = 0; rank < 3; ++rank)
    EXPECT_THAT(Output(), HasSubstr(absl::StrCat("[rank ", rank, "] joined 127.0.0.1:")));
}

TEST_F(SupervisorTest, AKilledRankIsNamedAndAllAreGone) {
  for (int rank = 0; rank < 3; ++rank) {
    ASSERT_EQ(ftruncate(fd_, 0), 0);
    const SuperviseResult result = Run({absl::StrCat(rank, ":kill@3")});
    EXPECT_EQ(result.culprit, rank) << result.message << "\n" << Output();
    EXPECT_EQ(result.exit_code, 137);
    EXPECT_THAT(result.message, HasSubstr("was killed by SIGKILL"));
    EXPECT_THAT(Output(), HasSubstr(absl::StrCat(": rank ", rank, " ")));
    ExpectInTime("kill", 3000);
  }
}

TEST_F(SupervisorTest, AStoppedRankIsNamedAndRemoved) {
  options_.heartbeat_timeout = absl::Seconds(1);
  for (int rank = 0; rank < 3; ++rank) {
    ASSERT_EQ(ftruncate(fd_, 0), 0);
    const SuperviseResult result = Run({absl::StrCat(rank, ":stop@15")});
    EXPECT_EQ(result.culprit, rank) << result.message << "\n" << Output();
    EXPECT_EQ(result.exit_code, 75);
    EXPECT_THAT(result.message,
                AllOf(HasSubstr(absl::StrCat("rank ", rank, " hung")), HasSubstr("it stood at instruction ")));
    ExpectInTime("stop", 4000);
  }
}

TEST_F(SupervisorTest, OtherWaysToEnd) {
  struct Case {
    const char* order;
    int exit_code;
    const char* message;
  };
  for (const Case& c : {Case{"segv", 139, "SIGSEGV"}, Case{"exit3", 3, "exited with code 3"},
                        Case{"quit", 75, "rank 1 died"}, Case{"report", 70, "rank 1: the kernel of MatMul failed"}}) {
    ASSERT_EQ(ftruncate(fd_, 0), 0);
    const SuperviseResult result = Run({absl::StrCat("1:", c.order, "@1")});
    EXPECT_EQ(result.culprit, 1) << c.order << ": " << result.message;
    EXPECT_EQ(result.exit_code, c.exit_code) << c.order;
    EXPECT_THAT(result.message, HasSubstr(c.message));
    ExpectInTime(c.order, 3000);
  }
}

TEST_F(SupervisorTest, ARankThatSpinsBeatsButIsRemovedWhenAnotherGivesUp) {
  const SuperviseResult result = Run({"1:spin@1"});
  EXPECT_NE(result.exit_code, 0);
  EXPECT_THAT(result.message, HasSubstr("no word from ranks 1"));
}

TEST_F(SupervisorTest, WhatARankStartedGoesWithIt) {
  EXPECT_EQ(Run({"0:child@1", "2:kill@3"}).culprit, 2);
  EXPECT_EQ(NumbersAfter("] pid ").size(), 4);
  EXPECT_EQ(Run({"0:child@1"}).exit_code, 0) << "also when all went well";
}

TEST_F(SupervisorTest, RestartsAllRanks) {
  options_.max_restarts = 2;
  const SuperviseResult result = Run({"1:first-kill@2"});
  EXPECT_EQ(result.exit_code, 0) << result.message;
  EXPECT_EQ(result.restarts, 1);
  EXPECT_THAT(Output(), AllOf(HasSubstr("[rank 0] joined"), HasSubstr("start 1")));
}

TEST_F(SupervisorTest, GivesUpAfterTheLastRestart) {
  options_.max_restarts = 1;
  const SuperviseResult result = Run({"1:kill@2"});
  EXPECT_EQ(result.exit_code, 137);
  EXPECT_EQ(result.restarts, 1);
  EXPECT_THAT(result.message, HasSubstr("after 1 restart"));
}

TEST_F(SupervisorTest, DoesNotRestartWhatWouldEndTheSameWay) {
  options_.max_restarts = 5;
  const SuperviseResult result = Run({"1:exit78@2"});
  EXPECT_EQ(result.exit_code, 78);
  EXPECT_EQ(result.restarts, 0);
}

TEST_F(SupervisorTest, SignalsReachTheRanks) {
  options_.environment = {{"TEST_ROUNDS", "100000"}};
  for (const auto& [signal, code] : {std::pair<int, int>{SIGINT, 130}, {SIGTERM, 75}}) {
    ASSERT_EQ(ftruncate(fd_, 0), 0);
    std::thread sender([this, signal = signal] {
      ASSERT_TRUE(AwaitOutput("] joined", 3)) << Output();
      kill(getpid(), signal);
    });
    const SuperviseResult result = Run({});
    sender.join();
    EXPECT_EQ(result.exit_code, code) << result.message << "\n" << Output();
    EXPECT_EQ(result.culprit, -1);
    EXPECT_THAT(Output(), HasSubstr("] stops in order"));
  }
}

TEST_F(SupervisorTest, CommandsThatKnowNothingOfUs) {
  options_.command = {"true"};
  EXPECT_EQ(RunCommand().exit_code, 0);
  options_.command = {"sh", "-c",
                      "echo to $MILLRACE_RANK of $MILLRACE_SIZE; sleep $((1 + 20 * (1 - MILLRACE_RANK % 2))); exit 4"};
  const SuperviseResult result = RunCommand();
  EXPECT_EQ(result.exit_code, 4) << result.message;
  EXPECT_EQ(result.culprit, 1);
  EXPECT_THAT(Output(), HasSubstr("[rank 2] to 2 of 3\n"));
  options_.command = {"no-such-program-anywhere"};
  const absl::Status missing = Supervise(options_).status();
  EXPECT_TRUE(absl::IsNotFound(missing)) << missing;
  EXPECT_THAT(std::string(missing.message()), HasSubstr("no-such-program-anywhere"));
}

TEST_F(SupervisorTest, TheTokenIsNotInTheEnvironment) {
  options_.ranks = 1;
  options_.command = {"sh", "-c", "env; echo bytes: $(wc -c < $MILLRACE_TOKEN_FILE); ls -l /proc/self/fd"};
  EXPECT_EQ(RunCommand().exit_code, 0);
  const std::string output = Output();
  EXPECT_THAT(output, AllOf(HasSubstr("MILLRACE_TOKEN_FILE=/proc/self/fd/"), HasSubstr("bytes: 64"),
                            HasSubstr("MILLRACE_RESTART=0"), Not(HasSubstr("socket:"))));
}

TEST_F(SupervisorTest, AKilledSupervisorTakesItsRanksAlong) {
  ChildOptions child;
  child.command = {kProgram, "--supervise", "3", kProgram, "0:child@1"};
  child.environment = {"TEST_ROUNDS=100000", absl::StrCat("PATH=", getenv("PATH"))};
  child.out = child.err = fd_;
  {
    absl::StatusOr<Child> supervisor = Child::Start(child);
    ASSERT_TRUE(supervisor.ok()) << supervisor.status();
    ASSERT_TRUE(AwaitOutput("] pid ", 4)) << Output();
    kill(supervisor->pid(), SIGKILL);
  }
  const long long killed = MonotonicMs();
  // The three ranks; what rank 0 started on its own is beyond what the kernel does for us.
  std::vector<long long> ranks = NumbersAfter("] pid ");
  ranks.pop_back();
  for (const long long pid : ranks) {
    while (!IsGone(pid) && MonotonicMs() < killed + 3000) usleep(1000);
    EXPECT_TRUE(IsGone(pid)) << pid;
  }
  std::printf("ranks gone %lld ms after their supervisor\n", MonotonicMs() - killed);
  kill(static_cast<pid_t>(NumbersAfter("] pid ").back()), SIGKILL);
}

TEST_F(SupervisorTest, LongLinesAndUnfinishedOnesComeOut) {
  options_.ranks = 1;
  options_.command = {"sh", "-c", "head -c 200000 /dev/zero | tr '\\0' x; printf 'no end' >&2"};
  EXPECT_EQ(RunCommand().exit_code, 0);
  const std::string output = Output();
  EXPECT_EQ(std::count(output.begin(), output.end(), 'x'), 200000);
  EXPECT_THAT(output, HasSubstr("[rank 0] no end\n"));
}

}  // namespace
}  // namespace millrace
