// Linked instead of profiler_range.cc by a build without CUDA.
#include "runtime/trace/profiler_range.h"

namespace millrace {

ProfilerRange::ProfilerRange(const char*) {}
ProfilerRange::~ProfilerRange() = default;

}  // namespace millrace
