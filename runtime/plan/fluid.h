// Jobs that run at the same time on fewer cores than they have threads, or transfers on one wire: processor sharing.
//
// With jobs of together n threads on c cores each proceeds at rate min(1, c / n), as under a fair scheduler whose time
// slice is short beside a job (Kleinrock, "Time-shared systems: a theoretical treatment", 1967). Besides, a job slows
// down when other cores are busy, because they share caches and memory: its duration lies between `alone` (no other
// core is busy) and `shared` (all are), in proportion to how many are.
#ifndef RUNTIME_PLAN_FLUID_H_
#define RUNTIME_PLAN_FLUID_H_

#include <vector>

namespace millrace {

class Fluid {
 public:
  struct Job {
    int id = 0;
    int threads = 1;
    double alone = 0;   // seconds, > 0
    double shared = 0;  // seconds, > 0
    double left = 1;    // of the job, 1: all of it
  };

  // cores > 0. `most_busy`: cores that are busy at once when every member works; `shared` durations hold then.
  Fluid(int cores, int most_busy) : cores_(cores), most_busy_(most_busy) {}

  // Times never go back from call to call.
  void Add(double now, const Job& job);
  // When the first job ends if nothing is added before; infinity when there is none.
  double NextEnd() const;
  // Goes on to `now` = NextEnd() and appends the ids of the jobs that end then, at least one, in order of arrival.
  void End(double now, std::vector<int>* ids);

 private:
  double SecondsOf(const Job& job) const;  // of the whole job, at the present crowd
  void Advance(double now);

  const int cores_, most_busy_;
  double at_ = 0;
  int threads_ = 0;  // of the jobs present
  std::vector<Job> jobs_;
};

}  // namespace millrace

#endif  // RUNTIME_PLAN_FLUID_H_
