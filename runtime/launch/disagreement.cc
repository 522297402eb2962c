#include "runtime/launch/disagreement.h"

#include "absl/strings/str_cat.h"

namespace millrace {
namespace {

// Compares facts of two claims, and says the first that differs.
class Comparison {
 public:
  Comparison(const Claim& inner, const std::string& inner_name, const Claim& outer, const std::string& outer_name)
      : inner_(inner), outer_(outer), inner_name_(inner_name), outer_name_(outer_name) {}

  std::string Run() const {
    if (std::string text = Coordinators(); !text.empty()) return text;
    return OuterCountsMachines() ? Machines() : Ranks();
  }

 private:
  // srun starts one torchrun, or one daemon of mpirun, a machine: its tasks are the inner launcher's machines.
  bool OuterCountsMachines() const {
    const int64_t machines = MachinesOf(inner_);
    return outer_.size && inner_.size && machines > 0 && outer_.size->value == machines &&
           inner_.size->value != machines;
  }

  std::string Machines() const {
    if (inner_.own_order || !inner_.node_rank || !outer_.rank) return "";
    return Differ("the machine", *inner_.node_rank, *outer_.rank);
  }

  std::string Ranks() const {
    if (inner_.size && outer_.size) {
      if (std::string text = Differ("the number of ranks", *inner_.size, *outer_.size); !text.empty()) return text;
    }
    if (inner_.own_order && MachinesOf(inner_) == inner_.size->value) return "";
    if (inner_.rank && outer_.rank && !Overlap(inner_, outer_) && !Overlap(outer_, inner_)) {
      return Differ("the rank", *inner_.rank, *outer_.rank);
    }
    if (inner_.node_rank && outer_.node_rank && !inner_.own_order) {
      return Differ("the machine", *inner_.node_rank, *outer_.node_rank);
    }
    return "";
  }

  // One process's rank lies among those that the other process stands for.
  static bool Overlap(const Claim& one, const Claim& several) {
    const int64_t first = several.rank->value;
    return one.rank->value >= first && one.rank->value + one.ranks_here <= first + several.ranks_here;
  }

  std::string Coordinators() const {
    if (!inner_.coordinator || !outer_.coordinator || inner_.coordinator_derived || outer_.coordinator_derived)
      return "";
    Endpoint a = inner_.coordinator->value, b = outer_.coordinator->value;
    for (Endpoint* endpoint : {&a, &b}) {
      if (endpoint->host == "localhost" || endpoint->host == "::1") endpoint->host = "127.0.0.1";
    }
    return a == b ? ""
                  : Text("the coordinator", ToString(inner_.coordinator->value), inner_.coordinator->from,
                         ToString(outer_.coordinator->value), outer_.coordinator->from);
  }

  std::string Differ(absl::string_view what, const Said<int64_t>& a, const Said<int64_t>& b) const {
    return a.value == b.value ? "" : Text(what, absl::StrCat(a.value), a.from, absl::StrCat(b.value), b.from);
  }

  std::string Text(absl::string_view what, absl::string_view a, absl::string_view a_from, absl::string_view b,
                   absl::string_view b_from) const {
    return absl::StrCat(what, ": ", inner_name_, " says ", a, " (", a_from, "), ", outer_name_, " says ", b, " (",
                        b_from, ")");
  }

  const Claim& inner_;
  const Claim& outer_;
  const std::string& inner_name_;
  const std::string& outer_name_;
};

}  // namespace

int64_t MachinesOf(const Claim& claim) {
  if (claim.nodes) return claim.nodes->value;
  if (claim.size && claim.local_size && claim.local_size->value > 0 &&
      claim.size->value % claim.local_size->value == 0) {
    return claim.size->value / claim.local_size->value;
  }
  return 0;
}

std::string DisagreementOf(const Claim& inner, const std::string& inner_name, const Claim& outer,
                           const std::string& outer_name) {
  return Comparison(inner, inner_name, outer, outer_name).Run();
}

}  // namespace millrace
