// A device that is another one, but for its kernels.
#ifndef TESTS_PARITY_WRAPPED_DEVICE_H_
#define TESTS_PARITY_WRAPPED_DEVICE_H_

#include <functional>
#include <memory>

#include "kernels/device.h"

namespace millrace {

// Puts something around a kernel of the inner device, or gives it back as it is.
using WrapKernelFn = std::function<std::unique_ptr<Kernel>(const OpDesc& desc, std::unique_ptr<Kernel> kernel)>;

std::unique_ptr<Device> WrapKernels(std::unique_ptr<Device> device, WrapKernelFn wrap);

}  // namespace millrace

#endif  // TESTS_PARITY_WRAPPED_DEVICE_H_
