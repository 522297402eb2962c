#include "tools/submit/submission.h"

#include <algorithm>
#include <initializer_list>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"

namespace millrace {
namespace {

absl::Status Bad(absl::string_view flag, absl::string_view value, absl::string_view wanted) {
  return absl::InvalidArgumentError(
      absl::StrCat("--", flag, "=", absl::CHexEscape(value.substr(0, 80)), ": ", wanted, " is needed"));
}

// Letters, digits and these.
bool Made(absl::string_view text, absl::string_view of, size_t longest) {
  return !text.empty() && text.size() <= longest && std::all_of(text.begin(), text.end(), [&](char c) {
    return absl::ascii_isalnum(c) || absl::StrContains(of, absl::string_view(&c, 1));
  });
}

// 2, 0.5, 500m, 4Gi.
bool IsQuantity(absl::string_view text) {
  const size_t digits = std::min(text.find_first_not_of("0123456789."), text.size());
  const absl::string_view unit = text.substr(digits);
  const auto units = {"", "m", "k", "M", "G", "T", "Ki", "Mi", "Gi", "Ti"};
  return digits > 0 && digits <= 12 && text[0] != '.' && std::count(text.begin(), text.begin() + digits, '.') <= 1 &&
         std::find(units.begin(), units.end(), unit) != units.end();
}

bool IsAbsolutePath(absl::string_view path) {
  return absl::StartsWith(path, "/") && Made(path, "/._-+@=", 1024) && !absl::StrContains(path, "..");
}

absl::Status CheckNames(const Submission& s) {
  if (!IsDnsLabel(s.name)) {
    return Bad("name", s.name, "a DNS label (a-z, 0-9, '-', a letter first, at most 50 bytes)");
  }
  if (!Made(s.name_space, "-", 63) || s.name_space != absl::AsciiStrToLower(s.name_space)) {
    return Bad("namespace", s.name_space, "a DNS label");
  }
  if (!Made(s.image, "._/:@-", 500)) return Bad("image", s.image, "an image's name");
  if (!s.volume.empty() && !Made(s.volume, ".-", 253)) return Bad("volume", s.volume, "a claim's name");
  if (!s.tls_secret.empty() && !Made(s.tls_secret, ".-", 253))
    return Bad("tls-secret", s.tls_secret, "a secret's name");
  if (!IsAbsolutePath(s.mount) || s.mount == "/" || s.mount == "/tmp" || absl::StartsWith(s.mount, "/millrace")) {
    return Bad("mount", s.mount, "an absolute path that is not /, /tmp or /millrace");
  }
  if (!s.plan_at.empty() && !IsAbsolutePath(s.plan_at)) return Bad("plan-at", s.plan_at, "an absolute path");
  if (!IsQuantity(s.cpus)) return Bad("cpus", s.cpus, "a quantity like 2 or 500m");
  if (!IsQuantity(s.memory)) return Bad("memory", s.memory, "a quantity like 4Gi");
  return absl::OkStatus();
}

absl::Status CheckBatch(const Submission& s) {
  if (!s.partition.empty() && !Made(s.partition, "_.,-", 128))
    return Bad("partition", s.partition, "a partition's name");
  if (!Made(s.time_limit, ":-", 32)) return Bad("time", s.time_limit, "days-hours:minutes:seconds");
  if (!s.role.empty() && (!absl::StartsWith(s.role, "arn:") || !Made(s.role, ":/+=,.@_-", 2048))) {
    return Bad("role", s.role, "a role's ARN");
  }
  if (!s.bucket.empty() && (!absl::StartsWith(s.bucket, "s3://") || !Made(s.bucket, ":/._-", 1024))) {
    return Bad("bucket", s.bucket, "s3://bucket/prefix");
  }
  if (!absl::StartsWith(s.instance, "ml.") || !Made(s.instance, ".-", 64)) return Bad("instance", s.instance, "ml.*");
  if (!s.comm.empty() && s.comm != "gloo" && s.comm != "mpi") return Bad("comm", s.comm, "gloo or mpi");
  return absl::OkStatus();
}

absl::Status CheckNumbers(const Submission& s) {
  const struct {
    const char* flag;
    int64_t value, least, most;
  } numbers[] = {{"max-restarts", s.max_restarts, 0, 1000},
                 {"grace", s.grace_seconds, 1, 86400},
                 {"port", s.port, 1024, 65535},
                 {"ranks-per-node", s.ranks_per_node, 0, 4096}};
  for (const auto& n : numbers) {
    if (n.value < n.least || n.value > n.most) {
      return Bad(n.flag, absl::StrCat(n.value), absl::StrCat("a number from ", n.least, " to ", n.most));
    }
  }
  for (const std::string& flag : s.train_flags) {
    if (!absl::StartsWith(flag, "--") || flag.size() > 4096 || flag.find('\0') != std::string::npos) {
      return absl::InvalidArgumentError(
          absl::StrCat("'", absl::CHexEscape(flag.substr(0, 80)),
                       "': only flags of millrace train may follow the plan, as --name=value"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

bool IsDnsLabel(absl::string_view name) {
  return !name.empty() && name.size() <= 50 && absl::ascii_islower(name[0]) && name.back() != '-' &&
         std::all_of(name.begin(), name.end(),
                     [](char c) { return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-'; });
}

absl::Status CheckSubmission(bool nodes_are_containers, Submission* s) {
  MR_RETURN_IF_ERROR(CheckNames(*s));
  MR_RETURN_IF_ERROR(CheckBatch(*s));
  MR_RETURN_IF_ERROR(CheckNumbers(*s));
  if (s->ranks_per_node == 0) s->ranks_per_node = nodes_are_containers ? 1 : s->ranks;
  if (s->ranks % s->ranks_per_node != 0) {
    return Bad("ranks-per-node", absl::StrCat(s->ranks_per_node),
               absl::StrCat("a number that divides the plan's ", s->ranks, " ranks"));
  }
  s->nodes = s->ranks / s->ranks_per_node;
  const bool said = s->insecure || HasTrainFlag(*s, "insecure");
  if (s->nodes > 1 && !said && s->tls_secret.empty() && !HasTrainFlag(*s, "tls-authority")) {
    return absl::InvalidArgumentError(absl::StrCat(
        "ranks on ", s->nodes,
        " machines meet over the network, without encryption (docs/launching.md). Say --insecure if that network is "
        "yours alone; or give --tls-secret=NAME where the launcher is Kubernetes, elsewhere after -- the flags "
        "--tls-certificate, --tls-key and --tls-authority"));
  }
  return absl::OkStatus();
}

bool HasTrainFlag(const Submission& submission, absl::string_view flag) {
  return std::any_of(submission.train_flags.begin(), submission.train_flags.end(), [&](const std::string& given) {
    return given == absl::StrCat("--", flag) || absl::StartsWith(given, absl::StrCat("--", flag, "="));
  });
}

std::vector<std::string> TrainCommand(const Submission& submission, absl::string_view plan, absl::string_view job,
                                      absl::string_view comm) {
  const auto has = [&](absl::string_view flag) { return HasTrainFlag(submission, flag); };
  std::vector<std::string> argv = {submission.program, "train", absl::StrCat("--plan=", plan)};
  if (!job.empty()) argv.push_back(absl::StrCat("--job=", job));
  if (!has("comm") && !comm.empty()) argv.push_back(absl::StrCat("--comm=", comm));
  if (!has("resume")) argv.push_back("--resume=auto");
  if (submission.insecure && !has("insecure")) argv.push_back("--insecure");
  argv.insert(argv.end(), submission.train_flags.begin(), submission.train_flags.end());
  return argv;
}

}  // namespace millrace
