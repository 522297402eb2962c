#include "tools/cli/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

namespace millrace {

DrawOptions DrawingForStdout() {
  DrawOptions options;
  if (!isatty(STDOUT_FILENO)) return options;
  winsize size;
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    options.width = std::clamp<int>(size.ws_col, 40, 400);
  }
  options.color = std::getenv("NO_COLOR") == nullptr;
  return options;
}

}  // namespace millrace
