// What a run wants to know of its plan. Pure.
#ifndef RUNTIME_JOB_PLAN_FACTS_H_
#define RUNTIME_JOB_PLAN_FACTS_H_

#include <cstdint>
#include <string>

#include "proto/plan.pb.h"

namespace millrace {

// micro_batches * micro_batch_size.
uint64_t SamplesPerStep(const proto::ExecutionPlan& plan, const proto::Program& program);

// T of the TOKENS input; 1 when the model has none, so that samples are counted instead.
int64_t TokensPerSample(const proto::ExecutionPlan& plan);
bool HasTokens(const proto::ExecutionPlan& plan);

// Ids the model has room for: rows of the tables that its TOKENS are looked up in; without tokens, the classes of its
// loss. 0: not found.
int64_t VocabularyOf(const proto::ExecutionPlan& plan);

// Floating-point operations of one whole program, as the plan counts them.
double FlopsOf(const proto::Program& program);

// "adamw.m/", "adamw.v/", "sgd.momentum/", "adamw.master/": the prefix of an optimizer state's name in checkpoints.
std::string StatePrefix(const std::string& optimizer, int state);

}  // namespace millrace

#endif  // RUNTIME_JOB_PLAN_FACTS_H_
