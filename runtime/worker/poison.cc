#include "runtime/worker/poison.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MR_ADDRESS_SANITIZER 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define MR_ADDRESS_SANITIZER 1
#endif

#if defined(MR_ADDRESS_SANITIZER)
#include <sanitizer/asan_interface.h>

namespace millrace {

bool CanPoison() { return true; }
void PoisonMemory(const void* memory, uint64_t bytes) { ASAN_POISON_MEMORY_REGION(memory, bytes); }
void UnpoisonMemory(const void* memory, uint64_t bytes) { ASAN_UNPOISON_MEMORY_REGION(memory, bytes); }

}  // namespace millrace

#else

namespace millrace {

bool CanPoison() { return false; }
void PoisonMemory(const void*, uint64_t) {}
void UnpoisonMemory(const void*, uint64_t) {}

}  // namespace millrace

#endif
