#include "tests/conformance/run_kernel.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "kernels/random.h"
#include "kernels/reference/reference.h"
#include "proto/status_macros.h"

namespace millrace {
namespace {

constexpr uint64_t kTrapBytes = 256;
constexpr char kTrap = static_cast<char>(0xff);

Fill FillOf(const std::map<int, Fill>& fills, int i) {
  const auto fill = fills.find(i);
  return fill == fills.end() ? Fill() : fill->second;
}

// Device memory with a trap behind it. An absent operand has no memory.
class Operand {
 public:
  static absl::StatusOr<Operand> Make(Device& device, const std::vector<char>& bytes, bool present) {
    Operand operand;
    if (!present) return operand;
    operand.bytes_ = bytes;
    std::vector<char> trapped = bytes;
    trapped.resize(bytes.size() + kTrapBytes, kTrap);
    MR_ASSIGN_OR_RETURN(operand.buffer_, device.Allocate(trapped.size()));
    MR_RETURN_IF_ERROR(device.CopyIn(operand.buffer_.memory(), trapped.data(), trapped.size()));
    return operand;
  }

  void* memory() const { return buffer_.memory(); }
  const std::vector<char>& first() const { return bytes_; }

  // What it holds now; fails when the trap was written to.
  absl::StatusOr<std::vector<char>> Read(Device& device, absl::string_view what) const {
    std::vector<char> now(buffer_.bytes());
    if (now.empty()) return now;
    MR_RETURN_IF_ERROR(device.CopyOut(now.data(), buffer_.memory(), now.size()));
    if (!std::all_of(now.end() - kTrapBytes, now.end(), [](char c) { return c == kTrap; })) {
      return absl::InternalError(absl::StrCat("the kernel wrote behind the end of ", what));
    }
    now.resize(now.size() - kTrapBytes);
    return now;
  }

 private:
  Buffer buffer_;
  std::vector<char> bytes_;
};

absl::StatusOr<std::vector<Operand>> Place(Device& device, const HostTensors& tensors) {
  std::vector<Operand> operands;
  for (const HostTensor& tensor : tensors) {
    MR_ASSIGN_OR_RETURN(Operand operand, Operand::Make(device, tensor.bytes, tensor.spec.present()));
    operands.push_back(std::move(operand));
  }
  return operands;
}

std::vector<void*> Pointers(const std::vector<Operand>& operands) {
  std::vector<void*> pointers;
  for (const Operand& operand : operands) pointers.push_back(operand.memory());
  return pointers;
}

// Only the weight, input 1, is given: the contract says that the others may be null.
absl::StatusOr<Operand> PackWeights(Device& device, const Kernel& kernel, Stream& stream,
                                    const std::vector<void*>& inputs, const std::vector<void*>& outputs) {
  MR_ASSIGN_OR_RETURN(Operand packed,
                      Operand::Make(device, std::vector<char>(kernel.needs().packed_bytes, kTrap), true));
  std::vector<void*> weight_only(inputs.size(), nullptr);
  weight_only[1] = inputs[1];
  KernelArgs args;
  args.inputs = weight_only.data();
  const std::vector<void*> no_outputs(outputs.size(), nullptr);
  args.outputs = no_outputs.data();
  MR_RETURN_IF_ERROR(kernel.Pack(stream, args, packed.memory()));
  return packed;
}

}  // namespace

HostTensors InputsOf(const KernelCase& c, DType dtype) {
  const OpDesc desc = InType(c.desc, dtype);
  HostTensors inputs;
  for (int i = 0; i < static_cast<int>(desc.inputs.size()); ++i) {
    const uint64_t seed = RandomKey(absl::StrCat(c.name, "/in", i));
    // Through f32, so that every type sees the same numbers.
    const HostTensor first = Filled(c.desc.inputs[i], FillOf(c.inputs, i), seed);
    inputs.push_back(Converted(first, desc.inputs[i].dtype));
  }
  const auto reference = OpenReference({});
  for (const Derivation& derivation : c.derivations) {
    const OpDesc forward = InType(derivation.desc, dtype);
    HostTensors operands;
    for (int i : derivation.from) operands.push_back(i < 0 ? HostTensor() : inputs[i]);
    const auto results = RunOp(**reference, forward, operands, Trapped(forward.outputs));
    for (const auto& [output, input] : derivation.to) inputs[input] = results.value()[output];
  }
  return inputs;
}

HostTensors FirstOutputsOf(const KernelCase& c, DType dtype) {
  const OpDesc desc = InType(c.desc, dtype);
  HostTensors outputs = Trapped(desc.outputs);
  for (int i = 0; i < static_cast<int>(outputs.size()); ++i) {
    if (!desc.outputs[i].present() || !IsReadToo(desc, i)) continue;
    const uint64_t seed = RandomKey(absl::StrCat(c.name, "/out", i));
    outputs[i] = Converted(Filled(c.desc.outputs[i], FillOf(c.outputs, i), seed), desc.outputs[i].dtype);
  }
  return outputs;
}

HostTensors Trapped(const std::vector<TensorSpec>& specs) {
  HostTensors tensors;
  for (const TensorSpec& spec : specs) tensors.push_back({spec, std::vector<char>(spec.bytes(), kTrap)});
  return tensors;
}

absl::StatusOr<HostTensors> RunKernel(Device& device, const Kernel& kernel, const HostTensors& inputs,
                                      const HostTensors& outputs, const RunKey& key) {
  MR_ASSIGN_OR_RETURN(const auto stream, device.NewStream());
  MR_ASSIGN_OR_RETURN(const std::vector<Operand> in, Place(device, inputs));
  MR_ASSIGN_OR_RETURN(const std::vector<Operand> out, Place(device, outputs));
  const std::vector<void*> in_pointers = Pointers(in), out_pointers = Pointers(out);
  MR_ASSIGN_OR_RETURN(const Operand scratch,
                      Operand::Make(device, std::vector<char>(kernel.needs().scratch_bytes, kTrap), true));
  Operand packed;
  if (kernel.needs().packed_bytes > 0) {
    MR_ASSIGN_OR_RETURN(packed, PackWeights(device, kernel, *stream, in_pointers, out_pointers));
  }
  KernelArgs args{in_pointers.data(), out_pointers.data(), scratch.memory(), packed.memory(), key};
  MR_RETURN_IF_ERROR(kernel.Run(*stream, args));
  MR_RETURN_IF_ERROR(stream->Synchronize());

  for (size_t i = 0; i < in.size(); ++i) {
    MR_ASSIGN_OR_RETURN(const auto now, in[i].Read(device, absl::StrCat("input ", i)));
    if (now != in[i].first()) return absl::InternalError(absl::StrCat("the kernel changed input ", i));
  }
  MR_RETURN_IF_ERROR(scratch.Read(device, "the scratch").status());
  MR_RETURN_IF_ERROR(packed.Read(device, "the packed weights").status());
  HostTensors results = outputs;
  for (size_t i = 0; i < out.size(); ++i) {
    MR_ASSIGN_OR_RETURN(results[i].bytes, out[i].Read(device, absl::StrCat("output ", i)));
  }
  return results;
}

absl::StatusOr<HostTensors> RunOp(Device& device, const OpDesc& desc, const HostTensors& inputs,
                                  const HostTensors& outputs, const RunKey& key) {
  MR_ASSIGN_OR_RETURN(const auto kernel, device.NewKernel(desc));
  return RunKernel(device, *kernel, inputs, outputs, key);
}

}  // namespace millrace
