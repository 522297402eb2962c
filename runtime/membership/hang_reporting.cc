#include "runtime/membership/hang_reporting.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace millrace {
namespace {

class HangReporting : public Communicator {
 public:
  HangReporting(std::unique_ptr<Communicator> inner, std::function<std::string()> report)
      : inner_(std::move(inner)), report_(std::move(report)) {}

  int rank() const override { return inner_->rank(); }
  int size() const override { return inner_->size(); }
  absl::StatusOr<Ticket> Post(absl::Span<const Transfer> group) override { return inner_->Post(group); }
  bool Done(Ticket ticket) override { return inner_->Done(ticket); }
  absl::Status Wait(Ticket ticket, const std::function<std::string()>& what) override {
    return inner_->Wait(ticket, [&] { return absl::StrCat(what(), "\n", report_(), "\n"); });
  }
  absl::Status Barrier() override { return inner_->Barrier(); }
  absl::Status AllGather(const void* mine, void* all, uint64_t bytes) override {
    return inner_->AllGather(mine, all, bytes);
  }
  absl::StatusOr<Ticket> PostAfter(Stream& stream, absl::Span<const Transfer> group) override {
    return inner_->PostAfter(stream, group);
  }
  absl::Status WaitOn(Stream& stream, Ticket ticket, const std::function<std::string()>& what) override {
    return inner_->WaitOn(stream, ticket, [&] { return absl::StrCat(what(), "\n", report_(), "\n"); });
  }
  void Abort(absl::Status why) override { inner_->Abort(std::move(why)); }
  absl::Status Failure() const override { return inner_->Failure(); }
  absl::Status Attach(Device* device) override { return inner_->Attach(device); }

 private:
  const std::unique_ptr<Communicator> inner_;
  const std::function<std::string()> report_;
};

}  // namespace

std::unique_ptr<Communicator> ReportHangs(std::unique_ptr<Communicator> inner, std::function<std::string()> report) {
  return std::make_unique<HangReporting>(std::move(inner), std::move(report));
}

}  // namespace millrace
