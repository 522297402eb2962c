// How the processes of one run decide together. They all execute the same control flow, so whatever steers it must be
// the same everywhere: it is shared here first, by the rule that each function names.
//
// Every process calls the same functions in the same order, between two Ranks::Each, on the thread that owns its Ranks.
// Where all ranks are in one process nothing is sent. An error of the communicator is returned as it is; the run cannot
// go on after it.
#ifndef RUNTIME_JOB_AGREE_H_
#define RUNTIME_JOB_AGREE_H_

#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/job/ranks.h"

namespace millrace {

// `all` has `bytes` for each rank of the plan, in rank order, of which this process has filled those of its own ranks;
// the others' are filled in.
absl::Status ShareBytes(Ranks* ranks, void* all, uint64_t bytes);

// The same for one small value per rank.
template <typename T>
absl::Status Share(Ranks* ranks, std::vector<T>* all) {
  static_assert(std::is_trivially_copyable_v<T>);
  if (static_cast<int>(all->size()) != ranks->size()) return absl::InternalError("one value for each rank is needed");
  return ShareBytes(ranks, all->data(), sizeof(T));
}

// True everywhere when it is true in one process.
absl::StatusOr<bool> AnyOf(Ranks* ranks, bool mine);

// OK everywhere when every process is OK; otherwise, everywhere, the error of the lowest process that has one, with its
// rank in front.
absl::Status AllOk(Ranks* ranks, const absl::Status& mine);

// What rank 0's process says, or its error. `roots` of the others does not count.
absl::StatusOr<std::string> FromRoot(Ranks* ranks, const absl::StatusOr<std::string>& roots);

// In rank 0's process: what each process says, in the order of Ranks::processes(). Elsewhere: nothing.
absl::StatusOr<std::vector<std::string>> GatherAtRoot(Ranks* ranks, absl::string_view mine);

// One message between two processes, of bytes that both sides know. `peer` is the rank that speaks for the other one.
// `what` says what is waited for in reports.
absl::Status SendTo(Ranks* ranks, int peer, const void* memory, uint64_t bytes, absl::string_view what);
absl::Status ReceiveFrom(Ranks* ranks, int peer, void* memory, uint64_t bytes, absl::string_view what);

}  // namespace millrace

#endif  // RUNTIME_JOB_AGREE_H_
