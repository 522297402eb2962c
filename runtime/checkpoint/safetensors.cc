#include "runtime/checkpoint/safetensors.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kernels/dtype.h"
#include "proto/file_error.h"
#include "proto/status_macros.h"
#include "runtime/checkpoint/durable_file.h"

namespace millrace {
namespace {

constexpr uint64_t kFormatsLargestHeader = 100'000'000;

absl::string_view TypeName(proto::DataType dtype) {
  switch (dtype) {
    case proto::F32:
      return "F32";
    case proto::F64:
      return "F64";
    case proto::BF16:
      return "BF16";
    case proto::F16:
      return "F16";
    case proto::I32:
      return "I32";
    case proto::I64:
      return "I64";
    case proto::U8:
      return "U8";
    default:
      return "BOOL";
  }
}

// A JSON string. Bytes that are not UTF-8 become the replacement character, so that the file can be read.
std::string Quoted(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

std::vector<int> WritingOrder(const std::vector<NamedTensor>& tensors) {
  std::vector<int> order(tensors.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](int a, int b) {
    const int64_t size_a = SizeOf(tensors[a].type.dtype()), size_b = SizeOf(tensors[b].type.dtype());
    return size_a != size_b ? size_a > size_b : tensors[a].name < tensors[b].name;
  });
  return order;
}

absl::StatusOr<std::string> HeaderText(const std::vector<NamedTensor>& tensors, const std::vector<int>& order,
                                       std::map<std::string, std::string> metadata) {
  metadata.emplace("format", "pt");
  std::vector<std::string> members;
  for (const auto& [key, value] : metadata) members.push_back(absl::StrCat(Quoted(key), ":", Quoted(value)));
  std::string text = absl::StrCat("{\"__metadata__\":{", absl::StrJoin(members, ","), "}");
  uint64_t offset = 0;
  for (int i : order) {
    const proto::TensorType& type = tensors[i].type;
    absl::StatusOr<uint64_t> bytes = TensorBytes(type);
    if (!bytes.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("tensor ", tensors[i].name, ": ", bytes.status().message()));
    }
    absl::StrAppend(&text, ",", Quoted(tensors[i].name), ":{\"dtype\":\"", TypeName(type.dtype()), "\",\"shape\":[",
                    absl::StrJoin(type.dims(), ","), "],\"data_offsets\":[", offset, ",", offset + *bytes, "]}");
    offset += *bytes;
  }
  text += "}";
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return text;
}

}  // namespace

absl::Status WriteSafetensors(const std::string& path, const TensorSource& source,
                              const std::map<std::string, std::string>& metadata) {
  const std::vector<NamedTensor>& tensors = source.tensors();
  const std::vector<int> order = WritingOrder(tensors);
  MR_ASSIGN_OR_RETURN(const std::string header, HeaderText(tensors, order, metadata));
  const std::string temporary = absl::StrCat(path, ".tmp.", getpid());
  unlink(temporary.c_str());
  MR_ASSIGN_OR_RETURN(DurableFile file, DurableFile::Create(temporary));
  const uint64_t header_bytes = header.size();
  absl::Status status = file.Append(&header_bytes, sizeof(header_bytes));
  if (status.ok()) status = file.Append(header.data(), header.size());
  std::vector<char> memory;
  for (int i : order) {
    MR_RETURN_IF_ERROR(status);
    memory.resize(*TensorBytes(tensors[i].type));
    MR_RETURN_IF_ERROR(source.Read(i, memory.data(), memory.size()));
    status = file.Append(memory.data(), memory.size());
  }
  MR_RETURN_IF_ERROR(status);
  MR_RETURN_IF_ERROR(file.Finish());
  if (rename(temporary.c_str(), path.c_str()) != 0) {
    const int error = errno;
    unlink(temporary.c_str());
    return CannotWrite(error, absl::StrCat(path, ": cannot rename the finished file into place"));
  }
  return SyncFolder(FolderOf(path));
}

absl::StatusOr<std::unique_ptr<SafetensorsFile>> SafetensorsFile::Open(absl::string_view path,
                                                                       const SafetensorsLimits& limits) {
  auto opened = std::make_unique<SafetensorsFile>();
  MR_ASSIGN_OR_RETURN(opened->file_, RegularFile::Open(path));
  const uint64_t size = opened->file_.size();
  uint64_t header_bytes = 0;
  if (size < sizeof(header_bytes)) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", size, " bytes are too few for a safetensors file"));
  }
  MR_RETURN_IF_ERROR(opened->file_.ReadAt(0, &header_bytes, sizeof(header_bytes)));
  const uint64_t limit = std::min(limits.max_header_bytes, kFormatsLargestHeader);
  if (header_bytes > limit) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": a header of ", header_bytes,
                                                   " bytes, more than the limit of ", limit,
                                                   ": not a safetensors file, or one with too many tensors"));
  }
  if (header_bytes > size - sizeof(header_bytes)) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": a header of ", header_bytes, " bytes in a file of ", size));
  }
  std::string json(header_bytes, '\0');
  MR_RETURN_IF_ERROR(opened->file_.ReadAt(sizeof(header_bytes), json.data(), json.size()));
  opened->buffer_ = sizeof(header_bytes) + header_bytes;
  MR_ASSIGN_OR_RETURN(opened->header_, ParseSafetensorsHeader(json, size - opened->buffer_, path, limits));
  return opened;
}

absl::Status SafetensorsFile::Read(int tensor, void* memory, uint64_t bytes) const {
  MR_ASSIGN_OR_RETURN(const uint64_t expected, TensorBytes(header_.tensors[tensor].type));
  if (bytes != expected) {
    return absl::InvalidArgumentError(absl::StrCat(file_.path(), ": tensor ", header_.tensors[tensor].name, " has ",
                                                   expected, " bytes, not ", bytes));
  }
  return file_.ReadAt(buffer_ + header_.offsets[tensor], memory, bytes);
}

int SafetensorsFile::Find(absl::string_view name) const {
  for (int i = 0; i < header_.tensors.size(); ++i) {
    if (header_.tensors[i].name == name) return i;
  }
  return -1;
}

}  // namespace millrace
