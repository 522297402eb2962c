// What a communicator keeps of each group in flight, and the ticket that names it.
#ifndef RUNTIME_COMM_RECORDS_H_
#define RUNTIME_COMM_RECORDS_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

#include "runtime/comm/communicator.h"

namespace millrace {

// What Records wants in a record; they alone change it.
struct RecordBase {
  bool open = false;
  uint32_t generation = 0;
};

// Records are used again and again: as many are kept as were ever in flight at once, at addresses that stay. A ticket
// is (generation << 32 | index), so that one of a retired record names nothing. Not thread-safe.
template <typename Record>
class Records {
 public:
  using Ticket = Communicator::Ticket;

  // Opens one; it holds what its last use left.
  uint32_t Take() {
    if (free_.empty()) {
      free_.push_back(static_cast<uint32_t>(records_.size()));
      records_.emplace_back();
    }
    const uint32_t index = free_.back();
    free_.pop_back();
    records_[index].open = true;
    return index;
  }
  void Retire(uint32_t index) {
    records_[index].open = false;
    ++records_[index].generation;
    free_.push_back(index);
  }

  Ticket TicketOf(uint32_t index) const { return (static_cast<Ticket>(records_[index].generation) << 32) | index; }
  static uint32_t IndexOf(Ticket ticket) { return static_cast<uint32_t>(ticket); }
  bool Issued(Ticket ticket) const { return IndexOf(ticket) < records_.size(); }
  // nullptr: retired, or never issued.
  Record* Find(Ticket ticket) {
    if (!Issued(ticket)) return nullptr;
    Record& record = records_[IndexOf(ticket)];
    return record.open && record.generation == static_cast<uint32_t>(ticket >> 32) ? &record : nullptr;
  }

  size_t size() const { return records_.size(); }
  Record& operator[](uint32_t index) { return records_[index]; }
  const Record& operator[](uint32_t index) const { return records_[index]; }
  auto begin() { return records_.begin(); }
  auto end() { return records_.end(); }

 private:
  std::deque<Record> records_;
  std::vector<uint32_t> free_;
};

}  // namespace millrace

#endif  // RUNTIME_COMM_RECORDS_H_
