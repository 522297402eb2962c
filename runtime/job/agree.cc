#include "runtime/job/agree.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "runtime/comm/control_tag.h"

namespace millrace {
namespace {

// Longer texts of errors are cut; what they say first is what counts.
constexpr size_t kMostErrorText = 4096;
// No process has a reason to say more than this at once.
constexpr uint64_t kMostTextBytes = uint64_t{1} << 30;
// A message is sent in pieces of at most this.
constexpr uint64_t kPiece = uint64_t{4} << 20;

struct Word {
  int32_t code = 0;
  uint64_t bytes = 0;
};

// The words of all processes, by rank: only those of processes() count.
absl::StatusOr<std::vector<Word>> ShareWords(Ranks* ranks, const Word& mine) {
  std::vector<Word> words(ranks->size());
  for (int rank : ranks->here()) words[rank] = mine;
  MR_RETURN_IF_ERROR(Share(ranks, &words));
  return words;
}

absl::Status Move(Ranks* ranks, bool send, int peer, void* memory, uint64_t bytes, absl::string_view what) {
  Communicator& communicator = *ranks->seat(ranks->this_process()).communicator;
  char* at = static_cast<char*>(memory);
  for (uint64_t done = 0; done < bytes;) {
    const uint64_t part = std::min(kPiece, bytes - done);
    const Transfer transfer{.send = send, .peer = peer, .tag = kControlTag, .memory = at + done, .bytes = part};
    MR_ASSIGN_OR_RETURN(const Communicator::Ticket ticket, communicator.Post({&transfer, 1}));
    MR_RETURN_IF_ERROR(communicator.Wait(ticket, [&] {
      return absl::StrCat("rank ", ranks->this_process(), send ? " waits to send rank " : " waits for rank ", peer,
                          send ? " " : " to send ", what);
    }));
    done += part;
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ShareBytes(Ranks* ranks, void* all, uint64_t bytes) {
  if (ranks->all_here() || bytes == 0) return absl::OkStatus();
  char* const mine = static_cast<char*>(all);
  const std::unique_ptr<char[]> gathered(new char[bytes * ranks->size()]);
  MR_RETURN_IF_ERROR(ranks->Each([&](Seat& seat) -> absl::Status {
    if (seat.rank == ranks->this_process()) {
      return seat.communicator->AllGather(mine + seat.rank * bytes, gathered.get(), bytes);
    }
    const std::unique_ptr<char[]> unused(new char[bytes * ranks->size()]);
    return seat.communicator->AllGather(mine + seat.rank * bytes, unused.get(), bytes);
  }));
  std::memcpy(all, gathered.get(), bytes * ranks->size());
  return absl::OkStatus();
}

absl::StatusOr<bool> AnyOf(Ranks* ranks, bool mine) {
  std::vector<uint8_t> words(ranks->size(), mine ? 1 : 0);
  MR_RETURN_IF_ERROR(Share(ranks, &words));
  return std::any_of(words.begin(), words.end(), [](uint8_t word) { return word != 0; });
}

absl::Status AllOk(Ranks* ranks, const absl::Status& mine) {
  if (ranks->all_here()) return mine;
  const absl::string_view text = mine.message().substr(0, kMostErrorText);
  MR_ASSIGN_OR_RETURN(const std::vector<Word> words, ShareWords(ranks, {mine.raw_code(), text.size()}));
  const auto failed = std::find_if(words.begin(), words.end(), [](const Word& word) { return word.code != 0; });
  if (failed == words.end()) return absl::OkStatus();
  uint64_t longest = 0;
  for (const Word& word : words) longest = std::max(longest, std::min<uint64_t>(word.bytes, kMostErrorText));
  std::string all(longest * ranks->size(), '\0');
  for (int rank : ranks->here()) std::memcpy(all.data() + rank * longest, text.data(), text.size());
  MR_RETURN_IF_ERROR(ShareBytes(ranks, all.data(), longest));
  const int rank = static_cast<int>(failed - words.begin());
  // The process that failed keeps what else its status carries (an exit code, the kind of file error).
  if (ranks->process_of(rank) == ranks->this_process()) return mine;
  const std::string said = all.substr(rank * longest, std::min<uint64_t>(failed->bytes, longest));
  return absl::Status(static_cast<absl::StatusCode>(failed->code),
                      absl::StartsWith(said, "rank ") ? said : absl::StrCat("rank ", rank, ": ", said));
}

absl::StatusOr<std::string> FromRoot(Ranks* ranks, const absl::StatusOr<std::string>& roots) {
  if (ranks->all_here()) return roots;
  const bool root = ranks->has_root();
  MR_RETURN_IF_ERROR(AllOk(ranks, root ? roots.status() : absl::OkStatus()));
  Word mine;
  if (root) mine.bytes = roots->size();
  MR_ASSIGN_OR_RETURN(const std::vector<Word> words, ShareWords(ranks, mine));
  if (words[0].bytes > kMostTextBytes) {
    return absl::InternalError(absl::StrCat("rank 0 has ", words[0].bytes, " bytes to say"));
  }
  if (!root) {
    std::string said(words[0].bytes, '\0');
    MR_RETURN_IF_ERROR(ReceiveFrom(ranks, 0, said.data(), said.size(), "its decision"));
    return said;
  }
  for (int process : ranks->processes()) {
    if (process == 0) continue;
    MR_RETURN_IF_ERROR(SendTo(ranks, process, roots->data(), roots->size(), "a decision"));
  }
  return roots;
}

absl::StatusOr<std::vector<std::string>> GatherAtRoot(Ranks* ranks, absl::string_view mine) {
  std::vector<std::string> gathered;
  if (ranks->all_here()) {
    gathered.emplace_back(mine);
    return gathered;
  }
  MR_ASSIGN_OR_RETURN(const std::vector<Word> words, ShareWords(ranks, {0, mine.size()}));
  if (!ranks->has_root()) {
    MR_RETURN_IF_ERROR(SendTo(ranks, 0, mine.data(), mine.size(), "what it gathers"));
    return gathered;
  }
  for (int process : ranks->processes()) {
    if (process == 0) {
      gathered.emplace_back(mine);
      continue;
    }
    if (words[process].bytes > kMostTextBytes) {
      return absl::InternalError(absl::StrCat("rank ", process, " has ", words[process].bytes, " bytes to say"));
    }
    std::string& said = gathered.emplace_back(words[process].bytes, '\0');
    MR_RETURN_IF_ERROR(ReceiveFrom(ranks, process, said.data(), said.size(), "its part"));
  }
  return gathered;
}

absl::Status SendTo(Ranks* ranks, int peer, const void* memory, uint64_t bytes, absl::string_view what) {
  return Move(ranks, /*send=*/true, peer, const_cast<void*>(memory), bytes, what);
}

absl::Status ReceiveFrom(Ranks* ranks, int peer, void* memory, uint64_t bytes, absl::string_view what) {
  return Move(ranks, /*send=*/false, peer, memory, bytes, what);
}

}  // namespace millrace
