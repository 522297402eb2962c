// Measures what a plan's kernel calls, transfers and collectives cost on the devices at hand: a CostTable.
//
// Every distinct call (operator, shapes, types, attributes) is measured as a step makes it (runtime/profile/replay.h),
// alone and, where ranks share cores, with as many of them busy as there are cores. Ranks that have nothing new to
// measure are not replayed. docs/profiling.md says what the figures mean and how they are used.
#ifndef RUNTIME_PROFILE_PROFILE_H_
#define RUNTIME_PROFILE_PROFILE_H_

#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kernels/device.h"
#include "proto/costs.pb.h"
#include "proto/plan.pb.h"

namespace millrace {

struct ProfileOptions {
  // Of measuring, roughly: one round of warm-up and two measured ones of each rank take the time that they take.
  double budget_seconds = 10;
  // What a call computes and moves; not called for packings. Unset: left at 0.
  std::function<double(const OpDesc&)> flops, bytes;
  // Tests put their own device here.
  std::function<absl::StatusOr<std::unique_ptr<Device>>(const DeviceOptions&)> open_device;
};

struct Profiled {
  proto::CostTable table;  // sorted by key; without fitted rates
  int measured = 0;        // calls that were measured now
  int known = 0;           // calls that `known` had already
};

// What decides whether times measured once hold again: kind and name of the device, cores of the machine, threads of a
// rank, how many ranks were busy, versions of the libraries. Sets these fields of `table`, and no others. Errors are
// OpenDevice's.
absl::Status IdentifyMachine(const proto::ExecutionPlan& plan, const ProfileOptions& options, proto::CostTable* table);

// The calls of all programs of the plan, with its device kind and its ranks' threads. `known` is what was measured
// before on the same machine (IdentifyMachine says the same): its entries are taken over, and only the rest is
// measured. The plan must have passed VerifyPlan. INVALID_ARGUMENT when the budget is no positive number; otherwise
// errors of devices and kernels, with the rank.
absl::StatusOr<Profiled> Profile(const proto::ExecutionPlan& plan, const proto::CostTable& known,
                                 const ProfileOptions& options);

}  // namespace millrace

#endif  // RUNTIME_PROFILE_PROFILE_H_
