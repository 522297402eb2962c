// Instructions put into a rank's list, or moved in it, while the rest keeps its order and what it comes after.
#ifndef PARTITIONER_LOWER_LIST_EDIT_H_
#define PARTITIONER_LOWER_LIST_EDIT_H_

#include <vector>

#include "proto/plan.pb.h"

namespace millrace {

// Until Finish, instructions are known by handles: the list's own by their index, new ones by what the calls return.
// `after` and `begins` of all of them hold handles.
class ListEdit {
 public:
  explicit ListEdit(proto::RankProgram* list);

  int size() const { return size_; }  // of the list as it was
  proto::Instruction& at(int handle) { return instructions_[handle]; }

  // In front of, or behind, one of the list's own; behind what was put there before.
  int InsertBefore(int index, proto::Instruction instruction) { return Put(index, std::move(instruction), &before_); }
  int InsertBehind(int index, proto::Instruction instruction) { return Put(index, std::move(instruction), &behind_); }
  // At the end.
  int Append(proto::Instruction instruction);
  // One of the list's own goes behind another.
  void MoveBehind(int index, int moved);

  // Must be called; nothing else may be afterwards.
  void Finish();

  // One more than the highest channel.
  uint32_t NewChannel();

 private:
  int Put(int index, proto::Instruction instruction, std::vector<std::vector<int>>* where);

  proto::RankProgram* const list_;
  const int size_;
  std::vector<proto::Instruction> instructions_;   // by handle
  std::vector<std::vector<int>> before_, behind_;  // by index
  std::vector<int> appended_;
  std::vector<bool> moved_;
};

}  // namespace millrace

#endif  // PARTITIONER_LOWER_LIST_EDIT_H_
