#include "partitioner/lower/list_edit.h"

#include <algorithm>
#include <utility>

namespace millrace {

ListEdit::ListEdit(proto::RankProgram* list)
    : list_(list),
      size_(list->instructions_size()),
      instructions_(list->instructions().begin(), list->instructions().end()),
      before_(size_),
      behind_(size_),
      moved_(size_, false) {}

int ListEdit::Put(int index, proto::Instruction instruction, std::vector<std::vector<int>>* where) {
  instructions_.push_back(std::move(instruction));
  const int handle = static_cast<int>(instructions_.size()) - 1;
  (*where)[index].push_back(handle);
  return handle;
}

int ListEdit::Append(proto::Instruction instruction) {
  instructions_.push_back(std::move(instruction));
  appended_.push_back(static_cast<int>(instructions_.size()) - 1);
  return appended_.back();
}

void ListEdit::MoveBehind(int index, int moved) {
  moved_[moved] = true;
  behind_[index].push_back(moved);
}

uint32_t ListEdit::NewChannel() {
  uint32_t highest = 0;
  for (const proto::Instruction& instruction : instructions_) highest = std::max(highest, instruction.channel());
  return highest + 1;
}

void ListEdit::Finish() {
  std::vector<int> order;
  for (int i = 0; i < size_; ++i) {
    order.insert(order.end(), before_[i].begin(), before_[i].end());
    if (!moved_[i]) order.push_back(i);
    order.insert(order.end(), behind_[i].begin(), behind_[i].end());
  }
  order.insert(order.end(), appended_.begin(), appended_.end());
  std::vector<uint32_t> place(instructions_.size());
  for (size_t at = 0; at < order.size(); ++at) place[order[at]] = static_cast<uint32_t>(at);
  list_->clear_instructions();
  for (int handle : order) {
    proto::Instruction& out = *list_->add_instructions();
    out = std::move(instructions_[handle]);
    for (uint32_t& earlier : *out.mutable_after()) earlier = place[earlier];
    std::sort(out.mutable_after()->begin(), out.mutable_after()->end());
    if (out.has_begins()) out.mutable_begins()->set_instruction(place[out.begins().instruction()]);
  }
}

}  // namespace millrace
