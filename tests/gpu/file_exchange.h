// An Exchange between processes of one machine that see one folder: for checks on a machine that has nothing else.
#ifndef TESTS_GPU_FILE_EXCHANGE_H_
#define TESTS_GPU_FILE_EXCHANGE_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/comm/exchange.h"

namespace millrace {

// The folder is empty at first, private to the user, and not used again.
class FileExchange : public Exchange {
 public:
  FileExchange(std::string folder, int rank, int size) : folder_(std::move(folder)), rank_(rank), size_(size) {}

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  absl::StatusOr<std::vector<std::string>> AllGather(absl::string_view key, absl::string_view mine,
                                                     absl::Time deadline) override;

 private:
  std::string PathOf(absl::string_view key, int rank) const;

  const std::string folder_;
  const int rank_, size_;
};

}  // namespace millrace

#endif  // TESTS_GPU_FILE_EXCHANGE_H_
