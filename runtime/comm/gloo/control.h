// What ranks tell each other beside payload: questions about late transfers, farewells, errors. Small, rare, and
// received by a thread of their own (communicator.h here), so they arrive whatever a rank does.
#ifndef RUNTIME_COMM_GLOO_CONTROL_H_
#define RUNTIME_COMM_GLOO_CONTROL_H_

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "runtime/comm/gloo/link.h"

namespace millrace::gloo_comm {

// Plain bytes on the wire, of ranks of one kind of machine.
struct ControlRecord {
  enum Kind : uint32_t {
    kQuestion = 1,  // I have posted this transfer; have you, with other bytes?
    kFarewell,      // I leave, and have no more to send
    kAbort,         // the first error is `code`, `text`
    kHeard,         // everything you sent me up to your farewell or error has arrived
  };

  uint32_t kind = 0;
  uint32_t code = 0;
  // The transfer, as the rank that asks sees it.
  uint32_t send = 0;
  uint32_t text_bytes = 0;
  uint64_t tag = 0;
  uint64_t bytes = 0;
  uint64_t use = 0;  // the how manieth with that peer, direction and tag
  char text[472] = {};

  void SetText(absl::string_view from);  // cuts what does not fit
  std::string Text() const;
};
static_assert(sizeof(ControlRecord) == 512);

// Records on their way out. Any thread.
class Outbox {
 public:
  // Does nothing when the peer's link is lost.
  void Send(const std::shared_ptr<Mesh>& mesh, int peer, const ControlRecord& record);
  void Clear();

 private:
  struct Letter {
    ControlRecord record;
    std::unique_ptr<Parcel> parcel;
  };
  std::mutex mutex_;
  std::list<Letter> letters_;
};

// Slots of gloo: where the two halves of a transfer meet.
enum class SlotKind : uint64_t { kTransfer = 1, kControl, kMeeting };
// 64 well-mixed bits. `tag` and `bytes` are those of the transfer, so halves that differ in either never meet.
uint64_t SlotOf(SlotKind kind, uint64_t tag, uint64_t bytes);

}  // namespace millrace::gloo_comm

#endif  // RUNTIME_COMM_GLOO_CONTROL_H_
