#include "runtime/worker/replicas.h"

#include <algorithm>
#include <utility>

#include "proto/status_macros.h"
#include "runtime/plan/alignment.h"
#include "runtime/plan/op_descs.h"
#include "runtime/plan/plan.h"
#include "runtime/worker/tags.h"

namespace millrace {
namespace {

uint64_t Tag(Replicas::Purpose purpose, uint64_t group, uint64_t name) {
  return TransferTag(TagKind::kReplica, static_cast<uint64_t>(purpose), group, name);
}

struct Addition {
  const Kernel* kernel = nullptr;
  void* from = nullptr;
  void* to = nullptr;
};

// ((g0 + g1) + g2) + ...: those before this replica are added where the first of them arrived. A sum of two floats does
// not depend on which is added to which.
void AddInOrder(const Kernel* add, int me, const std::vector<char*>& arrivals, char* mine, std::vector<Addition>* out) {
  for (int other = 1; other < me; ++other) out->push_back({add, arrivals[other], arrivals[0]});
  if (me > 0) out->push_back({add, arrivals[0], mine});
  for (size_t other = me; other < arrivals.size(); ++other) out->push_back({add, arrivals[other], mine});
}

}  // namespace

Replicas::Replicas(const proto::ExecutionPlan& plan, int rank) : ranks_(RanksAt(plan, PlaceOf(plan, rank))) {
  me_ = static_cast<int>(std::find(ranks_.begin(), ranks_.end(), rank) - ranks_.begin());
}

absl::StatusOr<ReplicaWork::Part> Replicas::AddUp(const std::vector<DividedTensor>& tensors, Purpose purpose,
                                                  uint64_t group, char* staging, uint64_t stride,
                                                  StepKernels* kernels) const {
  ReplicaWork::Part part;
  std::vector<Addition> additions;
  uint64_t staged = 0;
  for (const DividedTensor& tensor : tensors) {
    const uint64_t tag = Tag(purpose, group, tensor.name);
    for (int other = 0; other < count(); ++other) {
      const ShardPiece* piece = tensor.pieces[other];
      if (other == me_ || piece == nullptr) continue;
      part.transfers.push_back({true, ranks_[other], tag, tensor.whole + piece->first * tensor.element_bytes,
                                piece->elements * tensor.element_bytes});
    }
    const ShardPiece* mine = tensor.pieces[me_];
    if (mine == nullptr) continue;
    std::vector<char*> arrivals;  // in rank order
    for (int other = 0; other < count(); ++other) {
      if (other == me_) continue;
      arrivals.push_back(staging + arrivals.size() * stride + staged);
      part.transfers.push_back({false, ranks_[other], tag, arrivals.back(), mine->elements * tensor.element_bytes});
    }
    staged += RoundUp(mine->elements * tensor.element_bytes);
    MR_ASSIGN_OR_RETURN(const Kernel* add,
                        kernels->Get(AccumulateOp(*tensor.parameter, static_cast<int64_t>(mine->elements))));
    AddInOrder(add, me_, arrivals, tensor.whole + mine->first * tensor.element_bytes, &additions);
  }
  part.then = [kernels, additions = std::move(additions)](Stream& stream) -> absl::Status {
    for (const Addition& addition : additions) {
      MR_RETURN_IF_ERROR(kernels->Run(stream, *addition.kernel, &addition.from, &addition.to));
    }
    return absl::OkStatus();
  };
  return part;
}

ReplicaWork::Part Replicas::Gather(const std::vector<DividedTensor>& tensors, Purpose purpose, uint64_t group) const {
  ReplicaWork::Part part;
  for (const DividedTensor& tensor : tensors) {
    const uint64_t tag = Tag(purpose, group, tensor.name);
    const ShardPiece* mine = tensor.pieces[me_];
    for (int other = 0; other < count(); ++other) {
      if (other == me_) continue;
      if (mine != nullptr) {
        part.transfers.push_back({true, ranks_[other], tag, tensor.piece, mine->elements * tensor.element_bytes});
      }
      const ShardPiece* piece = tensor.pieces[other];
      if (piece == nullptr) continue;
      part.transfers.push_back({false, ranks_[other], tag, tensor.whole + piece->first * tensor.element_bytes,
                                piece->elements * tensor.element_bytes});
    }
  }
  return part;
}

}  // namespace millrace
