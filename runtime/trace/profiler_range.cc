// NVTX is headers only: a profiler that is attached brings the rest.
#include "runtime/trace/profiler_range.h"

#include <nvtx3/nvToolsExt.h>

namespace millrace {

ProfilerRange::ProfilerRange(const char* name) { nvtxRangePushA(name); }
ProfilerRange::~ProfilerRange() { nvtxRangePop(); }

}  // namespace millrace
