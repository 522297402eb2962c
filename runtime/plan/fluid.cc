#include "runtime/plan/fluid.h"

#include <algorithm>
#include <limits>

namespace millrace {
namespace {

// Of a job: what rounding may leave of it when it ends.
constexpr double kNothing = 1e-9;

}  // namespace

double Fluid::SecondsOf(const Job& job) const {
  const int busy = std::min(threads_, cores_);
  const int others = most_busy_ - job.threads;
  const double share = others <= 0 ? 0 : std::clamp(static_cast<double>(busy - job.threads) / others, 0.0, 1.0);
  const double seconds = job.alone + share * (job.shared - job.alone);
  return threads_ <= cores_ ? seconds : seconds * threads_ / cores_;
}

void Fluid::Advance(double now) {
  if (now > at_) {
    for (Job& job : jobs_) job.left -= (now - at_) / SecondsOf(job);
  }
  at_ = now;
}

void Fluid::Add(double now, const Job& job) {
  Advance(now);
  jobs_.push_back(job);
  threads_ += job.threads;
}

double Fluid::NextEnd() const {
  double least = std::numeric_limits<double>::infinity();
  for (const Job& job : jobs_) least = std::min(least, job.left * SecondsOf(job));
  return at_ + std::max(0.0, least);
}

void Fluid::End(double now, std::vector<int>* ids) {
  double least = std::numeric_limits<double>::infinity();
  for (const Job& job : jobs_) least = std::min(least, job.left * SecondsOf(job));
  // Jobs that end with the first, as far as rounding can tell.
  std::vector<bool> ends;
  for (const Job& job : jobs_) ends.push_back(job.left * SecondsOf(job) <= least + kNothing * SecondsOf(job));
  Advance(now);
  size_t kept = 0;
  for (size_t j = 0; j < ends.size(); ++j) {
    if (ends[j]) {
      ids->push_back(jobs_[j].id);
      threads_ -= jobs_[j].threads;
    } else {
      jobs_[kept++] = jobs_[j];
    }
  }
  jobs_.resize(kept);
}

}  // namespace millrace
