// Cloud TPU's metadata server, a good one and bad ones, and the client that asks it.
#include <gmock/gmock.h>

#include "runtime/launch/http_get.h"
#include "tests/runtime/launch/environments.h"
#include "tests/runtime/launch/metadata_server.h"

namespace millrace {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// Host `worker` of a slice of two.
std::string SliceOfTwo(const std::string& request, const std::string& worker) {
  if (request.find("GET /computeMetadata/v1/instance/attributes/agent-worker-number HTTP") == 0) return Found(worker);
  if (request.find("GET /computeMetadata/v1/instance/attributes/worker-network-endpoints HTTP") == 0) {
    return Found("unknown:unknown:10.0.0.2,unknown:unknown:10.0.0.3");
  }
  return "HTTP/1.0 404 Not Found\r\n\r\n";
}

absl::StatusOr<std::string> Got(const std::string& reply, absl::Duration timeout = absl::Seconds(5)) {
  MetadataServer server([reply](const std::string&) { return reply; });
  return HttpGet(server.url() + "/x", "Metadata-Flavor: Google", timeout);
}

TEST(Tpu, TwoHostsFormAJob) {
  for (const char* worker : {"0", "1"}) {
    MetadataServer server([&](const std::string& request) { return SliceOfTwo(request, worker); });
    LaunchEnvironment environment = With({});
    environment.metadata_url = server.url();
    const LaunchContract contract = Detected(environment);
    EXPECT_EQ(std::to_string(contract.rank), worker);
    EXPECT_EQ(contract.size, 2);
    EXPECT_EQ(Meeting(contract), "10.0.0.2:8476");
    ASSERT_EQ(server.requests().size(), 2u);
    EXPECT_THAT(server.requests()[0], HasSubstr("\r\nMetadata-Flavor: Google\r\n"));
  }
}

TEST(Tpu, TheServerMayBeNamedByAVariable) {
  MetadataServer server([&](const std::string& request) { return SliceOfTwo(request, "1\n"); });
  EXPECT_EQ(Detected({{"GCE_METADATA_IP", server.url().substr(7)}}).rank, 1);
}

TEST(Tpu, AMachineOfNoSliceIsNone) {
  MetadataServer server([](const std::string&) { return "HTTP/1.0 404 Not Found\r\n\r\n"; });
  LaunchEnvironment environment = With({});
  environment.metadata_url = server.url();
  EXPECT_FALSE(Detected(environment).launched());
}

TEST(Tpu, NobodyThereIsNone) {
  LaunchEnvironment environment = With({});
  environment.metadata_url = "http://127.0.0.1:1";
  EXPECT_FALSE(Detected(environment).launched());
}

TEST(Tpu, NobodyIsAskedWithoutAReason) { EXPECT_FALSE(Detected(Variables{{"TPU_NAME", "t"}}).launched()); }

TEST(Tpu, WrongAnswersAreRefused) {
  MetadataServer server([&](const std::string& request) { return SliceOfTwo(request, "2"); });
  LaunchEnvironment environment = With({});
  environment.metadata_url = server.url();
  EXPECT_THAT(Refusal(environment), HasSubstr("agent-worker-number"));
}

TEST(Tpu, ASilentServerDelaysOnlySoLong) {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), length), 0);
  ASSERT_EQ(listen(listener, 1), 0);
  getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length);
  const std::string url = "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port)) + "/";
  EXPECT_EQ(HttpGet(url, "A: b", absl::Milliseconds(100)).status().code(), absl::StatusCode::kUnavailable);
  close(listener);
}

TEST(HttpGet, ReadsABody) {
  EXPECT_EQ(Got(Found("seven")).value(), "seven");
  EXPECT_EQ(Got("HTTP/1.1 200 OK\r\n\r\nto the end").value(), "to the end");
  EXPECT_EQ(Got(Found("")).value(), "");
}

TEST(HttpGet, RefusesWhatIsNoAnswer) {
  EXPECT_EQ(Got("").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Got("SSH-2.0-OpenSSH\r\n\r\n").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Got("HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\ncut").status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Got("HTTP/1.0 200 OK\r\nContent-Length: -1\r\n\r\n").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Got("HTTP/1.0 302 Found\r\nLocation: http://x/\r\n\r\n").status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Got("HTTP/1.0 404 Not Found\r\n\r\n").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Got("HTTP/1.0 200 OK\r\n\r\n" + std::string(100000, 'x')).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Got("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n").status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(HttpGet("https://x/", "A: b", absl::Seconds(1)).ok());
}

}  // namespace
}  // namespace millrace
