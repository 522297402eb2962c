#include "tests/gpu/file_exchange.h"

#include <cstdio>
#include <fstream>
#include <iterator>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"

namespace millrace {

std::string FileExchange::PathOf(absl::string_view key, int rank) const {
  return absl::StrCat(folder_, "/", absl::StrReplaceAll(key, {{"/", "_"}}), ".", rank);
}

absl::StatusOr<std::vector<std::string>> FileExchange::AllGather(absl::string_view key, absl::string_view mine,
                                                                 absl::Time deadline) {
  const std::string path = PathOf(key, rank_), draft = path + ".new";
  {
    std::ofstream out(draft, std::ios::binary);
    out.write(mine.data(), static_cast<std::streamsize>(mine.size()));
    if (!out.flush()) return absl::UnavailableError(absl::StrCat("cannot write ", draft));
  }
  // Whole or not there.
  if (std::rename(draft.c_str(), path.c_str()) != 0) return absl::UnavailableError(absl::StrCat("cannot write ", path));
  std::vector<std::string> all(size_);
  for (int rank = 0; rank < size_; ++rank) {
    while (true) {
      std::ifstream in(PathOf(key, rank), std::ios::binary);
      if (in) {
        all[rank].assign(std::istreambuf_iterator<char>(in), {});
        break;
      }
      if (absl::Now() > deadline) {
        return absl::DeadlineExceededError(absl::StrCat("'", key, "': no word from ranks ", rank));
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
  return all;
}

}  // namespace millrace
