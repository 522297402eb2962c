#include "kernels/cuda/cuda_graph.h"

#include "proto/status_macros.h"

namespace millrace::cuda {

absl::StatusOr<std::unique_ptr<CudaGraph>> CudaGraph::Capture(CudaStream& stream,
                                                              absl::FunctionRef<absl::Status()> work) {
  const Target& target = stream.target();
  CudaApi& api = *target.api;
  MR_RETURN_IF_ERROR(target.Enter());
  MR_RETURN_IF_ERROR(target.Check(api.BeginCapture(stream.handle()), "beginning to capture a graph"));
  const absl::Status queued = work();
  // The capture must end whatever happened, or the stream stays unusable.
  GraphHandle graph = nullptr;
  const Code ended = api.EndCapture(stream.handle(), &graph);
  GraphExecHandle exec = nullptr;
  absl::Status status = queued;
  if (status.ok()) status = target.Check(ended, "ending the capture of a graph");
  if (status.ok()) status = target.Check(api.GraphInstantiate(&exec, graph), "instantiating a graph");
  if (graph != nullptr) api.GraphDestroy(graph);
  if (!status.ok()) return status;
  return std::unique_ptr<CudaGraph>(new CudaGraph(target, exec));
}

CudaGraph::~CudaGraph() { target_.api->GraphExecDestroy(exec_); }

absl::Status CudaGraph::Launch(CudaStream& stream) const {
  MR_RETURN_IF_ERROR(target_.Enter());
  return target_.Check(target_.api->GraphLaunch(exec_, stream.handle()), "launching a graph");
}

}  // namespace millrace::cuda
