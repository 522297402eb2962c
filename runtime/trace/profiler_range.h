// Ranges on the timelines of NVIDIA's profilers, named as a trace names its spans ("RUN 1F3", "SEND").
#ifndef RUNTIME_TRACE_PROFILER_RANGE_H_
#define RUNTIME_TRACE_PROFILER_RANGE_H_

namespace millrace {

// From here to the end of the scope, on the calling thread; ranges nest. Without a profiler some nanoseconds; in a
// build without CUDA nothing (no_profiler_range.cc).
class ProfilerRange {
 public:
  explicit ProfilerRange(const char* name);
  ~ProfilerRange();
  ProfilerRange(const ProfilerRange&) = delete;
  ProfilerRange& operator=(const ProfilerRange&) = delete;
};

}  // namespace millrace

#endif  // RUNTIME_TRACE_PROFILER_RANGE_H_
