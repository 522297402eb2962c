// A library that is loaded when it is first needed: cuBLASLt alone is half a gigabyte, and a program that trains on
// CPUs should neither wait for it nor fail to start without it.
#ifndef KERNELS_CUDA_DYNAMIC_LIBRARY_H_
#define KERNELS_CUDA_DYNAMIC_LIBRARY_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace millrace::cuda {

// Stays loaded until the program ends.
class DynamicLibrary {
 public:
  // `file` as dlopen takes it: looked for in LD_LIBRARY_PATH, in the toolkit this program was built with, and where the
  // system looks. UNAVAILABLE says what the loader said.
  static absl::StatusOr<DynamicLibrary> Open(const std::string& file);

  // Sets *function to the symbol of this name, which must have that type.
  template <typename Function>
  absl::Status Resolve(const char* symbol, Function** function) const {
    return Find(symbol, reinterpret_cast<void**>(function));
  }

 private:
  DynamicLibrary(std::string file, void* handle) : file_(std::move(file)), handle_(handle) {}
  absl::Status Find(const char* symbol, void** address) const;

  std::string file_;
  void* handle_;
};

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_DYNAMIC_LIBRARY_H_
