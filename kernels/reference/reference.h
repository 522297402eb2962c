// The oracle: every operator, obviously right, with double accumulators. Supports f32 and f64. Kept for ever.
#ifndef KERNELS_REFERENCE_REFERENCE_H_
#define KERNELS_REFERENCE_REFERENCE_H_

#include <memory>

#include "absl/status/statusor.h"
#include "kernels/device.h"

namespace millrace {

absl::StatusOr<std::unique_ptr<Device>> OpenReference(const DeviceOptions& options);

}  // namespace millrace

#endif  // KERNELS_REFERENCE_REFERENCE_H_
