// Measured times and what is made of them.
#ifndef RUNTIME_PROFILE_SAMPLES_H_
#define RUNTIME_PROFILE_SAMPLES_H_

#include <vector>

namespace millrace {

struct Spread {
  double median = 0;
  double range = 0;  // interquartile
  int samples = 0;
};

// Of values in any order; zeros of an empty list. Quantiles are interpolated between neighbours.
Spread SpreadOf(std::vector<double> values);

// t = latency + bytes / rate through measured (bytes, seconds). The slope is the median of those of all pairs of
// different sizes (Theil 1950, Sen 1968), the latency the median of what is left; neither is let below zero. rate is 0
// when there are not two sizes or the times do not grow.
struct LineFit {
  double latency = 0;
  double rate = 0;  // bytes per second
};
struct SizedTime {
  double bytes = 0, seconds = 0;
};
LineFit FitLine(const std::vector<SizedTime>& times);

}  // namespace millrace

#endif  // RUNTIME_PROFILE_SAMPLES_H_
