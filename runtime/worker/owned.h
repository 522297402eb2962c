// A parameter as the rank that owns it reduces and steps it.
#ifndef RUNTIME_WORKER_OWNED_H_
#define RUNTIME_WORKER_OWNED_H_

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/device.h"
#include "kernels/op_desc.h"

namespace millrace {

// Elements of a parameter that a kernel works on.
struct OwnedPart {
  uint64_t first = 0;
  uint64_t elements = 0;  // 0: nothing here
  char* gradient = nullptr;
  const Kernel* kernel = nullptr;
};

struct Owned {
  int parameter = -1;
  TensorSpec weight_spec, gradient_spec;  // flat, of the whole
  char* weight = nullptr;                 // the whole; where parameters are divided, this replica's piece
  char* whole = nullptr;                  // the whole gradient; nullptr where gradients are divided
  // Uses of the parameter in graph order, what arrives from other ranks in staging: of the whole, or with replicas
  // first of this replica's piece.
  std::vector<void*> summands;
  uint64_t summed = 0;  // elements of each
  const Kernel* accumulate = nullptr;
  OwnedPart normed, stepped;
  uint64_t blocks = 0;         // of `normed`
  uint64_t sums = 0;           // byte where theirs are
  std::vector<void*> outputs;  // of the optimizer's kernel: weight, gradient, states, each of `stepped`
  const Kernel* widen = nullptr;  // of a weight in 16 bits: into its master, the last state
  bool weight_written = false, master_written = false;  // from outside, since the masters were last looked after
  std::string kept;            // gradient of `normed`, or of the whole where nothing is divided
  uint64_t kept_first = 0;     // byte

  uint64_t BytesOf(uint64_t elements) const { return elements * static_cast<uint64_t>(SizeOf(gradient_spec.dtype)); }
  uint64_t WeightBytesOf(uint64_t elements) const {
    return elements * static_cast<uint64_t>(SizeOf(weight_spec.dtype));
  }
};

}  // namespace millrace

#endif  // RUNTIME_WORKER_OWNED_H_
