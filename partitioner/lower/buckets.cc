#include "partitioner/lower/buckets.h"

#include <algorithm>
#include <map>

#include "kernels/dtype.h"

namespace millrace {
namespace {

class BucketMaker {
 public:
  BucketMaker(const ProgramSource& train, const std::vector<std::vector<int>>& ranks_of, Persistent* persistent)
      : train_(train), graph_(train.staged.graph), ranks_of_(ranks_of), out_(*persistent) {}

  void Make() {
    out_.bucket_of.assign(graph_.parameters.size(), -1);
    for (int p = 0; p < static_cast<int>(graph_.parameters.size()); ++p) {
      if (graph_.parameters[p].accumulators.empty()) continue;
      const int bucket = BucketFor(p);
      out_.buckets[bucket].add_parameters(static_cast<uint32_t>(p));
      out_.bucket_of[p] = bucket;
    }
    if (out_.replication.has_replicas()) Divide();
  }

 private:
  struct Open {
    int bucket = -1;
    uint64_t bytes = 0;
  };

  int BucketFor(int p) {
    const bool several_uses = graph_.parameters[p].accumulators.size() > 1;
    if (ranks_of_[p].size() > 1 || (out_.replication.replicas_first && several_uses)) return NewBucket(p);
    Open& open = open_[KeyOf(p)];
    const uint64_t bytes = graph_.values[graph_.parameters[p].accumulators[0]].spec.bytes();
    const uint64_t limit = out_.replication.has_replicas() ? out_.replication.bucket_bytes : 0;
    if (open.bucket < 0 || (limit > 0 && open.bytes > 0 && open.bytes + bytes > limit)) open = {NewBucket(p), 0};
    open.bytes += bytes;
    return open.bucket;
  }

  int NewBucket(int p) {
    proto::Bucket& bucket = out_.buckets.emplace_back();
    bucket.set_owner(ranks_of_[p][0]);
    for (int rank : ranks_of_[p]) bucket.add_group(rank);
    return static_cast<int>(out_.buckets.size()) - 1;
  }

  // The rank, and with replicas the stages of its uses.
  std::vector<int> KeyOf(int p) const {
    std::vector<int> key = {ranks_of_[p][0]};
    if (!out_.replication.has_replicas()) return key;
    for (int accumulator : graph_.parameters[p].accumulators) {
      key.push_back(train_.staged.stage_of_node[graph_.values[accumulator].producer]);
    }
    std::sort(key.begin() + 1, key.end());
    key.erase(std::unique(key.begin() + 1, key.end()), key.end());
    return key;
  }

  void Divide() {
    for (const proto::Bucket& bucket : out_.buckets) {
      std::vector<Divisible> parameters;
      for (uint32_t p : bucket.parameters()) {
        const GraphParameter& parameter = graph_.parameters[p];
        const TensorSpec& gradient = graph_.values[parameter.accumulators[0]].spec;
        parameters.push_back({static_cast<uint64_t>(gradient.elements()), static_cast<uint64_t>(SizeOf(gradient.dtype)),
                              static_cast<uint64_t>(SizeOf(parameter.spec.dtype))});
      }
      std::map<int, std::vector<Shard>>& shards = out_.shards.emplace_back();
      for (uint32_t rank : bucket.group()) {
        const int place = static_cast<int>(rank);
        shards[place] = ShardsOf(parameters, out_.replication.norm_block_elements, out_.replication.ReplicasAt(place));
      }
    }
  }

  const ProgramSource& train_;
  const Graph& graph_;
  const std::vector<std::vector<int>>& ranks_of_;
  Persistent& out_;
  std::map<std::vector<int>, Open> open_;
};

}  // namespace

void MakeBuckets(const ProgramSource& train, const std::vector<std::vector<int>>& ranks_of, Persistent* persistent) {
  BucketMaker(train, ranks_of, persistent).Make();
}

}  // namespace millrace
