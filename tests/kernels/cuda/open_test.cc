// Opening a CUDA device through the list of backends: on a machine without a GPU, the message says what is missing.
#include <gtest/gtest.h>

#include <algorithm>

#include "kernels/backends.h"
#include "kernels/cuda/cuda.h"

namespace millrace {
namespace {

TEST(OpenCuda, OpensOrSaysWhatIsMissing) {
  const auto device = OpenDevice("cuda", {});
  if (device.ok()) {
    EXPECT_EQ((*device)->kind(), "cuda");
    return;
  }
  EXPECT_EQ(device.status().code(), absl::StatusCode::kUnavailable);
  const std::string message(device.status().message());
  const bool says = message.find("without CUDA") != std::string::npos ||
                    message.find("NVIDIA driver") != std::string::npos || message.find("too old") != std::string::npos;
  EXPECT_TRUE(says) << message;
}

TEST(OpenCuda, IsListedWhenItIsLinked) {
  const auto kinds = Backends();
  EXPECT_EQ(std::count(kinds.begin(), kinds.end(), "cuda"), CudaIsLinked() ? 1 : 0);
  EXPECT_EQ(LibraryVersions("cuda").empty(), !CudaIsLinked());
}

}  // namespace
}  // namespace millrace
