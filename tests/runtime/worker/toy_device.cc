#include "tests/runtime/worker/toy_device.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace millrace {

namespace {

class ToyStream : public Stream {
 public:
  absl::Status Record(Event*) override { return absl::OkStatus(); }
  absl::Status WaitFor(Event*) override { return absl::OkStatus(); }
  absl::Status Synchronize() override { return absl::OkStatus(); }
  absl::Status Copy(void* to, const void* from, uint64_t bytes) override {
    std::memmove(to, from, bytes);
    return absl::OkStatus();
  }
  absl::Status Zero(void* to, uint64_t bytes) override {
    std::memset(to, 0, bytes);
    return absl::OkStatus();
  }
};

class ToyEvent : public Event {
 public:
  bool Ready() const override { return true; }
  absl::Status Wait() override { return absl::OkStatus(); }
};

void CrossEntropy(const OpDesc& desc, const KernelArgs& args, bool gradient) {
  const TensorSpec& spec = desc.input(0);
  const float* scores = static_cast<const float*>(args.inputs[0]);
  const int64_t* labels = static_cast<const int64_t*>(args.inputs[1]);
  double loss = 0, count = 0;
  for (int64_t r = 0; r < spec.rows(); ++r) {
    const float* row = scores + r * spec.columns();
    const bool ignored = labels[r] == -100;
    double largest = row[0], sum = 0;
    for (int64_t c = 0; c < spec.columns(); ++c) largest = std::max(largest, static_cast<double>(row[c]));
    for (int64_t c = 0; c < spec.columns(); ++c) sum += std::exp(row[c] - largest);
    if (!ignored) {
      loss += std::log(sum) + largest - row[labels[r]];
      count += 1;
    }
    for (int64_t c = 0; gradient && c < spec.columns(); ++c) {
      const double d = std::exp(row[c] - largest) / sum - (c == labels[r] ? 1.0 : 0.0);
      static_cast<float*>(args.outputs[0])[r * spec.columns() + c] = ignored ? 0 : static_cast<float>(d);
    }
  }
  if (gradient) return;
  *static_cast<double*>(args.outputs[0]) = loss;
  *static_cast<double*>(args.outputs[1]) = count;
}

template <typename T>
void Accumulate(const KernelArgs& args, int64_t n) {
  for (int64_t i = 0; i < n; ++i) static_cast<T*>(args.outputs[0])[i] += static_cast<const T*>(args.inputs[0])[i];
}

void SquaredSums(const OpDesc& desc, const KernelArgs& args) {
  const int64_t n = desc.input(0).elements(), block = desc.attributes.Int("block", 1);
  const float* g = static_cast<const float*>(args.inputs[0]);
  for (int64_t b = 0; b * block < n; ++b) {
    double sum = 0;
    for (int64_t i = b * block; i < std::min(n, (b + 1) * block); ++i) sum += static_cast<double>(g[i]) * g[i];
    static_cast<double*>(args.outputs[0])[b] = sum;
  }
}

void Optimizer(const OpDesc& desc, const KernelArgs& args) {
  const double* h = static_cast<const double*>(args.inputs[0]);
  float* w = static_cast<float*>(args.outputs[0]);
  float* g = static_cast<float*>(args.outputs[1]);
  float* m = static_cast<float*>(args.outputs[2]);
  const double decay = desc.attributes.Int("decay", 0) != 0 ? h[7] : 0;
  for (int64_t i = 0; i < desc.output(0).elements(); ++i) {
    double x = g[i] * h[1];
    g[i] = 0;
    if (h[2] != 0) continue;
    if (desc.op == "SgdMomentum") {
      x += decay * w[i];
      m[i] = static_cast<float>(h[8] * m[i] + x);
      w[i] = static_cast<float>(w[i] - h[0] * (h[9] != 0 ? x + h[8] * m[i] : m[i]));
      continue;
    }
    float* v = static_cast<float*>(args.outputs[3]);
    m[i] = static_cast<float>(h[4] * m[i] + (1 - h[4]) * x);
    v[i] = static_cast<float>(h[5] * v[i] + (1 - h[5]) * x * x);
    const double mhat = m[i] / (1 - std::pow(h[4], h[3])), vhat = v[i] / (1 - std::pow(h[5], h[3]));
    w[i] = static_cast<float>(w[i] - h[0] * decay * w[i] - h[0] * mhat / (std::sqrt(vhat) + h[6]));
  }
}

KernelNeeds NeedsOf(const OpDesc& desc, const ToyDeviceOptions& options) {
  KernelNeeds needs;
  needs.scratch_bytes = options.scratch_bytes;
  if (desc.attributes.Int("packed", 0) != 0) {
    needs.packed_bytes = static_cast<uint64_t>(desc.input(1).bytes());
    needs.pack_key = "negated";
  }
  return needs;
}

}  // namespace

