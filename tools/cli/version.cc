#include "tools/cli/version.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kernels/backends.h"
#include "proto/text_proto.h"

namespace millrace {

std::string VersionText() {
  return absl::StrCat("millrace ", kVersion, " (schema ", kSchemaVersion,
                      "; backends: ", absl::StrJoin(Backends(), " "), ")");
}

}  // namespace millrace
