#include "runtime/worker/packs.h"

#include "absl/strings/str_cat.h"

namespace millrace {

absl::Status PackStale(Stream& stream, const std::vector<int>& packs, Binding* binding) {
  for (int index : packs) {
    BoundPack& pack = binding->packs[index];
    if (pack.version == binding->weights_version) continue;
    KernelArgs args;
    args.inputs = pack.inputs.data();
    args.outputs = pack.outputs.data();
    args.scratch = pack.scratch;
    absl::Status status = pack.kernel->Pack(stream, args, pack.packed);
    if (!status.ok()) {
      return absl::Status(status.code(),
                          absl::StrCat("packing weights of node ", pack.source->node(), ": ", status.message()));
    }
    pack.version = binding->weights_version;
  }
  return absl::OkStatus();
}

absl::Status PackStale(Stream& stream, const BoundProgram& program, Binding* binding) {
  return PackStale(stream, program.used_packs, binding);
}

}  // namespace millrace
