// What the person in front of a run sees.
#ifndef RUNTIME_JOB_PROGRESS_H_
#define RUNTIME_JOB_PROGRESS_H_

#include <cstdint>
#include <mutex>
#include <ostream>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace millrace {

// The numbers of one finished step.
struct StepReport {
  uint64_t step = 0;   // steps done, from 1
  uint64_t steps = 0;  // of the whole run
  double loss = 0;     // mean over the step's tokens (or samples)
  double gradient_norm = 0;
  double learning_rate = 0;
  double seconds = 0;
  uint64_t tokens = 0;  // of the step; samples when the model has no tokens
  bool counts_tokens = true;
  bool skipped = false;  // the gradient was not finite: nothing was changed
  double bubble = 0;     // share of the ranks' time without work
  double mfu = 0;        // share of the devices' peak; 0: unknown

  double tokens_per_second() const { return seconds > 0 ? tokens / seconds : 0; }
};

// "step 12/100  loss 4.1234  norm 1.02  lr 3.0e-04  123 ms  8314 tok/s  bubble 21 %  MFU 45 %"
std::string StepLine(const StepReport& report);

// Writes to `out`, which must outlive it; nullptr: to nobody. On a terminal one line is rewritten at most ten times a
// second, and a line is kept every ten seconds; elsewhere at most about a hundred lines are written for the whole run,
// or one every ten seconds when steps are slow. Messages of runtime/log are written around the line. Thread-safe.
class Progress {
 public:
  Progress(std::ostream* out, bool terminal, uint64_t steps);
  ~Progress();

  void Step(const StepReport& report);
  void Note(absl::string_view line);  // a line that stays

 private:
  void Keep(absl::string_view line);

  std::mutex mutex_;
  std::ostream* out_;
  bool terminal_;
  uint64_t every_;
  std::string shown_;  // the line that is rewritten, as it stands
  absl::Time last_shown_ = absl::InfinitePast();
  absl::Time last_kept_ = absl::InfinitePast();
};

}  // namespace millrace

#endif  // RUNTIME_JOB_PROGRESS_H_
