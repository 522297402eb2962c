// What the program may assume of the terminal it writes to.
#ifndef TOOLS_CLI_TERMINAL_H_
#define TOOLS_CLI_TERMINAL_H_

#include "runtime/plan/draw.h"

namespace millrace {

// Width and colour for stdout: colour only on a terminal and without NO_COLOR in the environment.
DrawOptions DrawingForStdout();

}  // namespace millrace

#endif  // TOOLS_CLI_TERMINAL_H_
