// A node that stays on a stage the user chose.
#ifndef PARTITIONER_CUT_PIN_H_
#define PARTITIONER_CUT_PIN_H_

#include <string>

namespace millrace {

struct Pin {
  std::string node;  // a forward node
  int stage = 0;
};

}  // namespace millrace

#endif  // PARTITIONER_CUT_PIN_H_
