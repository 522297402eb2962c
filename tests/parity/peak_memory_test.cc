// The memory that a run takes is the memory that its plan promised: a process of its own, watched by the kernel.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "partitioner/graph/gpt2.h"
#include "runtime/job/job_config.h"
#include "runtime/job/trainer.h"
#include "tests/parity/run_plan.h"
#include "tests/runtime/data/files.h"

namespace millrace {
namespace {

// "VmRSS" or "VmHWM" (the peak) of this process, in bytes.
double Resident(const std::string& field) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind(field + ":", 0) != 0) continue;
    const std::vector<std::string> words = absl::StrSplit(line, absl::ByAnyChar("\t "), absl::SkipEmpty());
    uint64_t kilobytes = 0;
    if (words.size() == 3 && absl::SimpleAtoi(words[1], &kilobytes)) return 1024.0 * kilobytes;
  }
  ADD_FAILURE() << "/proc/self/status has no " << field;
  return 0;
}

TEST(PeakMemory, OfARunIsTheSumOfItsArenas) {
  if (dlsym(RTLD_DEFAULT, "__asan_init") != nullptr || dlsym(RTLD_DEFAULT, "__tsan_init") != nullptr) {
    GTEST_SKIP() << "a sanitizer's shadow memory would be counted";
  }
  const auto model =
      MakeGpt2({.layers = 4, .heads = 4, .width = 256, .vocabulary = 256, .context = 128, .dropout = 0.1});
  ASSERT_TRUE(model.ok()) << model.status();
  PartitionOptions options = OptionsFor("cpu", 2);
  options.micro_batch = 4;
  options.micro_batches = 8;
  options.schedule = "gpipe";
  const auto plan = PlanFor(*model, options);
  ASSERT_TRUE(plan.ok()) << plan.status();
  double predicted = 0;
  for (const proto::Rank& rank : plan->ranks()) predicted += rank.arena_bytes();
  ASSERT_GT(predicted, 200e6);

  proto::JobConfig job = DefaultJobConfig();
  job.set_steps(3);
  job.set_threads(1);
  job.set_out_dir(FreshFolder() + "/run");
  job.mutable_data()->set_format("synthetic");
  job.set_eval_micro_batches(8);
  const double before = Resident("VmRSS");
  ASSERT_LT(Resident("VmHWM") - before, 64e6) << "the peak before the run would hide that of the run";
  {
    auto trainer = Trainer::Create(*plan, &*model, job, {});
    ASSERT_TRUE(trainer.ok()) << trainer.status();
    const auto results = (*trainer)->Run();
    ASSERT_TRUE(results.ok()) << results.status();
  }
  const double grown = Resident("VmHWM") - before;
  std::printf("predicted %.1f MB, grown by %.1f MB\n", predicted / 1e6, grown / 1e6);
  EXPECT_LE(grown, 1.03 * predicted + 64e6);
  EXPECT_GE(grown, 0.97 * predicted - 64e6);
}

}  // namespace
}  // namespace millrace
