// A device whose kernels of one operator are wrong: the real kernel runs, then a fault is done to what it wrote.
#ifndef TESTS_PARITY_FAULTY_DEVICE_H_
#define TESTS_PARITY_FAULTY_DEVICE_H_

#include <functional>
#include <memory>
#include <string>

#include "runtime/job/ranks.h"

namespace millrace {

// Called on the rank's thread after each run of the kernel.
using FaultFn = std::function<void(const OpDesc& desc, const KernelArgs& args)>;

// Opens devices of the plan's kind; on `rank`, kernels of `op` (empty: of every operator) are followed by the fault.
OpenDeviceFn FaultyOn(int rank, const std::string& op, FaultFn fault);

}  // namespace millrace

#endif  // TESTS_PARITY_FAULTY_DEVICE_H_
