#include "runtime/plan/broken.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "runtime/plan/plan.h"

namespace millrace {

std::string Quoted(absl::string_view name) { return absl::StrCat("\"", absl::CHexEscape(name.substr(0, 64)), "\""); }

std::string Place(const Where& where) {
  if (where.program == nullptr) {
    return where.rank < 0 ? std::string("plan") : absl::StrCat("rank ", where.rank);
  }
  std::string place =
      absl::StrCat("program ", absl::CHexEscape(absl::string_view(where.program->name()).substr(0, 64)));
  if (where.rank < 0) return place;
  absl::StrAppend(&place, ", rank ", where.rank);
  if (where.instruction < 0) return place;
  absl::StrAppend(&place, ", instruction ", where.instruction);
  if (where.rank < where.program->ranks_size() &&
      where.instruction < where.program->ranks(where.rank).instructions_size()) {
    absl::StrAppend(&place, " (",
                    Describe(*where.program, where.program->ranks(where.rank).instructions(where.instruction)), ")");
  }
  return place;
}

absl::Status Broken(absl::string_view rule, const Where& where, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("rule ", rule, ": ", Place(where), ": ", what));
}

}  // namespace millrace
