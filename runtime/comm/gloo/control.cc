#include "runtime/comm/gloo/control.h"

#include <algorithm>
#include <cstring>
#include <exception>

namespace millrace::gloo_comm {
namespace {

// SplitMix64's finaliser: a bijection in which every bit depends on every other.
uint64_t Mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

}  // namespace

void ControlRecord::SetText(absl::string_view from) {
  text_bytes = static_cast<uint32_t>(std::min(from.size(), sizeof(text)));
  std::memcpy(text, from.data(), text_bytes);
}

std::string ControlRecord::Text() const {
  return std::string(text, std::min<size_t>(text_bytes, sizeof(text)));
}

void Outbox::Send(const std::shared_ptr<Mesh>& mesh, int peer, const ControlRecord& record) {
  std::lock_guard<std::mutex> lock(mutex_);
  letters_.remove_if([](const Letter& letter) { return letter.parcel->Done(); });
  Letter& letter = letters_.emplace_back();
  letter.record = record;
  letter.parcel = std::make_unique<Parcel>(mesh, &letter.record, sizeof(ControlRecord));
  try {
    letter.parcel->send(peer, SlotOf(SlotKind::kControl, 0, 0), 0, sizeof(ControlRecord));
  } catch (const std::exception&) {
    letters_.pop_back();
  }
}

void Outbox::Clear() {
  std::lock_guard<std::mutex> lock(mutex_);
  letters_.clear();
}

uint64_t SlotOf(SlotKind kind, uint64_t tag, uint64_t bytes) {
  return Mix(Mix(Mix(static_cast<uint64_t>(kind)) ^ tag) ^ bytes);
}

}  // namespace millrace::gloo_comm
