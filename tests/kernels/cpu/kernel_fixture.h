// Runs one CPU kernel on memory of its own.
#ifndef TESTS_KERNELS_CPU_KERNEL_FIXTURE_H_
#define TESTS_KERNELS_CPU_KERNEL_FIXTURE_H_

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "kernels/cpu/cpu_stream.h"
#include "kernels/cpu/families.h"
#include "kernels/op_desc.h"

namespace millrace {

inline TensorSpec F32(std::vector<int64_t> dims) { return {proto::F32, std::move(dims)}; }
inline TensorSpec F64Scalar() { return {proto::F64, {}}; }

// 256-byte aligned, with a guard behind it that must stay as it was.
class Guarded {
 public:
  explicit Guarded(uint64_t bytes) : bytes_(bytes), memory_((bytes + 511) / 256 * 256 + 256) {
    data_ = reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(memory_.data()) + 255) / 256 * 256);
    std::memset(data_, 0, bytes);
    std::memset(data_ + bytes, 0x5a, 128);
  }
  ~Guarded() {
    for (int i = 0; i < 128; ++i) {
      if (data_[bytes_ + i] != 0x5a) {
        ADD_FAILURE() << "a kernel wrote " << i << " bytes behind its memory of " << bytes_ << " bytes";
        return;
      }
    }
  }
  void* data() { return data_; }
  float* floats() { return reinterpret_cast<float*>(data_); }

 private:
  uint64_t bytes_;
  std::vector<char> memory_;
  char* data_;
};

// The memory of a call, inputs filled with values in [-1, 1) that depend on position only.
struct Call {
  explicit Call(OpDesc d) : desc(std::move(d)) {
    for (size_t i = 0; i < desc.inputs.size(); ++i) Hold(desc.inputs[i], i + 1, &inputs, &input_addresses);
    for (size_t i = 0; i < desc.outputs.size(); ++i) Hold(desc.outputs[i], 0, &outputs, &output_addresses);
  }

  // Prepares nothing twice: Pack, if the kernel wants it, then Run.
  void Run(const Kernel& kernel, int threads) {
    CpuStream stream(threads);
    Guarded scratch(kernel.needs().scratch_bytes), packed(kernel.needs().packed_bytes);
    KernelArgs args;
    args.inputs = input_addresses.data();
    args.outputs = output_addresses.data();
    args.scratch = scratch.data();
    if (kernel.needs().packed_bytes > 0) {
      ASSERT_EQ(kernel.Pack(stream, args, packed.data()), absl::OkStatus());
      args.packed = packed.data();
      packed_text.assign(static_cast<char*>(packed.data()), kernel.needs().packed_bytes);
    }
    status = kernel.Run(stream, args);
  }

  float* input(int i) { return inputs[i]->floats(); }
  float* output(int i) { return outputs[i]->floats(); }
  std::string OutputBytes(int i) {
    return std::string(static_cast<char*>(outputs[i]->data()), desc.outputs[i].bytes());
  }

  OpDesc desc;
  std::vector<std::unique_ptr<Guarded>> inputs, outputs;
  std::vector<void*> input_addresses, output_addresses;
  std::string packed_text;
  absl::Status status;

 private:
  static void Hold(const TensorSpec& spec, uint32_t seed, std::vector<std::unique_ptr<Guarded>>* held,
                   std::vector<void*>* addresses) {
    held->push_back(std::make_unique<Guarded>(spec.bytes()));
    addresses->push_back(spec.present() ? held->back()->data() : nullptr);
    for (int64_t i = 0; seed != 0 && i < spec.elements(); ++i) {
      const uint32_t bits = (static_cast<uint32_t>(i) + seed * 7919u) * 2654435761u;
      const float value = static_cast<float>(bits >> 8) * 0x1p-23f - 1;
      if (spec.dtype == proto::F32) held->back()->floats()[i] = value;
      if (spec.dtype == proto::BF16) static_cast<BFloat16*>(held->back()->data())[i] = BFloat16(value);
    }
  }
};

}  // namespace millrace

#endif  // TESTS_KERNELS_CPU_KERNEL_FIXTURE_H_
