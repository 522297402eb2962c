#include "kernels/cuda/cudnn_graph.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"

namespace millrace::cuda {
namespace {

constexpr int64_t kAlignment = 16;  // bytes, of every tensor

CudnnGraph::Dims Dense(const CudnnGraph::Dims& dims) {
  CudnnGraph::Dims strides(dims.size(), 1);
  for (size_t i = dims.size() - 1; i > 0; --i) strides[i - 1] = strides[i] * dims[i];
  return strides;
}

}  // namespace

// ---- CudnnCalls

void CudnnCalls::Note(cudnnStatus_t status, const char* what) {
  if (status == CUDNN_STATUS_SUCCESS || !status_.ok()) return;
  const std::string message = absl::StrCat("cuDNN: ", what, ": ", cudnn_.GetErrorString(status));
  // All kinds of "not supported" are 3000 and up to 4000; a pattern it does not know may also be a bad parameter.
  const bool refused = (status >= CUDNN_STATUS_NOT_SUPPORTED && status < CUDNN_STATUS_INTERNAL_ERROR) ||
                       (status >= CUDNN_STATUS_BAD_PARAM && status < CUDNN_STATUS_NOT_SUPPORTED);
  status_ = refused ? absl::UnimplementedError(message) : absl::InternalError(message);
}

CudnnDescriptor CudnnCalls::Make(cudnnBackendDescriptorType_t type) {
  cudnnBackendDescriptor_t handle = nullptr;
  if (status_.ok()) Note(cudnn_.CreateDescriptor(type, &handle), "making a descriptor");
  return CudnnDescriptor(cudnn_, handle);
}

void CudnnCalls::SetAll(const CudnnDescriptor& descriptor, cudnnBackendAttributeName_t name,
                        cudnnBackendAttributeType_t type, int64_t count, const void* values) {
  if (status_.ok()) Note(cudnn_.SetAttribute(descriptor.get(), name, type, count, values), "setting an attribute");
}

void CudnnCalls::Finalize(const CudnnDescriptor& descriptor, const char* what) {
  if (status_.ok()) Note(cudnn_.Finalize(descriptor.get()), what);
}

// ---- CudnnGraph

CudnnGraph::Id CudnnGraph::Add(cudnnDataType_t type, const Dims& dims, const Dims& strides, bool is_virtual,
                               bool by_value) {
  const Id id = static_cast<Id>(tensors_.size()) + 1;
  CudnnDescriptor tensor = calls_.Make(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  calls_.Set(tensor, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, id);
  calls_.Set(tensor, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, type);
  calls_.Set(tensor, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, kAlignment);
  calls_.SetAll(tensor, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, dims.size(), dims.data());
  calls_.SetAll(tensor, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, strides.size(), strides.data());
  calls_.Set(tensor, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, is_virtual);
  calls_.Set(tensor, CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, by_value);
  calls_.Finalize(tensor, "describing a tensor");
  tensors_.push_back(std::move(tensor));
  return id;
}

CudnnGraph::Id CudnnGraph::Tensor(cudnnDataType_t type, const Dims& dims, const Dims& strides) {
  return Add(type, dims, strides, /*is_virtual=*/false, /*by_value=*/false);
}
CudnnGraph::Id CudnnGraph::Scalar() {
  return Add(CUDNN_DATA_FLOAT, {1, 1, 1, 1}, {1, 1, 1, 1}, /*is_virtual=*/false, /*by_value=*/true);
}
CudnnGraph::Id CudnnGraph::Virtual(cudnnDataType_t type, const Dims& dims) {
  return Add(type, dims, Dense(dims), /*is_virtual=*/true, /*by_value=*/false);
}

void CudnnGraph::Point(const CudnnDescriptor& operation, cudnnBackendAttributeName_t name, const CudnnDescriptor& to) {
  calls_.Set(operation, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, to.get());
}

void CudnnGraph::Operation(CudnnDescriptor what, CudnnDescriptor operation) {
  calls_.Finalize(operation, "describing an operation");
  parts_.push_back(std::move(what));
  operations_.push_back(std::move(operation));
}

void CudnnGraph::Matmul(Id a, Id b, Id c) {
  CudnnDescriptor matmul = calls_.Make(CUDNN_BACKEND_MATMUL_DESCRIPTOR);
  calls_.Set(matmul, CUDNN_ATTR_MATMUL_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT);
  calls_.Finalize(matmul, "describing a product");
  CudnnDescriptor operation = calls_.Make(CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR);
  Point(operation, CUDNN_ATTR_OPERATION_MATMUL_DESC, matmul);
  Point(operation, CUDNN_ATTR_OPERATION_MATMUL_ADESC, Of(a));
  Point(operation, CUDNN_ATTR_OPERATION_MATMUL_BDESC, Of(b));
  Point(operation, CUDNN_ATTR_OPERATION_MATMUL_CDESC, Of(c));
  Operation(std::move(matmul), std::move(operation));
}

void CudnnGraph::Reduce(cudnnReduceTensorOp_t op, Id x, Id y) {
  CudnnDescriptor reduction = calls_.Make(CUDNN_BACKEND_REDUCTION_DESCRIPTOR);
  calls_.Set(reduction, CUDNN_ATTR_REDUCTION_OPERATOR, CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, op);
  calls_.Set(reduction, CUDNN_ATTR_REDUCTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT);
  calls_.Finalize(reduction, "describing a reduction");
  CudnnDescriptor operation = calls_.Make(CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR);
  Point(operation, CUDNN_ATTR_OPERATION_REDUCTION_DESC, reduction);
  Point(operation, CUDNN_ATTR_OPERATION_REDUCTION_XDESC, Of(x));
  Point(operation, CUDNN_ATTR_OPERATION_REDUCTION_YDESC, Of(y));
  Operation(std::move(reduction), std::move(operation));
}

void CudnnGraph::Pointwise(cudnnPointwiseMode_t mode, Id x, Id y, Id b, Id select, cudnnDataType_t compute) {
  CudnnDescriptor pointwise = calls_.Make(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
  calls_.Set(pointwise, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, mode);
  calls_.Set(pointwise, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, compute);
  calls_.Finalize(pointwise, "describing an elementwise operation");
  CudnnDescriptor operation = calls_.Make(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
  Point(operation, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, pointwise);
  Point(operation, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, Of(x));
  if (b != 0) Point(operation, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, Of(b));
  if (select != 0) Point(operation, CUDNN_ATTR_OPERATION_POINTWISE_TDESC, Of(select));
  Point(operation, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, Of(y));
  Operation(std::move(pointwise), std::move(operation));
}

void CudnnGraph::Index(int64_t axis, Id like, Id y) {
  CudnnDescriptor pointwise = calls_.Make(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
  calls_.Set(pointwise, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, CUDNN_POINTWISE_GEN_INDEX);
  calls_.Set(pointwise, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_INT32);
  calls_.Set(pointwise, CUDNN_ATTR_POINTWISE_AXIS, CUDNN_TYPE_INT64, axis);
  calls_.Finalize(pointwise, "describing an index");
  CudnnDescriptor operation = calls_.Make(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
  Point(operation, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, pointwise);
  Point(operation, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, Of(like));
  Point(operation, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, Of(y));
  Operation(std::move(pointwise), std::move(operation));
}

bool CudnnGraph::IsDeterministic(const CudnnDescriptor& config) const {
  CudnnCalls calls(cudnn_);
  const CudnnDescriptor engine = calls.Make(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  cudnnBackendDescriptor_t handle = engine.get();
  int64_t count = 0;
  calls.Note(
      cudnn_.GetAttribute(config.get(), CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &handle),
      "reading an engine");
  cudnnBackendNumericalNote_t notes[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
  calls.Note(cudnn_.GetAttribute(engine.get(), CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                                 CUDNN_NUMERICAL_NOTE_TYPE_COUNT, &count, notes),
             "reading an engine's notes");
  return calls.status().ok() && std::find(notes, notes + count, CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC) == notes + count;
}

absl::StatusOr<CudnnPlan> CudnnGraph::Plan(cudnnHandle_t handle) {
  std::vector<cudnnBackendDescriptor_t> operations;
  for (const CudnnDescriptor& operation : operations_) operations.push_back(operation.get());
  const CudnnDescriptor graph = calls_.Make(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  calls_.Set(graph, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, handle);
  calls_.SetAll(graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, operations.size(),
                operations.data());
  calls_.Finalize(graph, "building a graph");
  const CudnnDescriptor heuristic = calls_.Make(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  Point(heuristic, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph);
  calls_.Set(heuristic, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, CUDNN_HEUR_MODE_A);
  calls_.Finalize(heuristic, "asking the heuristic");
  MR_RETURN_IF_ERROR(calls_.status());
  int64_t count = 0;
  calls_.Note(cudnn_.GetAttribute(heuristic.get(), CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0,
                                  &count, nullptr),
              "counting engines");
  std::vector<CudnnDescriptor> configs;
  std::vector<cudnnBackendDescriptor_t> handles;
  for (int64_t i = 0; i < count; ++i) {
    configs.push_back(calls_.Make(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR));
    handles.push_back(configs.back().get());
  }
  calls_.Note(cudnn_.GetAttribute(heuristic.get(), CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, count,
                                  &count, handles.data()),
              "reading engines");
  MR_RETURN_IF_ERROR(calls_.status());
  for (int64_t i = 0; i < count; ++i) {
    if (!IsDeterministic(configs[i])) continue;
    CudnnCalls calls(cudnn_);
    CudnnPlan plan;
    plan.plan = calls.Make(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    calls.Set(plan.plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, handle);
    calls.Set(plan.plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR, configs[i].get());
    calls.Finalize(plan.plan, "making a plan");
    if (!calls.status().ok()) continue;
    int64_t one = 0;
    calls.Note(cudnn_.GetAttribute(plan.plan.get(), CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &one,
                                   &plan.workspace_bytes),
               "reading a plan's workspace");
    MR_RETURN_IF_ERROR(calls.status());
    return plan;
  }
  return absl::UnimplementedError("cuDNN has no deterministic engine for this graph");
}

absl::Status RunPlan(const CudnnLibrary& cudnn, cudnnHandle_t handle, const CudnnPlan& plan,
                     const CudnnMemory& memory) {
  CudnnCalls calls(cudnn);
  const CudnnDescriptor pack = calls.Make(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  calls.SetAll(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, memory.ids.size(), memory.ids.data());
  calls.SetAll(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, memory.addresses.size(),
               memory.addresses.data());
  calls.Set(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, memory.workspace);
  calls.Finalize(pack, "giving a plan its memory");
  MR_RETURN_IF_ERROR(calls.status());
  calls.Note(cudnn.Execute(handle, plan.plan.get(), pack.get()), "running a plan");
  return calls.status();
}

}  // namespace millrace::cuda
