// What an operator of the reference backend sees of one call: its desc and its tensors as vectors of double.
//
// Every operator reads all of its inputs before it writes an output, computes in double and rounds once, when it
// stores. Slow and simple on purpose: this is what other backends are compared with.
#ifndef KERNELS_REFERENCE_CALL_H_
#define KERNELS_REFERENCE_CALL_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "kernels/device.h"

namespace millrace::reference {

using Doubles = std::vector<double>;

// f32, f64, bf16 and f16 elements as doubles, and back, rounded to nearest even.
Doubles Load(const TensorSpec& spec, const void* memory);
void Store(const TensorSpec& spec, const Doubles& elements, void* memory);

// A view of one Run; owns nothing.
class Call {
 public:
  Call(const OpDesc& desc, const KernelArgs& args) : desc_(desc), args_(args) {}

  const OpDesc& desc() const { return desc_; }
  const Attributes& attributes() const { return desc_.attributes; }
  const RunKey& key() const { return args_.key; }
  const TensorSpec& in(int i) const { return desc_.input(i); }
  const TensorSpec& out(int i) const { return desc_.output(i); }

  Doubles Input(int i) const { return Load(in(i), args_.inputs[i]); }
  const int64_t* Integers(int i) const { return static_cast<const int64_t*>(args_.inputs[i]); }
  const void* InputMemory(int i) const { return args_.inputs[i]; }
  void* OutputMemory(int i) const { return args_.outputs[i]; }

  // What an output that is also read holds now.
  Doubles Current(int i) const { return Load(out(i), args_.outputs[i]); }
  // Both do nothing when the output is absent.
  void Set(int i, const Doubles& elements) const;
  void Add(int i, const Doubles& elements) const;
  void SetScalar(int i, double value) const { Set(i, {value}); }

 private:
  const OpDesc& desc_;
  const KernelArgs& args_;
};

// Fails only for wrong data (an index or a label out of range); shapes were checked when the kernel was made.
using Function = absl::Status (*)(const Call& call);

struct Operator {
  const char* name;
  Function run;
};

// The families, each in the file of its name.
const std::vector<Operator>& MatMulOperators();
const std::vector<Operator>& LossOperators();
const std::vector<Operator>& ElementwiseOperators();
const std::vector<Operator>& NormalizationOperators();
const std::vector<Operator>& AttentionOperators();
const std::vector<Operator>& EmbeddingOperators();
const std::vector<Operator>& ShapeOperators();
const std::vector<Operator>& ReductionOperators();
const std::vector<Operator>& OptimizerOperators();

// Row-major strides of `from` read with the index of `to`, which it broadcasts to: 0 where a dimension is repeated.
std::vector<int64_t> BroadcastStrides(const std::vector<int64_t>& from, const std::vector<int64_t>& to);
// For every element of `to`, in order, the position of the element of `from` that it is a copy of.
std::vector<int64_t> BroadcastPositions(const std::vector<int64_t>& from, const std::vector<int64_t>& to);
// The same for any strides over an index space.
std::vector<int64_t> StridedPositions(const std::vector<int64_t>& dims, const std::vector<int64_t>& strides);

}  // namespace millrace::reference

#endif  // KERNELS_REFERENCE_CALL_H_
