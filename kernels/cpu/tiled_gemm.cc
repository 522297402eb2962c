#include "kernels/cpu/tiled_gemm.h"

#include <algorithm>
#include <atomic>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "dnnl.hpp"
#include "dnnl_debug.h"
#include "kernels/cpu/blocks.h"
#include "kernels/cpu/thread_pool.h"

namespace millrace::cpu {
namespace {

using dnnl::memory;

// Never destroyed: kernels may outlive any static object.
const dnnl::engine& Engine() {
  static const dnnl::engine* const engine = new dnnl::engine(dnnl::engine::kind::cpu, 0);
  return *engine;
}

const dnnl::stream& ThreadStream() {
  thread_local const dnnl::stream stream(Engine());
  return stream;
}

memory::data_type LibraryType(DType dtype) {
  return dtype == proto::BF16 ? memory::data_type::bf16 : memory::data_type::f32;
}

absl::Status FromLibrary(dnnl_status_t status, absl::string_view what) {
  if (status == dnnl_success) return absl::OkStatus();
  const std::string message = absl::StrCat("oneDNN: ", what, ": ", dnnl_status2str(status));
  if (status == dnnl_unimplemented) return absl::UnimplementedError(message);
  if (status == dnnl_out_of_memory) return absl::ResourceExhaustedError(message);
  return absl::InternalError(message);
}

std::string Describe(const GemmForm& form) {
  return absl::StrCat("matrix product of ", std::string(Name(form.in)), "[", form.m, ",", form.k, "] and [", form.k,
                      ",", form.n, "] into ", std::string(Name(form.out)));
}

// Says how `desc` lays out its elements, so that equal texts are equal layouts.
std::string LayoutText(const memory::desc& desc) {
  const dnnl_memory_desc_t& md = desc.data;
  const dnnl_blocking_desc_t& blocking = md.format_desc.blocking;
  return absl::StrCat(absl::StrJoin(md.padded_dims, md.padded_dims + md.ndims, "x"), ":",
                      absl::StrJoin(blocking.strides, blocking.strides + md.ndims, ","), ":",
                      absl::StrJoin(blocking.inner_blks, blocking.inner_blks + blocking.inner_nblks, ","), ":",
                      absl::StrJoin(blocking.inner_idxs, blocking.inner_idxs + blocking.inner_nblks, ","));
}

// The arguments of one call: descriptions of memory that live as long as the call. They cost well under a microsecond.
class Arguments {
 public:
  ~Arguments() {
    for (int i = 0; i < count_; ++i) dnnl_memory_destroy(arguments_[i].memory);
  }
  void Add(int name, const memory::desc& desc, const void* data) {
    if (status_ != dnnl_success) return;
    status_ = dnnl_memory_create(&arguments_[count_].memory, &desc.data, Engine().get(), const_cast<void*>(data));
    if (status_ == dnnl_success) arguments_[count_++].arg = name;
  }
  dnnl_status_t Execute(const dnnl::primitive& primitive) const {
    if (status_ != dnnl_success) return status_;
    return dnnl_primitive_execute(primitive.get(), ThreadStream().get(), count_, arguments_);
  }

