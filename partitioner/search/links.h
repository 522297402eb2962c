// Which links a configuration's traffic goes over, for a placement on hosts of equal size.
#ifndef PARTITIONER_SEARCH_LINKS_H_
#define PARTITIONER_SEARCH_LINKS_H_

#include <string>
#include <vector>

#include "partitioner/paper/machine.h"
#include "partitioner/search/configuration.h"

namespace millrace {

struct LinkUse {
  RankGroup tensor;
  RankGroup replicas;
  // [r] from pipeline rank r to r + 1, the last to the first: inside a host in every replica?
  std::vector<bool> inside;
};

// Groups that the hosts divide unevenly count as the worst of them: as many members in a host as divide both.
LinkUse LinksOf(const Configuration& configuration, const PaperMachine& machine);

// "tensor-parallel inside hosts; stages between hosts; replicas between hosts, 2 in each": for people.
std::string LinksText(const Configuration& configuration, const PaperMachine& machine);

}  // namespace millrace

#endif  // PARTITIONER_SEARCH_LINKS_H_
