#include "tests/partitioner/evaluate.h"

#include <cmath>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "kernels/random.h"
#include "proto/status_macros.h"

namespace millrace {
namespace {

double ReadElement(DType dtype, const void* memory, int64_t i) {
  switch (dtype) {
    case proto::F32:
      return static_cast<const float*>(memory)[i];
    case proto::F64:
      return static_cast<const double*>(memory)[i];
    case proto::I64:
      return static_cast<double>(static_cast<const int64_t*>(memory)[i]);
    case proto::I32:
      return static_cast<const int32_t*>(memory)[i];
    default:
      return std::nan("");
  }
}

void WriteElement(DType dtype, void* memory, int64_t i, double value) {
  switch (dtype) {
    case proto::F32:
      static_cast<float*>(memory)[i] = static_cast<float>(value);
      return;
    case proto::F64:
      static_cast<double*>(memory)[i] = value;
      return;
    case proto::I64:
      static_cast<int64_t*>(memory)[i] = static_cast<int64_t>(value);
      return;
    case proto::I32:
      static_cast<int32_t*>(memory)[i] = static_cast<int32_t>(value);
      return;
    default:
      return;
  }
}

double ConstantElement(const GraphParameter& p, int64_t i) {
  const int64_t columns = p.spec.columns(), row = i / columns, column = i % columns;
  const double angle = row * std::pow(p.initializer.value(), -static_cast<double>(column) / columns);
  switch (p.initializer.kind()) {
    case proto::Initializer::IOTA:
      return static_cast<double>(column);
    case proto::Initializer::ROTARY_COS:
      return std::cos(angle);
    case proto::Initializer::ROTARY_SIN:
      return std::sin(angle);
    default:
      return p.initializer.value();
  }
}

// In [-1, 1), by name and element.
double Noise(const std::string& name, int64_t i) { return 2 * Philox(1, RandomKey(name), 0, 0).Uniform(i) - 1; }

char* Aligned(std::vector<char>& storage, uint64_t bytes) {
  storage.assign(bytes + 256, 0);
  const uintptr_t address = reinterpret_cast<uintptr_t>(storage.data());
  return storage.data() + (256 - address % 256) % 256;
}

}  // namespace

proto::Model InDouble(const proto::Model& model) {
  proto::Model wide = model;
  auto widen = [](proto::TensorType* type) {
    if (type->dtype() == proto::F32) type->set_dtype(proto::F64);
  };
  for (proto::Input& input : *wide.mutable_inputs()) widen(input.mutable_type());
  for (proto::Parameter& parameter : *wide.mutable_parameters()) widen(parameter.mutable_type());
  return wide;
}

absl::StatusOr<Evaluator> Evaluator::Make(const Graph& graph, Device* device) {
  MR_ASSIGN_OR_RETURN(std::unique_ptr<Stream> stream, device->NewStream());
  Evaluator e(graph, std::move(stream));
  for (int v = 0; v < static_cast<int>(graph.values.size()); ++v) {
    const int64_t bytes = graph.values[v].alias_of >= 0 ? 0 : graph.values[v].spec.bytes();
    e.memory_.emplace_back(bytes / sizeof(double) + (bytes > 0 ? 1 : 0));
  }
  auto address = [&](int v) { return v < 0 ? nullptr : static_cast<void*>(e.memory_[graph.Root(v)].data()); };
  for (const GraphNode& node : graph.nodes) {
    if (node.outputs[0] >= 0 && graph.values[node.outputs[0]].alias_of >= 0) continue;
    absl::StatusOr<std::unique_ptr<Kernel>> kernel = device->NewKernel(graph.Desc(node));
    if (!kernel.ok()) {
      return absl::Status(kernel.status().code(), absl::StrCat("node ", node.name, ": ", kernel.status().message()));
    }
    Call call;
    call.kernel = *std::move(kernel);
    for (int v : node.inputs) call.inputs.push_back(address(v));
    for (int v : node.outputs) call.outputs.push_back(address(v));
    e.calls_.push_back(std::move(call));
  }
  return e;
}

int Evaluator::Find(const std::string& name) const {
  for (int v = 0; v < static_cast<int>(graph_.values.size()); ++v) {
    if (graph_.values[v].name == name) return v;
  }
  return -1;
}

void Evaluator::Fill(int64_t vocabulary) {
  for (int v = 0; v < static_cast<int>(graph_.values.size()); ++v) {
    const GraphValue& value = graph_.values[v];
    if (value.kind != GraphValue::Kind::kInput && value.kind != GraphValue::Kind::kParameter) continue;
    const bool constant = value.kind == GraphValue::Kind::kParameter && graph_.parameters[value.parameter].constant;
    for (int64_t i = 0; i < value.spec.elements(); ++i) {
      double element = Noise(value.name, i);
      if (constant) element = ConstantElement(graph_.parameters[value.parameter], i);
      if (!constant && !IsFloat(value.spec.dtype)) element = std::floor((element + 1) / 2 * vocabulary);
      WriteElement(value.spec.dtype, memory_[v].data(), i, element);
    }
  }
}

std::vector<double> Evaluator::Get(const std::string& name) const {
  const int v = Find(name);
  if (v < 0) return {};
  std::vector<double> elements;
  for (int64_t i = 0; i < graph_.values[v].spec.elements(); ++i) {
    elements.push_back(ReadElement(graph_.values[v].spec.dtype, memory_[graph_.Root(v)].data(), i));
  }
  return elements;
}

void Evaluator::Set(const std::string& name, const std::vector<double>& elements) {
  const int v = Find(name);
  for (int64_t i = 0; v >= 0 && i < static_cast<int64_t>(elements.size()); ++i) {
    WriteElement(graph_.values[v].spec.dtype, memory_[graph_.Root(v)].data(), i, elements[i]);
  }
}

absl::Status Evaluator::Run() {
  for (int v = 0; v < static_cast<int>(graph_.values.size()); ++v) {
    if (graph_.values[v].kind == GraphValue::Kind::kAccumulator) memory_[v].assign(memory_[v].size(), 0);
  }
  for (Call& call : calls_) {
    KernelArgs args;
    args.inputs = call.inputs.data();
    args.outputs = call.outputs.data();
    args.scratch = Aligned(call.scratch, call.kernel->needs().scratch_bytes);
    args.key = {7, 3, 5};
    if (call.kernel->needs().packed_bytes > 0) {
      char* packed = Aligned(call.packed, call.kernel->needs().packed_bytes);
      MR_RETURN_IF_ERROR(call.kernel->Pack(*stream_, args, packed));
      args.packed = packed;
    }
    MR_RETURN_IF_ERROR(call.kernel->Run(*stream_, args));
  }
  return absl::OkStatus();
}

double Evaluator::Loss() const { return Get(graph_.values[graph_.loss].name)[0]; }

std::vector<double> Evaluator::ParameterGradient(int parameter) const {
  std::vector<double> sum(graph_.parameters[parameter].spec.elements(), 0);
  for (int accumulator : graph_.parameters[parameter].accumulators) {
    const std::vector<double> part = Get(graph_.values[accumulator].name);
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += part[i];
  }
  return sum;
}

}  // namespace millrace
