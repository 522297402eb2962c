#include "runtime/profile/cost_cache.h"

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/file_error.h"
#include "proto/text_proto.h"
#include "runtime/log/log.h"

namespace millrace {
namespace {

// Far more than any set of models needs; keeps the file from growing for ever.
constexpr int kMostKernels = 20000;
constexpr uint64_t kMostBytes = uint64_t{64} << 20;

std::string Absolute(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr && value[0] == '/' ? value : "";
}

bool SameMachine(const proto::CostTable& a, const proto::CostTable& b) {
  return a.device_kind() == b.device_kind() && a.device_name() == b.device_name() && a.threads() == b.threads() &&
         a.cores() == b.cores() && a.sharing() == b.sharing() && a.versions() == b.versions();
}

bool Good(double x) { return std::isfinite(x) && x >= 0; }

bool AllGood(const proto::CostTable& table) {
  for (const proto::KernelCost& kernel : table.kernels()) {
    if (!Good(kernel.seconds()) || !Good(kernel.seconds_spread()) || !Good(kernel.seconds_shared()) ||
        !Good(kernel.flops())) {
      return false;
    }
  }
  for (const proto::LinkCost& link : table.links()) {
    if (!Good(link.latency_seconds()) || !Good(link.bytes_per_second())) return false;
  }
  for (const proto::CollectiveCost& collective : table.collectives()) {
    if (!Good(collective.seconds()) || !Good(collective.seconds_spread())) return false;
  }
  return Good(table.instruction_seconds());
}

// OK with an empty table when there is no file.
absl::Status Read(absl::string_view file, const proto::CostTable& machine, proto::CostTable* table) {
  std::error_code error;
  if (!std::filesystem::exists(std::string(file), error)) return absl::OkStatus();
  absl::Status status = ReadMessage(file, table, {.max_bytes = kMostBytes});
  if (status.ok() && !SameMachine(*table, machine))
    status = absl::InvalidArgumentError(absl::StrCat(file, ": is of another machine"));
  if (status.ok() && !AllGood(*table))
    status = absl::InvalidArgumentError(absl::StrCat(file, ": holds what is no number"));
  if (!status.ok()) table->Clear();
  return status;
}

}  // namespace

std::string CostCacheFolder() {
  const std::string cache = Absolute("XDG_CACHE_HOME"), home = Absolute("HOME");
  if (!cache.empty()) return absl::StrCat(cache, "/millrace/costs");
  return home.empty() ? "" : absl::StrCat(home, "/.cache/millrace/costs");
}

std::string CostCacheFile(absl::string_view folder, const proto::CostTable& machine, absl::string_view version) {
  proto::CostTable identity;
  identity.set_device_kind(machine.device_kind());
  identity.set_device_name(machine.device_name());
  identity.set_threads(machine.threads());
  identity.set_cores(machine.cores());
  identity.set_sharing(machine.sharing());
  identity.set_versions(absl::StrCat(machine.versions(), "; millrace ", version));
  return absl::StrCat(folder, "/", Sha256Hex(CanonicalBytes(identity)).substr(0, 32), ".pb");
}

proto::CostTable ReadCostCache(absl::string_view file, const proto::CostTable& machine) {
  proto::CostTable table;
  const absl::Status status = Read(file, machine, &table);
  if (!status.ok()) {
    Log(LogLevel::kWarning,
        absl::StrCat("the cache of measured costs is not used and will be written anew: ", status.message()));
  }
  return table;
}

absl::Status WriteCostCache(absl::string_view file, const proto::CostTable& table) {
  const std::filesystem::path path{std::string(file)};
  std::error_code error;
  std::filesystem::create_directories(path.parent_path(), error);
  if (error) return CannotWrite(error.value(), absl::StrCat(path.parent_path().string(), ": cannot make the folder"));
  proto::CostTable all = table, before;
  all.clear_alone();
  all.clear_shared();
  if (Read(file, table, &before).ok()) {
    std::set<std::string> keys;
    for (const proto::KernelCost& kernel : table.kernels()) keys.insert(kernel.key());
    for (proto::KernelCost& kernel : *before.mutable_kernels()) {
      if (all.kernels_size() < kMostKernels && keys.insert(kernel.key()).second) *all.add_kernels() = std::move(kernel);
    }
    if (all.links().empty()) *all.mutable_links() = before.links();
    std::set<uint32_t> sizes;
    for (const proto::CollectiveCost& collective : table.collectives()) sizes.insert(collective.ranks());
    for (const proto::CollectiveCost& collective : before.collectives()) {
      if (sizes.count(collective.ranks()) == 0) *all.add_collectives() = collective;
    }
  }
  return WriteMessage(file, all);
}

}  // namespace millrace
