#include "runtime/rendezvous/position.h"

#include <algorithm>
#include <cstring>

namespace millrace {
namespace {

constexpr int kMostTries = 1000;

// The first byte of a text's field is its length.
void PutText(absl::string_view text, size_t limit, char* field) {
  const size_t length = std::min(text.size(), limit);
  field[0] = static_cast<char>(length);
  std::memcpy(field + 1, text.data(), length);
}

absl::string_view Text(const char* field) { return {field + 1, static_cast<unsigned char>(field[0])}; }

}  // namespace

void PositionBoard::Write(const Position& position) {
  std::array<uint64_t, kWords> note{};
  note[0] = static_cast<uint64_t>(position.instruction);
  note[1] = static_cast<uint64_t>(position.micro_batch);
  note[2] = static_cast<uint64_t>(static_cast<int64_t>(position.peer));
  note[3] = static_cast<uint64_t>(position.peer_instruction);
  char* const text = reinterpret_cast<char*>(note.data() + 4);
  PutText(position.action, kActionBytes, text);
  PutText(position.edge, kEdgeBytes, text + kActionBytes + 1);

  const uint64_t count = count_.load(std::memory_order_relaxed);
  count_.store(count + 1, std::memory_order_relaxed);
  for (size_t i = 0; i < kWords; ++i) words_[i].store(note[i], std::memory_order_release);
  count_.store(count + 2, std::memory_order_release);
}

bool PositionBoard::ReadNew(uint64_t* seen, proto::Position* position) const {
  std::array<uint64_t, kWords> note;
  uint64_t before;
  int tries = 0;
  do {
    if (++tries > kMostTries) return false;
    before = count_.load(std::memory_order_acquire);
    if (before == 0 || before == *seen) return false;
    for (size_t i = 0; i < kWords; ++i) note[i] = words_[i].load(std::memory_order_acquire);
  } while (before % 2 == 1 || count_.load(std::memory_order_relaxed) != before);
  *seen = before;

  const char* const text = reinterpret_cast<const char*>(note.data() + 4);
  position->set_instruction(static_cast<int64_t>(note[0]));
  position->set_micro_batch(static_cast<int64_t>(note[1]));
  position->set_peer(static_cast<int32_t>(note[2]));
  position->set_peer_instruction(static_cast<int64_t>(note[3]));
  position->set_action(std::string(Text(text)));
  position->set_edge(std::string(Text(text + kActionBytes + 1)));
  return true;
}

}  // namespace millrace
