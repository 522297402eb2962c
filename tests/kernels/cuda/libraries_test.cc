#include <gtest/gtest.h>

#include <string>

#include "kernels/cuda/cudnn_attention.h"
#include "kernels/cuda/dynamic_library.h"
#include "kernels/cuda/lt_library.h"

namespace millrace::cuda {
namespace {

TEST(Libraries, CublasLtHasEveryFunctionThatIsCalled) {
  const auto lt = LtLibrary::Load();
  ASSERT_TRUE(lt.ok()) << lt.status();
  EXPECT_EQ((*lt)->Version(), std::to_string(CUBLAS_VER_MAJOR) + "." + std::to_string(CUBLAS_VER_MINOR) + "." +
                                  std::to_string(CUBLAS_VER_PATCH));
  EXPECT_EQ(LtLibrary::Load().value(), *lt);
}

TEST(Libraries, DescriptorsOfAProductCanBeMadeWithoutAGpu) {
  const auto lt = LtLibrary::Load();
  ASSERT_TRUE(lt.ok()) << lt.status();
  cublasLtMatrixLayoutOpaque_t layout;
  EXPECT_EQ((*lt)->MatrixLayoutInit(&layout, sizeof(layout), CUDA_R_16BF, 768, 1024, 768), CUBLAS_STATUS_SUCCESS);
  cublasLtMatmulDescOpaque_t operation;
  EXPECT_EQ((*lt)->MatmulDescInit(&operation, sizeof(operation), CUBLAS_COMPUTE_32F, CUDA_R_32F),
            CUBLAS_STATUS_SUCCESS);
  const cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_GELU_AUX_BIAS;
  EXPECT_EQ((*lt)->MatmulDescSetAttribute(&operation, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof(epilogue)),
            CUBLAS_STATUS_SUCCESS);
}

TEST(Libraries, CudnnHasEveryFunctionThatIsCalled) {
  const auto cudnn = CudnnLibrary::Load();
  ASSERT_TRUE(cudnn.ok()) << cudnn.status();
  EXPECT_EQ((*cudnn)->Version(),
            std::to_string(CUDNN_MAJOR) + "." + std::to_string(CUDNN_MINOR) + "." + std::to_string(CUDNN_PATCHLEVEL));
}

// The library checks each operation's shapes and types when it is described.
TEST(Libraries, CudnnAcceptsTheOperationsOfAttention) {
  const auto cudnn = CudnnLibrary::Load();
  ASSERT_TRUE(cudnn.ok()) << cudnn.status();
  for (const bool causal : {false, true}) {
    for (const int64_t kv_heads : {12, 4}) {
      AttentionShape s = {.type = Element::kBF16, .batch = 2, .queries = 64, .keys = 64, .q_heads = 12};
      s.kv_heads = kv_heads;
      s.width = 64;
      s.q_row = s.kv_row = (12 + 2 * kv_heads) * 64;
      s.causal = causal;
      s.packed = true;
      CudnnGraph graph(**cudnn);
      const CudnnForward forward = DescribeForward(s, /*has_lse=*/true, &graph);
      EXPECT_TRUE(graph.status().ok()) << graph.status();
      EXPECT_NE(forward.lse, 0);
      EXPECT_EQ(forward.nothing != 0, causal);
    }
  }
}

TEST(Libraries, AMissingOneIsNamed) {
  const auto none = DynamicLibrary::Open("libno_such_library.so.7");
  EXPECT_EQ(none.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(none.status().message().find("libno_such_library.so.7"), absl::string_view::npos);
}

}  // namespace
}  // namespace millrace::cuda
