// Where a rank stands in its instruction list, and the board on which its worker notes it for others to read.
#ifndef RUNTIME_RENDEZVOUS_POSITION_H_
#define RUNTIME_RENDEZVOUS_POSITION_H_

#include <array>
#include <atomic>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "proto/control.pb.h"

namespace millrace {

// Position.peer of a rank that waits until all ranks have come to where it stands.
inline constexpr int32_t kEveryone = -2;

// A note of one instruction. The texts are copied when it is written down, cut to kActionBytes and kEdgeBytes.
struct Position {
  int64_t instruction = -1;       // index in the rank's list; -1: before the first
  absl::string_view action;       // "RECV", "2F0"
  absl::string_view edge;         // empty: none
  int64_t micro_batch = -1;       // -1: none
  int32_t peer = -1;              // the rank it waits for, or kEveryone; -1: it waits for nobody
  int64_t peer_instruction = -1;  // the other half of the transfer in the peer's list; -1: not known
};

// Written by one thread, without locks, waiting or allocation (some twenty plain stores); read by any thread, which
// always gets a note as it was written, never a mixture of two.
class PositionBoard {
 public:
  static constexpr size_t kActionBytes = 31;
  static constexpr size_t kEdgeBytes = 95;

  void Write(const Position& position);

  // Copies the note. False when there is none, or none since `*seen`, which is brought up to date; also when the writer
  // is always at it: the next call finds a later one.
  bool ReadNew(uint64_t* seen, proto::Position* position) const;

 private:
  static constexpr size_t kWords = 4 + (kActionBytes + 1 + kEdgeBytes + 1) / 8;

  // Odd while a note is being written. A reader that meets any word of a newer note also meets its odd count, because
  // words are stored with release and loaded with acquire.
  std::atomic<uint64_t> count_{0};
  std::array<std::atomic<uint64_t>, kWords> words_{};
};

}  // namespace millrace

#endif  // RUNTIME_RENDEZVOUS_POSITION_H_
