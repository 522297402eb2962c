// The transient part of the arena: which bytes of it a program uses, and what is done to them before it starts.
#ifndef RUNTIME_WORKER_TRANSIENT_H_
#define RUNTIME_WORKER_TRANSIENT_H_

#include "kernels/device.h"
#include "runtime/worker/arena.h"
#include "runtime/worker/bind.h"

namespace millrace {

// Fills `transient` and `gaps`.
void DescribeTransient(BoundProgram* program);

// Before a program starts. fill: every transient byte becomes 0xff, which is NaN in every floating-point type. In
// builds with the address sanitizer the program's gaps become untouchable, those of the program before touchable again.
absl::Status EnterProgram(const BoundProgram& program, const Arena& arena, bool fill, Stream& stream);

}  // namespace millrace

#endif  // RUNTIME_WORKER_TRANSIENT_H_
