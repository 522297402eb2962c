// Whether two sources can both be right.
#ifndef RUNTIME_LAUNCH_DISAGREEMENT_H_
#define RUNTIME_LAUNCH_DISAGREEMENT_H_

#include <string>

#include "runtime/launch/claim.h"

namespace millrace {

// Machines of a claim as it says, or as its ranks divide evenly among them; 0: unknown.
int64_t MachinesOf(const Claim& claim);

// "" when they agree, else what each says: "the rank: torchrun says 1 (RANK=1), Slurm says 3 (SLURM_PROCID=3)". `inner`
// comes first in the documented order.
std::string DisagreementOf(const Claim& inner, const std::string& inner_name, const Claim& outer,
                           const std::string& outer_name);

}  // namespace millrace

#endif  // RUNTIME_LAUNCH_DISAGREEMENT_H_
