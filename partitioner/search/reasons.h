// Why a configuration lost, and what is missing where nothing fits: in words.
#ifndef PARTITIONER_SEARCH_REASONS_H_
#define PARTITIONER_SEARCH_REASONS_H_

#include <string>

#include "partitioner/search/search.h"

namespace millrace {

// "4.2 % slower: bubble 11.8 % of its step (answer: 2.1 %)": the part whose seconds grew most.
std::string WhySlower(const Candidate& candidate, const Candidate& answer, const SearchQuestion& question);

// "needs 103.2 GB on a device, 26.2 GB more than there is".
std::string WhyTooLarge(const Candidate& candidate, const SearchQuestion& question);

}  // namespace millrace

#endif  // PARTITIONER_SEARCH_REASONS_H_
