// From measured kernel calls to the rates that price those which were not measured.
#ifndef PARTITIONER_COST_FIT_RATES_H_
#define PARTITIONER_COST_FIT_RATES_H_

#include "proto/costs.pb.h"

namespace millrace {

// Sets table->alone and, where shared times were measured, table->shared from the table's kernels.
//
// The model is the roofline t = c + max(flops / R[family], bytes / B). c is the smallest time of all calls that move
// under 16 KiB and compute under 16 kFLOP; 1 us when there is none. Each call is on one side of the roof: by the present
// rates arithmetic or memory takes it longer. A rate is then the median, weighted by time, of what the calls on its side
// reached, which a few disturbed measurements do not move; sides and rates take turns until they stay (as in Lloyd's
// algorithm, 1982), at most 20 times. Rates begin at the 90th percentile of all calls, each counted once, because on a
// true roofline no call is above. A family without a call on its side keeps 0: nothing is known of it. Entries without flops and bytes are
// left out.
void FitRates(proto::CostTable* table);

}  // namespace millrace

#endif  // PARTITIONER_COST_FIT_RATES_H_
