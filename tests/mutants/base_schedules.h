// What mutants are made from: schedules of every kind and small models to run them on.
#ifndef TESTS_MUTANTS_BASE_SCHEDULES_H_
#define TESTS_MUTANTS_BASE_SCHEDULES_H_

#include <string>
#include <vector>

#include "partitioner/partition.h"
#include "proto/model.pb.h"
#include "runtime/plan/action.h"
#include "tests/parity/run_plan.h"

namespace millrace {

constexpr int64_t kMutantVocabulary = 23;
constexpr int64_t kMutantMicroBatch = 1;  // samples

// "gpt2" (dropout, tied weights) or "llama" (untied), of four layers.
const proto::Model& MutantModel(const std::string& name);

struct BaseSchedule {
  std::string kind;  // of ScheduleKinds(), or "recompute": some stages have actions R
  std::string name;  // "zb-h1, p 3, m 6"
  Schedule schedule;
};

// `kind` on p ranks, with the fewest micro-batches from 4 on that it takes: 2p where more than 4.
BaseSchedule MakeBase(const std::string& kind, int p);
// ScheduleKinds() and "recompute".
std::vector<std::string> BaseKinds();

// Options for a plan of a list; pp 1 and no schedule: one stage.
PartitionOptions MutantOptions(int pp, int micro_batches);

// What one stage trains to: what every right schedule must train to.
const RunResult& OneStage(const std::string& model, int micro_batches, int steps);
RunOptions MutantRun(int steps);

// Nothing when every loss, norm, gradient and weight has the same bits.
std::string DifferenceOf(const RunResult& a, const RunResult& b);

}  // namespace millrace

#endif  // TESTS_MUTANTS_BASE_SCHEDULES_H_
