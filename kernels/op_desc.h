// What a kernel is asked to compute: operator, concrete shapes and types, constants. docs/operators.md gives the
// meaning, inputs and outputs of every operator name.
#ifndef KERNELS_OP_DESC_H_
#define KERNELS_OP_DESC_H_

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/attributes.h"
#include "kernels/dtype.h"

namespace millrace {

// A type and concrete sizes; row-major, dense. dtype DATA_TYPE_UNSPECIFIED means the (optional) tensor is absent.
struct TensorSpec {
  DType dtype = proto::DATA_TYPE_UNSPECIFIED;
  std::vector<int64_t> dims;

  bool present() const { return dtype != proto::DATA_TYPE_UNSPECIFIED; }
  int64_t elements() const;  // 1 for a scalar (no dims); 0 when absent
  int64_t bytes() const { return elements() * SizeOf(dtype); }
  // Elements of the last dimension, and how many such rows there are. A scalar is one row of one.
  int64_t columns() const { return dims.empty() ? 1 : dims.back(); }
  int64_t rows() const { return columns() == 0 ? 0 : elements() / columns(); }
  std::string ToString() const;  // "f32[4,256,768]", "-" when absent

  static TensorSpec Of(const proto::TensorType& type);  // dims must be concrete
  proto::TensorType ToProto() const;

  friend bool operator==(const TensorSpec&, const TensorSpec&) = default;
};

// A tensor with an address. Does not own the memory.
struct TensorView {
  TensorSpec spec;
  void* memory = nullptr;

  template <typename T>
  T* as() const {
    return static_cast<T*>(memory);
  }
};

struct OpDesc {
  std::string op;
  std::vector<TensorSpec> inputs;
  std::vector<TensorSpec> outputs;
  Attributes attributes;

  // Canonical text: equal keys are the same computation. Costs and prepared kernels are looked up by it.
  std::string Key() const;

  // Input or output i, absent when there are fewer.
  const TensorSpec& input(int i) const;
  const TensorSpec& output(int i) const;
};

}  // namespace millrace

#endif  // KERNELS_OP_DESC_H_
