// A rank that joins its job, exchanges in rounds and obeys its orders; and a supervisor of such ranks.
//
//   rank_program [ORDER...]                     "1:kill@3": rank 1 kills itself in round 3, before it exchanges
//   rank_program --supervise RANKS COMMAND...   runs the ranks; the exit code is that of the job
//   rank_program --host HOST:PORT [ORDER...]    runs the coordinator too, as rank 0 does without a supervisor
//
// Orders: kill, stop, segv, exit3, exit78, quit (exits 0 without farewell), report (an error of its own), child (starts
// one that sleeps), spin (never comes back, but beats), first-kill (kill, in the first start only).
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "runtime/rendezvous/environment.h"
#include "runtime/rendezvous/server.h"
#include "runtime/supervise/supervisor.h"

namespace millrace {
namespace {

volatile sig_atomic_t stop_signal = 0;

int Rounds() {
  const char* const text = std::getenv("TEST_ROUNDS");
  return text != nullptr ? std::atoi(text) : 20;
}

long long MonotonicMs() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

void Say(const std::string& line) {
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

class Rank {
 public:
  Rank(RendezvousClient& client, const RendezvousOptions& options, std::vector<std::string> orders)
      : client_(client), options_(options), orders_(std::move(orders)) {}

  int Run() {
    for (int round = 0; round < Rounds(); ++round) {
      client_.SetPosition({.instruction = round, .action = "ROUND"});
      for (const std::string& order : orders_) {
        if (order == absl::StrCat(options_.rank, ":", NameOf(order), "@", round)) Obey(NameOf(order));
      }
      const std::string mine = stop_signal != 0 ? "stop" : "";
      const auto all =
          client_.exchange().AllGather(absl::StrCat("round ", round), mine, absl::Now() + absl::Seconds(3));
      if (!all.ok()) return Failed(all.status());
      for (const std::string& word : *all) {
        if (word == "stop") return Stopped();
      }
      usleep(20000);
    }
    return Left(0);
  }

 private:
  static std::string NameOf(const std::string& order) {
    return order.substr(order.find(':') + 1, order.find('@') - order.find(':') - 1);
  }

  void Obey(const std::string& order) {
    Say(absl::StrCat("obeys ", order, " at ", MonotonicMs()));
    if (order == "kill") raise(SIGKILL);
    if (order == "first-kill" && options_.identity.incarnation == 0) raise(SIGKILL);
    if (order == "stop") raise(SIGSTOP);
    if (order == "segv") raise(SIGSEGV);
    if (order == "exit3") _exit(3);
    if (order == "exit78") _exit(78);
    if (order == "quit") _exit(0);
    if (order == "report") std::exit(Failed(absl::InternalError("the kernel of MatMul failed")));
    for (volatile bool spin = order == "spin"; spin;) {
    }
    if (order != "child") return;
    const pid_t child = fork();
    if (child == 0) execlp("sleep", "sleep", "100", nullptr);
    Say(absl::StrCat("pid ", child));
  }

  int Failed(const absl::Status& status) {
    const JobFailure first = client_.ReportFailure(status);
    Say(absl::StrCat("first error at ", MonotonicMs(), ": ", first.message));
    _exit(first.rank == options_.rank ? 70 : 75);
  }
  int Stopped() {
    Say("stops in order");
    return Left(stop_signal == SIGTERM ? 75 : 130);
  }
  int Left(int code) {
    const absl::Status left = client_.Leave();
    if (left.ok()) return code;
    Say(absl::StrCat("cannot leave: ", left.message()));
    return 1;
  }

  RendezvousClient& client_;
  const RendezvousOptions& options_;
  const std::vector<std::string> orders_;
};

absl::Status Host(const std::string& bind, const RendezvousOptions& rank, std::unique_ptr<RendezvousServer>* server) {
  ServerOptions options;
  options.identity = rank.identity;
  options.bind = bind;
  options.insecure = true;
  options.host_rank = rank.rank;
  options.roster.silence = absl::Seconds(1);
  absl::StatusOr<JobToken> token = JobToken::FromFile(rank.token_file);
  if (!token.ok()) return token.status();
  options.token = *token;
  auto started = RendezvousServer::Start(options);
  if (!started.ok()) return started.status();
  *server = *std::move(started);
  return absl::OkStatus();
}

int RunRank(std::vector<std::string> orders) {
  for (const int signal : {SIGINT, SIGTERM}) std::signal(signal, [](int number) { stop_signal = number; });
  const rlimit no_core{0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  absl::StatusOr<RendezvousOptions> options = OptionsFromEnvironment(&std::getenv);
  if (!options.ok()) return Say(std::string(options.status().message())), 2;
  options->insecure = true;
  options->identity.version = "test";
  options->patience = absl::Seconds(20);
  std::unique_ptr<RendezvousServer> server;
  if (orders.size() >= 2 && orders[0] == "--host") {
    const absl::Status hosted = Host(orders[1], *options, &server);
    if (!hosted.ok()) return Say(std::string(hosted.message())), 1;
    orders.erase(orders.begin(), orders.begin() + 2);
  }
  Say(absl::StrCat("pid ", getpid()));
  auto client = RendezvousClient::Join(*options);
  if (!client.ok()) return Say(std::string(client.status().message())), 1;
  Say(absl::StrCat("joined ", options->coordinator, ", start ", options->identity.incarnation));
  const int code = Rank(**client, *options, std::move(orders)).Run();
  if (server != nullptr) server->AwaitEmpty(absl::Seconds(2));
  return code;
}

int RunSupervisor(int argc, char** argv) {
  SuperviseOptions options;
  if (!absl::SimpleAtoi(argv[2], &options.ranks)) return 2;
  options.command.assign(argv + 3, argv + argc);
  const auto result = Supervise(options);
  if (!result.ok()) return std::fprintf(stderr, "%s\n", std::string(result.status().message()).c_str()), 1;
  return result->exit_code;
}

}  // namespace
}  // namespace millrace

int main(int argc, char** argv) {
  if (argc > 3 && std::strcmp(argv[1], "--supervise") == 0) return millrace::RunSupervisor(argc, argv);
  return millrace::RunRank(std::vector<std::string>(argv + 1, argv + argc));
}
