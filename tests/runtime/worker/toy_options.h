// Options and settings that the tests of the worker share.
#ifndef TESTS_RUNTIME_WORKER_TOY_OPTIONS_H_
#define TESTS_RUNTIME_WORKER_TOY_OPTIONS_H_

#include "runtime/worker/worker.h"
#include "tests/runtime/worker/toy_plan.h"

namespace millrace {

// A worker of the toy whose transient memory is poisoned.
inline WorkerOptions ToyWorker(const ToyOptions& toy, Device* device) {
  WorkerOptions options;
  options.device = device;
  options.load = ToyLoad(toy);
  options.seed = 11;
  options.poison = true;
  return options;
}

// Everything that an optimizer may use is switched on.
inline StepSettings ToySettings(uint64_t step) {
  StepSettings settings;
  settings.step = step;
  settings.optimizer_step = step + 1;
  settings.learning_rate = 0.05;
  settings.weight_decay = 0.1;
  settings.momentum = 0.9;
  settings.clip_norm = 0.3;
  return settings;
}

}  // namespace millrace

#endif  // TESTS_RUNTIME_WORKER_TOY_OPTIONS_H_
