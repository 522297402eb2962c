// Tells the address sanitizer which bytes of the arena nobody may touch now. Without the sanitizer these do nothing.
#ifndef RUNTIME_WORKER_POISON_H_
#define RUNTIME_WORKER_POISON_H_

#include <cstdint>

namespace millrace {

// Is this build watched by the address sanitizer?
bool CanPoison();
void PoisonMemory(const void* memory, uint64_t bytes);
void UnpoisonMemory(const void* memory, uint64_t bytes);

}  // namespace millrace

#endif  // RUNTIME_WORKER_POISON_H_
