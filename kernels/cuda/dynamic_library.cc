#include "kernels/cuda/dynamic_library.h"

#include <dlfcn.h>

#include "absl/strings/str_cat.h"

namespace millrace::cuda {

absl::StatusOr<DynamicLibrary> DynamicLibrary::Open(const std::string& file) {
  void* const handle = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle != nullptr) return DynamicLibrary(file, handle);
  const char* const why = dlerror();
  return absl::UnavailableError(absl::StrCat("the CUDA backend needs the library ", file,
                                             ", which cannot be loaded: ", why == nullptr ? "no reason given" : why,
                                             ". Install it, or add its folder to LD_LIBRARY_PATH"));
}

absl::Status DynamicLibrary::Find(const char* symbol, void** address) const {
  *address = dlsym(handle_, symbol);
  if (*address != nullptr) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("the library ", file_, " has no function ", symbol,
                                             ": it is another version than this program needs"));
}

}  // namespace millrace::cuda
