// What makes one step longer than another: in words.
#ifndef PARTITIONER_SEARCH_SLOWER_H_
#define PARTITIONER_SEARCH_SLOWER_H_

#include <string>

#include "partitioner/search/estimate.h"

namespace millrace {

// The part of a step whose seconds grew most from `best` to `own`; nothing where none grew.
double StepSeconds::*LargestLoss(const StepSeconds& own, const StepSeconds& best);

// "4.2 % slower: bubble 3.100 ms (answer: 1.200 ms)".
std::string SlowerText(const StepSeconds& own, const StepSeconds& best);

}  // namespace millrace

#endif  // PARTITIONER_SEARCH_SLOWER_H_
