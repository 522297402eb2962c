#include "kernels/cuda/lt_matmul.h"

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "kernels/cuda/lt_library.h"
#include "proto/status_macros.h"

namespace millrace::cuda {
namespace {

constexpr int kCandidates = 8;

cudaDataType_t TypeOf(Element element) {
  switch (element) {
    case Element::kBF16:
      return CUDA_R_16BF;
    case Element::kF16:
      return CUDA_R_16F;
    default:
      return CUDA_R_32F;
  }
}

cublasLtEpilogue_t EpilogueOf(Epilogue epilogue) {
  switch (epilogue) {
    case Epilogue::kBias:
      return CUBLASLT_EPILOGUE_BIAS;
    case Epilogue::kRelu:
      return CUBLASLT_EPILOGUE_RELU;
    case Epilogue::kReluBias:
      return CUBLASLT_EPILOGUE_RELU_BIAS;
    case Epilogue::kGelu:
      return CUBLASLT_EPILOGUE_GELU;
    case Epilogue::kGeluBias:
      return CUBLASLT_EPILOGUE_GELU_BIAS;
    case Epilogue::kGeluAux:
      return CUBLASLT_EPILOGUE_GELU_AUX;
    case Epilogue::kGeluAuxBias:
      return CUBLASLT_EPILOGUE_GELU_AUX_BIAS;
    default:
      return CUBLASLT_EPILOGUE_DEFAULT;
  }
}

// The library's descriptors are plain values of its own size; nothing of them is on the heap.
struct Form {
  cublasLtMatmulDescOpaque_t operation;
  cublasLtMatrixLayoutOpaque_t first, second, result;
};

struct Choice {
  cublasLtMatmulAlgo_t algorithm;
  uint64_t workspace_bytes = 0;
  std::string text;
};

// Calls of the library, with the first error kept.
class LtCalls {
 public:
  LtCalls(const LtLibrary& lt, std::string what) : lt_(lt), what_(std::move(what)) {}

  void Do(cublasStatus_t status) {
    if (status == CUBLAS_STATUS_SUCCESS || !status_.ok()) return;
    const std::string message = absl::StrCat("cuBLASLt: ", what_, ": ", lt_.GetStatusString(status));
    status_ = status == CUBLAS_STATUS_NOT_SUPPORTED ? absl::UnimplementedError(message) : absl::InternalError(message);
  }
  template <typename T>
  void Set(cublasLtMatmulDescOpaque_t* desc, cublasLtMatmulDescAttributes_t attribute, const T& value) {
    Do(lt_.MatmulDescSetAttribute(desc, attribute, &value, sizeof(value)));
  }
  template <typename T>
  void Set(cublasLtMatrixLayoutOpaque_t* layout, cublasLtMatrixLayoutAttribute_t attribute, const T& value) {
    Do(lt_.MatrixLayoutSetAttribute(layout, attribute, &value, sizeof(value)));
  }
  template <typename T>
  void Set(cublasLtMatmulPreferenceOpaque_t* preference, cublasLtMatmulPreferenceAttributes_t attribute,
           const T& value) {
    Do(lt_.MatmulPreferenceSetAttribute(preference, attribute, &value, sizeof(value)));
  }
  absl::Status status() const { return status_; }

