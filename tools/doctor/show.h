// An examination for a person, and for a program.
#ifndef TOOLS_DOCTOR_SHOW_H_
#define TOOLS_DOCTOR_SHOW_H_

#include <string>

#include "absl/strings/string_view.h"
#include "tools/doctor/examine.h"

namespace millrace {

// Several lines; `version` is the program's.
std::string ExaminationText(const Examination& examination, absl::string_view version);
// One object, indented, with a line end.
std::string ExaminationJson(const Examination& examination, absl::string_view version);

}  // namespace millrace

#endif  // TOOLS_DOCTOR_SHOW_H_
