#include "partitioner/search/configuration.h"

#include "absl/strings/str_cat.h"

namespace millrace {

absl::string_view NameOf(SearchedSchedule schedule) {
  switch (schedule) {
    case SearchedSchedule::k1F1B:
      return "1f1b";
    case SearchedSchedule::kInterleaved:
      return "interleaved";
    case SearchedSchedule::kZbH1:
      return "zb-h1";
    case SearchedSchedule::kZbH2:
      return "zb-h2";
  }
  return "?";
}

std::string Configuration::ToString() const {
  return absl::StrCat("t ", tensor_parallel, ", p ", pipeline, ", d ", replicas, ", micro-batch ", micro_batch, " x ",
                      micro_batches, ", ", NameOf(schedule), chunks > 1 ? absl::StrCat(" of ", chunks, " chunks") : "",
                      ", recompute ", NameOf(recompute), ", sharding ", sharding,
                      placement == Placement::kStagesTogether ? ", stages together" : "");
}

}  // namespace millrace