 private:
  const LtLibrary& lt_;
  const std::string what_;
  absl::Status status_;
};

cublasLtMatrixLayoutOpaque_t Layout(const LtLibrary& lt, LtCalls& calls, Element type,
                                    const ColumnMajor::Matrix& matrix, int64_t batch, int64_t stride) {
  cublasLtMatrixLayoutOpaque_t layout;
  calls.Do(lt.MatrixLayoutInit(&layout, sizeof(layout), TypeOf(type), static_cast<uint64_t>(matrix.rows),
                               static_cast<uint64_t>(matrix.columns), matrix.ld));
  if (batch > 1) {
    calls.Set(&layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, static_cast<int32_t>(batch));
    calls.Set(&layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, stride);
  }
  return layout;
}

void SetBias(LtCalls& calls, Form* form, const void* bias) {
  calls.Set(&form->operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
}
void SetAux(LtCalls& calls, Form* form, void* aux) {
  calls.Set(&form->operation, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, aux);
}

absl::StatusOr<Form> Describe(const LtLibrary& lt, const Product& p, bool tf32) {
  LtCalls calls(lt, absl::StrCat("describing the product ", p.Key()));
  const ColumnMajor columns = InColumns(p);
  const cublasOperation_t first = columns.first.transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
  const cublasOperation_t second = columns.second.transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
  Form form;
  const bool rounds = tf32 && p.in == Element::kF32;
  calls.Do(lt.MatmulDescInit(&form.operation, sizeof(form.operation),
                             rounds ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, CUDA_R_32F));
  calls.Set(&form.operation, CUBLASLT_MATMUL_DESC_TRANSA, first);
  calls.Set(&form.operation, CUBLASLT_MATMUL_DESC_TRANSB, second);
  calls.Set(&form.operation, CUBLASLT_MATMUL_DESC_EPILOGUE, EpilogueOf(p.epilogue));
  // The heuristic looks at the alignment of addresses that each call replaces.
  void* const aligned = reinterpret_cast<void*>(uintptr_t{256});
  if (HasBias(p.epilogue)) SetBias(calls, &form, aligned);
  if (HasAux(p.epilogue)) {
    SetAux(calls, &form, aligned);
    calls.Set(&form.operation, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, p.ldd);
    if (p.batch > 1) calls.Set(&form.operation, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_BATCH_STRIDE, p.d_stride);
  }
  form.first = Layout(lt, calls, p.in, columns.first, p.batch, p.b_stride);
  form.second = Layout(lt, calls, p.in, columns.second, p.batch, p.a_stride);
  form.result = Layout(lt, calls, p.out, columns.result, p.batch, p.d_stride);
  MR_RETURN_IF_ERROR(calls.status());
  return form;
}

std::string TextOf(const LtLibrary& lt, const cublasLtMatmulAlgo_t& algorithm) {
  const auto attribute = [&](cublasLtMatmulAlgoConfigAttributes_t which) {
    int32_t value = -1;
    size_t written = 0;
    lt.MatmulAlgoConfigGetAttribute(&algorithm, which, &value, sizeof(value), &written);
    return value;
  };
  return absl::StrCat("cublasLt ", attribute(CUBLASLT_ALGO_CONFIG_ID), ", tile ",
                      attribute(CUBLASLT_ALGO_CONFIG_TILE_ID), ", stages ", attribute(CUBLASLT_ALGO_CONFIG_STAGES_ID),
                      ", split ", attribute(CUBLASLT_ALGO_CONFIG_SPLITK_NUM));
}

class LtProduct : public PreparedProduct {
 public:
  LtProduct(const LtLibrary& lt, cublasLtHandle_t handle, const Product& product, const Form& form, Choice choice)
      : lt_(lt), handle_(handle), product_(product), form_(form), choice_(std::move(choice)) {}

  absl::Status Run(CudaStream& stream, const ProductMemory& memory) const override {
    for (const void* address : {memory.a, memory.b, memory.c, static_cast<const void*>(memory.d), memory.bias,
                                static_cast<const void*>(memory.aux)}) {
      if (Address(address) % product_.alignment != 0) {
        return absl::InternalError(absl::StrCat("the product ", product_.Key(), " was given the address ",
                                                Address(address), ", which is no multiple of ", product_.alignment));
      }
    }
    LtCalls calls(lt_, "running the product " + name_);
    Form form = form_;
    if (HasBias(product_.epilogue)) SetBias(calls, &form, memory.bias);
    if (HasAux(product_.epilogue)) SetAux(calls, &form, memory.aux);
    calls.Do(lt_.Matmul(handle_, &form.operation, &product_.alpha, memory.b, &form.first, memory.a, &form.second,
                        &product_.beta, product_.beta == 0 ? memory.d : memory.c, &form.result, memory.d, &form.result,
                        &choice_.algorithm, memory.workspace, choice_.workspace_bytes, stream.handle()));
    return calls.status();
  }
  std::string choice() const override { return choice_.text; }

 private:
  const LtLibrary& lt_;
  const cublasLtHandle_t handle_;
  const Product product_;
  const std::string name_ = product_.Key();
  const Form form_;
  const Choice choice_;
};

class LtMatMuls : public MatMulLibrary {
 public:
  LtMatMuls(const LtLibrary& lt, cublasLtHandle_t handle) : lt_(lt), handle_(handle) {}
  ~LtMatMuls() override { lt_.Destroy(handle_); }

  absl::StatusOr<std::unique_ptr<PreparedProduct>> Prepare(const Product& product, bool tf32) override {
    if (product.batch > 0x7fffffff) return absl::UnimplementedError("cuBLASLt counts products of a batch in 32 bits");
    MR_ASSIGN_OR_RETURN(const Form form, Describe(lt_, product, tf32));
    absl::MutexLock lock(&mutex_);
    const std::string key = absl::StrCat(product.Key(), tf32 ? ",tf32" : "");
    auto known = choices_.find(key);
    if (known == choices_.end()) {
      MR_ASSIGN_OR_RETURN(Choice choice, Choose(form, product));
      known = choices_.emplace(key, std::move(choice)).first;
    }
    return std::make_unique<LtProduct>(lt_, handle_, product, form, known->second);
  }

 private:
  absl::StatusOr<Choice> Choose(const Form& form, const Product& product) const {
    LtCalls calls(lt_, absl::StrCat("choosing an algorithm for ", product.Key()));
    cublasLtMatmulPreferenceOpaque_t preference;
    calls.Do(lt_.MatmulPreferenceInit(&preference, sizeof(preference)));
    calls.Set(&preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, size_t{WorkspaceBytes(product)});
    // Splits of k are added up by a second kernel, in order, in float32: no atomics, no order of arrival.
    calls.Set(&preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
              static_cast<uint32_t>(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
    for (const auto operand :
         {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
          CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
      calls.Set(&preference, operand, static_cast<uint32_t>(product.alignment));
    }
    cublasLtMatmulHeuristicResult_t results[kCandidates];
    int found = 0;
    // The heuristic reads descriptors through pointers to non-const.
    Form asked = form;
    calls.Do(lt_.MatmulAlgoGetHeuristic(handle_, &asked.operation, &asked.first, &asked.second, &asked.result,
                                        &asked.result, &preference, kCandidates, results, &found));
    MR_RETURN_IF_ERROR(calls.status());
    for (int i = 0; i < found; ++i) {
      if (results[i].state != CUBLAS_STATUS_SUCCESS) continue;
      return Choice{results[i].algo, results[i].workspaceSize, TextOf(lt_, results[i].algo)};
    }
    return absl::UnimplementedError(absl::StrCat("cuBLASLt has no algorithm for ", product.Key()));
  }

  const LtLibrary& lt_;
  const cublasLtHandle_t handle_;
  absl::Mutex mutex_;
  std::map<std::string, Choice> choices_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

absl::StatusOr<std::shared_ptr<MatMulLibrary>> MakeLtMatMuls(Target target) {
  MR_ASSIGN_OR_RETURN(const LtLibrary* const lt, LtLibrary::Load());
  MR_RETURN_IF_ERROR(target.Enter());
  cublasLtHandle_t handle = nullptr;
  LtCalls calls(*lt, absl::StrCat("opening cuda:", target.device));
  calls.Do(lt->Create(&handle));
  MR_RETURN_IF_ERROR(calls.status());
  return std::shared_ptr<MatMulLibrary>(std::make_shared<LtMatMuls>(*lt, handle));
}

}  // namespace millrace::cuda
