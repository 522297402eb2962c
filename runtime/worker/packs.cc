#include "runtime/worker/packs.h"

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"

namespace millrace {

namespace {

absl::Status PackOne(Stream& stream, const Binding& binding, BoundPack* pack) {
  KernelArgs args;
  args.inputs = pack->inputs.data();
  args.outputs = pack->outputs.data();
  args.scratch = pack->scratch;
  absl::Status status = pack->kernel->Pack(stream, args, pack->packed);
  if (!status.ok()) {
    return absl::Status(status.code(),
                        absl::StrCat("packing weights of node ", pack->source->node(), ": ", status.message()));
  }
  pack->version = binding.weights_version;
  return absl::OkStatus();
}

}  // namespace

absl::Status Pack(Stream& stream, const std::vector<int>& packs, Binding* binding) {
  for (int index : packs) MR_RETURN_IF_ERROR(PackOne(stream, *binding, &binding->packs[index]));
  return absl::OkStatus();
}

absl::Status PackStale(Stream& stream, const BoundProgram& program, Binding* binding) {
  for (int index : program.used_packs) {
    BoundPack& pack = binding->packs[index];
    if (pack.version != binding->weights_version) MR_RETURN_IF_ERROR(PackOne(stream, *binding, &pack));
  }
  return absl::OkStatus();
}

}  // namespace millrace
