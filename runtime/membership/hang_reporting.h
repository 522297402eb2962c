// A communicator whose long waits come with a report of where every rank stands.
#ifndef RUNTIME_MEMBERSHIP_HANG_REPORTING_H_
#define RUNTIME_MEMBERSHIP_HANG_REPORTING_H_

#include <functional>
#include <memory>
#include <string>

#include "runtime/comm/communicator.h"

namespace millrace {

// Everything is passed on to `inner`. When a wait is reported, because it takes long or is given up, `report` is asked
// for one and stands under the description of the wait. It is called on the waiting thread.
std::unique_ptr<Communicator> ReportHangs(std::unique_ptr<Communicator> inner, std::function<std::string()> report);

}  // namespace millrace

#endif  // RUNTIME_MEMBERSHIP_HANG_REPORTING_H_
