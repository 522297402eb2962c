// The tag of what ranks say to each other between two programs: no edge and no bucket has it, and faults spare it.
#ifndef RUNTIME_COMM_CONTROL_TAG_H_
#define RUNTIME_COMM_CONTROL_TAG_H_

#include <cstdint>

namespace millrace {

inline constexpr uint64_t kControlTag = ~uint64_t{0};

}  // namespace millrace

#endif  // RUNTIME_COMM_CONTROL_TAG_H_