 private:
  dnnl_exec_arg_t arguments_[5];
  int count_ = 0;
  dnnl_status_t status_ = dnnl_success;
};

// The primitive for tiles of one size.
struct TilePrimitive {
  memory::desc a, b, bias, c, scratch;
  dnnl::matmul primitive;
};

TilePrimitive MakePrimitive(const GemmForm& form, int64_t rows, int64_t columns, const memory::desc& b) {
  const memory::desc a({rows, form.k}, LibraryType(form.in),
                       form.a_transposed ? memory::dims{1, form.lda} : memory::dims{form.lda, 1});
  const memory::desc c({rows, columns}, LibraryType(form.out), memory::dims{form.ldc, 1});
  const memory::desc bias({1, columns}, LibraryType(form.in), memory::dims{columns, 1});
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (form.accumulate) {
    dnnl::post_ops sum;
    sum.append_sum(1.0f);
    attributes.set_post_ops(sum);
  }
  const dnnl::matmul::desc desc = form.bias ? dnnl::matmul::desc(a, b, bias, c) : dnnl::matmul::desc(a, b, c);
  const dnnl::matmul::primitive_desc chosen(desc, attributes, Engine());
  return {a, chosen.weights_desc(), bias, c, chosen.scratchpad_desc(), dnnl::matmul(chosen)};
}

memory::desc StoredB(const GemmForm& form, int64_t columns) {
  return memory::desc({form.k, columns}, LibraryType(form.in),
                      form.b_transposed ? memory::dims{1, form.ldb} : memory::dims{form.ldb, 1});
}

// How oneDNN likes B for tiles of the main size; plain rows where its layout would have padding, which would have to be
// kept zero.
memory::desc PackedB(const GemmForm& form, int64_t rows, int64_t columns) {
  const memory::desc any({form.k, columns}, LibraryType(form.in), memory::format_tag::any);
  const memory::desc plain({form.k, columns}, LibraryType(form.in), memory::dims{columns, 1});
  const memory::desc chosen = MakePrimitive(form, rows, columns, any).b;
  return chosen.get_size() == plain.get_size() ? chosen : plain;
}

}  // namespace

int64_t EvenTile(int64_t total, int64_t most, int64_t multiple) {
  const int64_t pieces = std::max<int64_t>(1, CeilDiv(total, most));
  return std::max<int64_t>(1, std::min(total, RoundUp(CeilDiv(total, pieces), multiple)));
}

struct TiledGemm::Parts {
  GemmForm form;
  int64_t down = 0, across = 0;    // tiles
  TilePrimitive primitives[2][2];  // [last row of tiles][last column of tiles]
  dnnl::reorder reorders[2];       // [last column of tiles]
  memory::desc stored[2];
  uint64_t scratch_bytes = 0;
  uint64_t column_bytes = 0;  // of the packed B of one column of tiles
  uint64_t packed_bytes = 0;
  std::string pack_key;

  int64_t rows(bool last) const { return last ? form.m - (down - 1) * form.m_tile : form.m_tile; }
  int64_t columns(bool last) const { return last ? form.n - (across - 1) * form.n_tile : form.n_tile; }

