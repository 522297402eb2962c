#include "tools/gpu_check/figures.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"

namespace millrace {
namespace {

constexpr uint64_t kCopied = uint64_t{1} << 30;
constexpr uint64_t kPattern = 1 << 20;  // random elements; larger tensors repeat them
constexpr double kLeastSeconds = 0.1;   // of a run
constexpr int kRuns = 3, kMostCalls = 2000;

double Now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

template <typename T>
std::vector<char> Pattern(uint64_t elements) {
  std::vector<char> bytes(elements * sizeof(T));
  uint32_t state = 12345;
  for (uint64_t i = 0; i < elements; ++i) {
    state = state * 1664525u + 1013904223u;
    reinterpret_cast<T*>(bytes.data())[i] = static_cast<T>(static_cast<float>(state >> 8) / (1 << 23) - 1.0f);
  }
  return bytes;
}

// Zeros, as Allocate leaves them, make products fast for lack of bits that flip.
absl::Status FillWithNumbers(Device& device, Stream& stream, const TensorSpec& spec, const Buffer& buffer) {
  const uint64_t elements = std::min<uint64_t>(kPattern, spec.elements());
  const std::vector<char> pattern = spec.dtype == proto::F32    ? Pattern<float>(elements)
                                    : spec.dtype == proto::F64  ? Pattern<double>(elements)
                                    : spec.dtype == proto::BF16 ? Pattern<BFloat16>(elements)
                                    : spec.dtype == proto::F16  ? Pattern<_Float16>(elements)
                                                                : std::vector<char>();
  if (pattern.empty()) return absl::OkStatus();
  MR_RETURN_IF_ERROR(device.CopyIn(buffer.memory(), pattern.data(), pattern.size()));
  char* const memory = static_cast<char*>(buffer.memory());
  const uint64_t whole = static_cast<uint64_t>(spec.bytes());
  for (uint64_t done = pattern.size(); done < whole; done *= 2) {
    MR_RETURN_IF_ERROR(stream.Copy(memory + done, memory, std::min(done, whole - done)));
  }
  return stream.Synchronize();
}

absl::StatusOr<std::vector<Buffer>> Place(Device& device, Stream& stream, const std::vector<TensorSpec>& specs,
                                          std::vector<void*>* pointers) {
  std::vector<Buffer> buffers;
  for (const TensorSpec& spec : specs) {
    buffers.emplace_back();
    if (spec.present()) {
      MR_ASSIGN_OR_RETURN(buffers.back(), device.Allocate(std::max<int64_t>(spec.bytes(), 1)));
      MR_RETURN_IF_ERROR(FillWithNumbers(device, stream, spec, buffers.back()));
    }
    pointers->push_back(buffers.back().memory());
  }
  return buffers;
}

// Seconds of a call, by the clock of the host around enough of them.
template <typename Call>
absl::StatusOr<double> Time(Stream& stream, const Call& call) {
  MR_RETURN_IF_ERROR(call());  // loads code, chooses algorithms
  MR_RETURN_IF_ERROR(stream.Synchronize());
  const double first = Now();
  MR_RETURN_IF_ERROR(call());
  MR_RETURN_IF_ERROR(stream.Synchronize());
  const int calls = std::clamp(static_cast<int>(kLeastSeconds / std::max(Now() - first, 1e-6)), 3, kMostCalls);
  std::vector<double> runs;
  for (int run = 0; run < kRuns; ++run) {
    const double start = Now();
    for (int i = 0; i < calls; ++i) MR_RETURN_IF_ERROR(call());
    MR_RETURN_IF_ERROR(stream.Synchronize());
    runs.push_back((Now() - start) / calls);
  }
  std::sort(runs.begin(), runs.end());
  return runs[runs.size() / 2];
}

// Outputs that are accumulated into, or updated, are read as well.
double BytesOf(const OpDesc& desc) {
  double bytes = 0;
  for (const TensorSpec& spec : desc.inputs) bytes += static_cast<double>(spec.bytes());
  for (const TensorSpec& spec : desc.outputs) bytes += static_cast<double>(spec.bytes());
  if (desc.op == "Accumulate") bytes += static_cast<double>(desc.outputs[0].bytes());
  if (desc.op == "AdamW") {  // of the gradient too: it is zeroed
    for (const TensorSpec& spec : desc.outputs) bytes += static_cast<double>(spec.bytes());
  }
  if (desc.op == "Gather") {  // the rows that are read, not the table
    bytes += static_cast<double>(desc.outputs[0].bytes() - desc.inputs[0].bytes());
  }
  if (desc.op == "GatherGrad") {  // likewise
    bytes += static_cast<double>(desc.inputs[0].bytes() * 2 - desc.outputs[0].bytes());
  }
  return bytes;
}

}  // namespace

absl::StatusOr<double> SecondsPerCall(Device& device, const OpDesc& desc) {
  MR_ASSIGN_OR_RETURN(const std::unique_ptr<Kernel> kernel, device.NewKernel(desc));
  MR_ASSIGN_OR_RETURN(const std::unique_ptr<Stream> stream, device.NewStream());
  std::vector<void*> inputs, outputs;
  MR_ASSIGN_OR_RETURN(const std::vector<Buffer> in, Place(device, *stream, desc.inputs, &inputs));
  MR_ASSIGN_OR_RETURN(const std::vector<Buffer> out, Place(device, *stream, desc.outputs, &outputs));
  Buffer scratch, packed;
  KernelArgs args;
  args.inputs = inputs.data();
  args.outputs = outputs.data();
  if (kernel->needs().scratch_bytes > 0) {
    MR_ASSIGN_OR_RETURN(scratch, device.Allocate(kernel->needs().scratch_bytes));
  }
  args.scratch = scratch.memory();
  if (kernel->needs().packed_bytes > 0) {
    MR_ASSIGN_OR_RETURN(packed, device.Allocate(kernel->needs().packed_bytes));
    MR_RETURN_IF_ERROR(kernel->Pack(*stream, args, packed.memory()));
  }
  args.packed = packed.memory();
  return Time(*stream, [&] { return kernel->Run(*stream, args); });
}

absl::StatusOr<double> CopyBandwidth(Device& device) {
  MR_ASSIGN_OR_RETURN(const std::unique_ptr<Stream> stream, device.NewStream());
  MR_ASSIGN_OR_RETURN(const Buffer from, device.Allocate(kCopied));
  MR_ASSIGN_OR_RETURN(const Buffer to, device.Allocate(kCopied));
  MR_ASSIGN_OR_RETURN(const double seconds,
                      Time(*stream, [&] { return stream->Copy(to.memory(), from.memory(), kCopied); }));
  return 2 * static_cast<double>(kCopied) / seconds;
}

std::vector<Figure> MeasureAll(Device& device) {
  std::vector<Figure> figures;
  const absl::StatusOr<double> copy = CopyBandwidth(device);
  figures.push_back({"copy within the device", copy.ok() ? *copy / 1e9 : 0, "GB/s", 0,
                     copy.ok() ? "" : std::string(copy.status().message())});
  const double bandwidth = figures[0].value;
  std::map<DType, double> best;  // products, by the type of their first input
  std::vector<std::pair<size_t, DType>> products;
  for (const Measured& measured : WhatIsMeasured()) {
    const absl::StatusOr<double> seconds = SecondsPerCall(device, measured.desc);
    const bool bytes = measured.flops == 0;
    Figure figure{measured.name, 0, bytes ? "GB/s" : "TFLOP/s", bytes ? bandwidth : 0, ""};
    if (!seconds.ok()) {
      figure.why = std::string(seconds.status().message());
    } else {
      figure.value = bytes ? BytesOf(measured.desc) / *seconds / 1e9 : measured.flops / *seconds / 1e12;
    }
    if (!bytes) {
      const DType dtype = measured.desc.input(0).dtype;
      best[dtype] = std::max(best[dtype], figure.value);
      products.emplace_back(figures.size(), dtype);
    }
    figures.push_back(std::move(figure));
  }
  for (const auto& [index, dtype] : products) figures[index].roof = best[dtype];
  return figures;
}

}  // namespace millrace