class ToyKernel : public Kernel {
 public:
  ToyKernel(ToyDevice* device, const OpDesc& desc)
      : Kernel(NeedsOf(desc, device->options_)), device_(device), desc_(desc) {}

  absl::Status Pack(Stream&, const KernelArgs& args, void* packed) const override {
    ++device_->packs_made_;
    const float* weight = static_cast<const float*>(args.inputs[1]);
    for (int64_t i = 0; i < desc_.input(1).elements(); ++i) static_cast<float*>(packed)[i] = -weight[i];
    return absl::OkStatus();
  }

  absl::Status Run(Stream&, const KernelArgs& args) const override {
    if (device_->options_.empty_kernels) return absl::OkStatus();
    if (desc_.op == device_->options_.failing_op && device_->failing_runs_++ >= device_->options_.failing_run) {
      return absl::InternalError("the toy is broken");
    }
    if (needs().scratch_bytes > 0) std::memset(args.scratch, 0x5a, needs().scratch_bytes);
    const int64_t n = desc_.output(0).elements();
    if (desc_.op == "Mul") {
      const float* a = static_cast<const float*>(args.inputs[0]);
      const float* b = static_cast<const float*>(args.packed != nullptr ? args.packed : args.inputs[1]);
      const float sign = args.packed != nullptr ? -1.0f : 1.0f;
      for (int64_t i = 0; i < n; ++i) static_cast<float*>(args.outputs[0])[i] = a[i] * (sign * b[i]);
    } else if (desc_.op == "Accumulate") {
      desc_.output(0).dtype == proto::F64 ? Accumulate<double>(args, n) : Accumulate<float>(args, n);
    } else if (desc_.op == "SquaredSums") {
      SquaredSums(desc_, args);
    } else if (desc_.op == "AdamW" || desc_.op == "SgdMomentum") {
      Optimizer(desc_, args);
    } else {
      CrossEntropy(desc_, args, desc_.op == "SoftmaxCrossEntropyLossGrad");
    }
    return absl::OkStatus();
  }

 private:
  ToyDevice* const device_;
  const OpDesc desc_;
};

absl::StatusOr<Buffer> ToyDevice::Allocate(uint64_t bytes) {
  const uint64_t rounded = (bytes + 255) / 256 * 256;
  void* memory = std::aligned_alloc(256, rounded);
  std::memset(memory, 0, rounded);
  return Buffer(this, memory, bytes);
}

void ToyDevice::Free(void* memory, uint64_t) { std::free(memory); }

absl::StatusOr<std::unique_ptr<Stream>> ToyDevice::NewStream() { return std::make_unique<ToyStream>(); }

absl::StatusOr<std::unique_ptr<Event>> ToyDevice::NewEvent() { return std::make_unique<ToyEvent>(); }

absl::StatusOr<std::unique_ptr<Kernel>> ToyDevice::NewKernel(const OpDesc& desc) {
  for (const char* known : {"Mul", "Accumulate", "SquaredSums", "AdamW", "SgdMomentum", "SoftmaxCrossEntropyLoss",
                            "SoftmaxCrossEntropyLossGrad"}) {
    if (desc.op != known) continue;
    ++kernels_made_;
    return std::make_unique<ToyKernel>(this, desc);
  }
  return absl::UnimplementedError(absl::StrCat("toys do not know ", desc.op));
}

absl::Status ToyDevice::CopyIn(void* device_memory, const void* host, uint64_t bytes) {
  std::memcpy(device_memory, host, bytes);
  return absl::OkStatus();
}

absl::Status ToyDevice::CopyOut(void* host, const void* device_memory, uint64_t bytes) {
  std::memcpy(host, device_memory, bytes);
  return absl::OkStatus();
}

}  // namespace millrace
