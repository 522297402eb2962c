#include "tools/submit/pod.h"

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace millrace {
namespace {

using Json = nlohmann::ordered_json;

// A ConfigMap holds 1 MiB as it is stored, base64 and names included.
constexpr size_t kConfigBytes = 700 << 10;
constexpr char kConfigFolder[] = "/millrace/config";
constexpr char kTokenFolder[] = "/millrace/token";
constexpr char kTlsFolder[] = "/millrace/tls";
constexpr int kUser = 10001;

std::string ConfigName(const Submission& s) { return absl::StrCat(s.name, "-plan"); }
std::string SecretName(const Submission& s) { return absl::StrCat(s.name, "-token"); }

// The file's own ending says whether it is text.
std::string FileName(absl::string_view stem, absl::string_view path) {
  return absl::StrCat(stem, absl::EndsWith(path, ".textproto") ? ".textproto" : ".pb");
}

struct Mounted {
  Json volumes = Json::array(), mounts = Json::array();

  void Add(const char* name, absl::string_view path, Json source, bool read_only) {
    Json volume = {{"name", name}};
    volume.update(source);
    volumes.push_back(volume);
    Json mount = {{"name", name}, {"mountPath", std::string(path)}};
    if (read_only) mount["readOnly"] = true;
    mounts.push_back(mount);
  }
};

Mounted MountsOf(const Submission& s) {
  Mounted mounted;
  const int for_group = 0440;
  if (s.plan_at.empty() || !s.job_bytes.empty()) {
    mounted.Add("plan", kConfigFolder, {{"configMap", {{"name", ConfigName(s)}}}}, true);
  }
  mounted.Add("token", kTokenFolder, {{"secret", {{"secretName", SecretName(s)}, {"defaultMode", for_group}}}}, true);
  if (!s.tls_secret.empty()) {
    mounted.Add("tls", kTlsFolder, {{"secret", {{"secretName", s.tls_secret}, {"defaultMode", for_group}}}}, true);
  }
  if (s.volume.empty()) {
    mounted.Add("data", s.mount, {{"emptyDir", Json::object()}}, false);
  } else {
    mounted.Add("data", s.mount, {{"persistentVolumeClaim", {{"claimName", s.volume}}}}, false);
  }
  mounted.Add("tmp", "/tmp", {{"emptyDir", Json::object()}}, false);
  return mounted;
}

}  // namespace

Json Variable(absl::string_view name, absl::string_view value) {
  return {{"name", std::string(name)}, {"value", std::string(value)}};
}

Json ObjectMetadata(const Submission& submission) {
  return {{"name", submission.name},
          {"namespace", submission.name_space},
          {"labels", {{"app.kubernetes.io/name", "millrace"}, {"app.kubernetes.io/instance", submission.name}}}};
}

absl::StatusOr<std::vector<Json>> PodObjects(const Submission& submission) {
  std::vector<Json> objects;
  Json files = Json::object();
  if (submission.plan_at.empty()) {
    files[FileName("plan", submission.plan_path)] = absl::Base64Escape(submission.plan_bytes);
  }
  if (!submission.job_bytes.empty()) {
    files[FileName("job", submission.job_path)] = absl::Base64Escape(submission.job_bytes);
  }
  const size_t bytes = (submission.plan_at.empty() ? submission.plan_bytes.size() : 0) + submission.job_bytes.size();
  if (bytes > kConfigBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(submission.plan_path, ": ", bytes, " bytes, more than a ConfigMap takes (", kConfigBytes,
                     "). Put the plan on a volume: --volume=CLAIM --plan-at=", submission.mount, "/plan.pb"));
  }
  if (!files.empty()) {
    Json config = {{"apiVersion", "v1"}, {"kind", "ConfigMap"}, {"metadata", ObjectMetadata(submission)}};
    config["metadata"]["name"] = ConfigName(submission);
    config["binaryData"] = files;
    objects.push_back(config);
  }
  Json secret = {{"apiVersion", "v1"}, {"kind", "Secret"}, {"metadata", ObjectMetadata(submission)}};
  secret["metadata"]["name"] = SecretName(submission);
  secret["type"] = "Opaque";
  secret["stringData"] = {{"token", submission.token}};
  objects.push_back(secret);
  return objects;
}

std::vector<std::string> PodTrainCommand(const Submission& s, absl::string_view comm) {
  Submission in_pod = s;
  in_pod.train_flags.clear();
  if (!s.tls_secret.empty()) {
    in_pod.insecure = false;
    in_pod.train_flags = {absl::StrCat("--tls-certificate=", kTlsFolder, "/tls.crt"),
                          absl::StrCat("--tls-key=", kTlsFolder, "/tls.key"),
                          absl::StrCat("--tls-authority=", kTlsFolder, "/ca.crt")};
  }
  if (!HasTrainFlag(s, "out")) in_pod.train_flags.push_back(absl::StrCat("--out=", s.mount, "/", s.name));
  in_pod.train_flags.insert(in_pod.train_flags.end(), s.train_flags.begin(), s.train_flags.end());
  const std::string plan =
      s.plan_at.empty() ? absl::StrCat(kConfigFolder, "/", FileName("plan", s.plan_path)) : s.plan_at;
  const std::string job = s.job_bytes.empty() ? "" : absl::StrCat(kConfigFolder, "/", FileName("job", s.job_path));
  return TrainCommand(in_pod, plan, job, comm);
}

Json PodSpec(const Submission& s, absl::string_view container, const std::vector<std::string>& argv, Json variables) {
  const Mounted mounted = MountsOf(s);
  variables.push_back(Variable("MILLRACE_TOKEN_FILE", absl::StrCat(kTokenFolder, "/token")));
  variables.push_back(Variable("HOME", "/tmp"));  // any user may run it, also one without a home
  const Json resources = {{"cpu", s.cpus}, {"memory", s.memory}};
  const Json box = {
      {"name", std::string(container)},
      {"image", s.image},
      {"command", argv},
      {"env", variables},
      {"ports", {{{"name", "rendezvous"}, {"containerPort", s.port}}}},
      {"resources", {{"requests", resources}, {"limits", resources}}},
      {"terminationMessagePolicy", "FallbackToLogsOnError"},
      {"securityContext",
       {{"allowPrivilegeEscalation", false}, {"readOnlyRootFilesystem", true}, {"capabilities", {{"drop", {"ALL"}}}}}},
      {"volumeMounts", mounted.mounts}};
  return {{"restartPolicy", "Never"},
          {"terminationGracePeriodSeconds", s.grace_seconds},
          {"automountServiceAccountToken", false},
          {"enableServiceLinks", false},  // a service of our name would look like our own variables
          {"securityContext",
           {{"runAsNonRoot", true},
            {"runAsUser", kUser},
            {"runAsGroup", kUser},
            {"fsGroup", kUser},
            {"seccompProfile", {{"type", "RuntimeDefault"}}}}},
          {"containers", Json::array({box})},
          {"volumes", mounted.volumes}};
}

}  // namespace millrace