  void MakePrimitives();
  void MakePacking(const memory::desc (&packed)[2]);
};

void TiledGemm::Parts::MakePrimitives() {
  memory::desc b[2];
  for (const bool last_column : {false, true}) {
    if (!last_column && across == 1) continue;
    stored[last_column] = StoredB(form, columns(last_column));
    b[last_column] = form.packed ? PackedB(form, rows(down == 1), columns(last_column)) : stored[last_column];
    for (const bool last_row : {false, true}) {
      if (!last_row && down == 1) continue;
      TilePrimitive& made = primitives[last_row][last_column];
      made = MakePrimitive(form, rows(last_row), columns(last_column), b[last_column]);
      scratch_bytes = std::max<uint64_t>(scratch_bytes, RoundUp(made.scratch.get_size(), 256));
    }
  }
  if (form.packed) MakePacking(b);
}

void TiledGemm::Parts::MakePacking(const memory::desc (&packed)[2]) {
  pack_key = absl::StrCat("onednn ", std::string(Name(form.in)), "[", form.k, ",", form.n, "]",
                          form.b_transposed ? " transposed" : "", " by ", form.n_tile);
  for (const bool last_column : {false, true}) {
    if (!last_column && across == 1) continue;
    reorders[last_column] =
        dnnl::reorder(dnnl::reorder::primitive_desc(Engine(), stored[last_column], Engine(), packed[last_column]));
    absl::StrAppend(&pack_key, " ", LayoutText(packed[last_column]));
    column_bytes = std::max<uint64_t>(column_bytes, RoundUp(packed[last_column].get_size(), 256));
  }
  packed_bytes = column_bytes * across;
}

absl::StatusOr<TiledGemm> TiledGemm::Make(const GemmForm& form) {
  auto parts = std::make_unique<Parts>();
  parts->form = form;
  parts->down = CeilDiv(form.m, form.m_tile);
  parts->across = CeilDiv(form.n, form.n_tile);
  if (form.k < 1) return absl::UnimplementedError(absl::StrCat(Describe(form), ": nothing to sum over"));
  // oneDNN notes the number of threads when a primitive is made.
  const SingleThreadedLibrary single;
  try {
    if (form.m > 0 && form.n > 0) parts->MakePrimitives();
  } catch (const dnnl::error& error) {
    return FromLibrary(error.status, absl::StrCat(Describe(form), ": ", error.message));
  }
  return TiledGemm(std::move(parts));
}

TiledGemm::TiledGemm(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
TiledGemm::TiledGemm(TiledGemm&&) noexcept = default;
TiledGemm& TiledGemm::operator=(TiledGemm&&) noexcept = default;
TiledGemm::~TiledGemm() = default;

const GemmForm& TiledGemm::form() const { return parts_->form; }
int64_t TiledGemm::tiles() const { return parts_->down * parts_->across; }
uint64_t TiledGemm::scratch_bytes() const { return parts_->scratch_bytes; }
uint64_t TiledGemm::packed_bytes() const { return parts_->packed_bytes; }
const std::string& TiledGemm::pack_key() const { return parts_->pack_key; }

TiledGemm::Tile TiledGemm::TileAt(int64_t tile) const {
  const int64_t down = tile / parts_->across, across = tile % parts_->across;
  return {down * parts_->form.m_tile, across * parts_->form.n_tile, parts_->rows(down == parts_->down - 1),
          parts_->columns(across == parts_->across - 1)};
}

absl::Status TiledGemm::Pack(CpuStream& stream, const void* b, void* packed) const {
  FirstError error;
  stream.ParallelFor(parts_->across, [&](int64_t across) {
    const bool last = across == parts_->across - 1;
    const GemmForm& form = parts_->form;
    const int64_t first = across * form.n_tile * (form.b_transposed ? form.ldb : 1);
    Arguments arguments;
    arguments.Add(DNNL_ARG_FROM, parts_->stored[last], static_cast<const char*>(b) + first * SizeOf(form.in));
    arguments.Add(DNNL_ARG_TO, parts_->primitives[true][last].b,
                  static_cast<char*>(packed) + across * parts_->column_bytes);
    error.Note(FromLibrary(arguments.Execute(parts_->reorders[last]), "packing of a weight"));
  });
  return error.status();
}

absl::Status TiledGemm::RunTile(int64_t tile, const void* a, const void* b, const void* bias, void* c,
                                void* scratch) const {
  const GemmForm& form = parts_->form;
  const int64_t down = tile / parts_->across, across = tile % parts_->across;
  const TilePrimitive& primitive = parts_->primitives[down == parts_->down - 1][across == parts_->across - 1];
  const int64_t size = SizeOf(form.in);
  const int64_t row = down * form.m_tile, column = across * form.n_tile;
  const int64_t b_offset =
      form.packed ? across * parts_->column_bytes : column * (form.b_transposed ? form.ldb : 1) * size;
  Arguments arguments;
  arguments.Add(DNNL_ARG_SRC, primitive.a,
                static_cast<const char*>(a) + row * (form.a_transposed ? 1 : form.lda) * size);
  arguments.Add(DNNL_ARG_WEIGHTS, primitive.b, static_cast<const char*>(b) + b_offset);
  arguments.Add(DNNL_ARG_DST, primitive.c, c);
  arguments.Add(DNNL_ARG_SCRATCHPAD, primitive.scratch, scratch);
  if (form.bias) arguments.Add(DNNL_ARG_BIAS, primitive.bias, static_cast<const char*>(bias) + column * size);
  return FromLibrary(arguments.Execute(primitive.primitive), "matrix product");
}

void ParallelForSlots(CpuStream& stream, int64_t tasks, absl::FunctionRef<void(int64_t task, int64_t slot)> task) {
  std::atomic<int64_t> next{0};
  stream.ParallelFor(std::min(tasks, kSlots), [&](int64_t slot) {
    for (int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < tasks;) task(i, slot);
  });
}

}  // namespace millrace::cpu
