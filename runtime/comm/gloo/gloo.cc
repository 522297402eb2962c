#include "runtime/comm/gloo/gloo.h"

#include <csignal>
#include <cstdio>
#include <exception>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "proto/status_macros.h"
#include "runtime/comm/gloo/communicator.h"
#include "runtime/comm/gloo/sockets.h"

namespace millrace {
namespace {

namespace tcp = gloo::transport::tcp;

constexpr int kRetries = 5;

// gloo writes to sockets without MSG_NOSIGNAL: a peer that is gone would end the process.
void IgnoreBrokenPipes() {
  struct sigaction now = {};
  if (::sigaction(SIGPIPE, nullptr, &now) == 0 && now.sa_handler == SIG_DFL) ::signal(SIGPIPE, SIG_IGN);
}

absl::StatusOr<tcp::attr> Resolve(const GlooOptions& options) {
  tcp::attr wanted;
  wanted.hostname = options.host;
  wanted.iface = options.interface;
  try {
    return tcp::CreateDeviceAttr(wanted);
  } catch (const std::exception& e) {
    return absl::InvalidArgumentError(absl::StrCat(
        "gloo: ", options.interface.empty() ? "host '" : "interface '",
        options.interface.empty() ? options.host : options.interface,
        "' has no address on this machine; give the address or interface that the other ranks can reach: ", e.what()));
  }
}

absl::StatusOr<std::shared_ptr<tcp::Device>> OpenDevice(const tcp::attr& attr) {
  try {
    return std::dynamic_pointer_cast<tcp::Device>(tcp::CreateDevice(attr));
  } catch (const std::exception& e) {
    return absl::UnavailableError(absl::StrCat("gloo: cannot open its event loop: ", e.what()));
  }
}

// What one rank says of one attempt: nothing when all went well.
class Attempts {
 public:
  Attempts(Exchange& exchange, const GlooOptions& options, const tcp::attr& attr)
      : exchange_(exchange), options_(options), attr_(attr) {}

  absl::StatusOr<std::unique_ptr<Communicator>> Run() {
    for (int attempt = 0;; ++attempt) {
      std::unique_ptr<Communicator> made;
      MR_ASSIGN_OR_RETURN(const std::string trouble, TryOnce(attempt, &made));
      if (trouble.empty()) return made;
      const std::string text =
          absl::StrCat("gloo: connecting ", exchange_.size(), " ranks, attempt ", attempt + 1, ": ", trouble);
      if (attempt == kRetries) return absl::UnavailableError(text);
      if (exchange_.rank() == 0) std::fprintf(stderr, "millrace: %s; trying new ports\n", text.c_str());
    }
  }

 private:
  // The first trouble of any rank, the same on all; an error when a rank does not even answer.
  absl::StatusOr<std::string> TryOnce(int attempt, std::unique_ptr<Communicator>* made) {
    absl::Status mine;
    gloo_comm::OpenDoor own;
    absl::StatusOr<gloo_comm::OpenDoor> opened = gloo_comm::Open(attr_.ai_addr);
    if (opened.ok()) own = *std::move(opened);
    MR_ASSIGN_OR_RETURN(const std::vector<std::string> told, Gather(attempt, "door", Encode(own.door)));
    absl::StatusOr<std::unique_ptr<Communicator>> joined = opened.ok() ? Join(own, told) : opened.status();
    MR_ASSIGN_OR_RETURN(const std::vector<std::string> verdicts,
                        Gather(attempt, "verdict", joined.ok() ? "" : std::string(joined.status().message())));
    for (const std::string& verdict : verdicts) {
      if (!verdict.empty()) return verdict;
    }
    *made = *std::move(joined);
    return std::string();
  }

  absl::StatusOr<std::unique_ptr<Communicator>> Join(const gloo_comm::OpenDoor& own,
                                                     const std::vector<std::string>& told) {
    std::vector<gloo_comm::Door> doors;
    for (const std::string& text : told) {
      MR_ASSIGN_OR_RETURN(const gloo_comm::Door door, gloo_comm::DecodeDoor(text));
      doors.push_back(door);
    }
    MR_ASSIGN_OR_RETURN(std::vector<gloo_comm::Socket> sockets,
                        gloo_comm::Connect(own, doors, exchange_.rank(), absl::Now() + options_.connect_within));
    MR_ASSIGN_OR_RETURN(std::shared_ptr<tcp::Device> device, OpenDevice(attr_));
    return gloo_comm::GlooCommunicator::Make(std::move(device), exchange_.rank(), std::move(sockets), options_.waits);
  }

  absl::StatusOr<std::vector<std::string>> Gather(int attempt, const char* what, const std::string& mine) {
    const std::string key = absl::StrCat("gloo/", options_.name, "/", attempt, "/", what);
    return exchange_.AllGather(key, mine, absl::Now() + options_.answer_within);
  }

  Exchange& exchange_;
  const GlooOptions& options_;
  const tcp::attr& attr_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Communicator>> MakeGlooCommunicator(Exchange& exchange, const GlooOptions& options) {
  IgnoreBrokenPipes();
  MR_ASSIGN_OR_RETURN(const tcp::attr attr, Resolve(options));
  return Attempts(exchange, options, attr).Run();
}

}  // namespace millrace
