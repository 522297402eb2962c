#include "runtime/comm/mpi/library.h"

#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "runtime/comm/mpi/mpi.h"

namespace millrace::mpi {
namespace {

Library& TheLibrary() {
  static Library* library = new Library;
  return *library;
}

}  // namespace

absl::Status ToStatus(int code, const char* call) {
  if (code == MPI_SUCCESS) return absl::OkStatus();
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  MPI_Error_string(code, text, &length);
  return absl::UnavailableError(absl::StrCat("MPI: ", call, ": ", absl::string_view(text, length)));
}

absl::StatusOr<Library*> Library::Get() {
  static const auto* status = new absl::Status(TheLibrary().Start());
  MR_RETURN_IF_ERROR(*status);
  return &TheLibrary();
}

absl::Status Library::Start() {
  int started = 0, finalized = 0, provided = 0;
  MPI_Initialized(&started);
  MPI_Finalized(&finalized);
  if (finalized) return absl::FailedPreconditionError("MPI: this process has already finalized it");
  if (started) {
    MPI_Query_thread(&provided);
  } else {
    MR_RETURN_IF_ERROR(ToStatus(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &provided), "MPI_Init_thread"));
    finalize_.store(true);
    std::atexit(AtExit);
  }
  if (provided < MPI_THREAD_SERIALIZED) {
    return absl::FailedPreconditionError("MPI: this library does not let several threads of a process take turns");
  }
  int* limit = nullptr;
  int found = 0;
  MR_RETURN_IF_ERROR(ToStatus(MPI_Comm_get_attr(MPI_COMM_WORLD, MPI_TAG_UB, &limit, &found), "MPI_TAG_UB"));
  if (found) tag_limit_ = *limit;
  return absl::OkStatus();
}

absl::StatusOr<MPI_Comm> Library::NewWorld() {
  std::lock_guard<std::mutex> lock(mutex_);
  MPI_Comm world = MPI_COMM_NULL;
  MR_RETURN_IF_ERROR(ToStatus(MPI_Comm_dup(MPI_COMM_WORLD, &world), "MPI_Comm_dup"));
  MPI_Comm_set_errhandler(world, MPI_ERRORS_RETURN);
  return world;
}

void Library::AtExit() {
  int finalized = 0;
  MPI_Finalized(&finalized);
  if (!finalized && TheLibrary().finalize_.load()) MPI_Finalize();
}

}  // namespace millrace::mpi

namespace millrace {

void FinalizeMpi() {
  int started = 0, finalized = 0;
  MPI_Initialized(&started);
  MPI_Finalized(&finalized);
  if (started && !finalized) MPI_Finalize();
}

}  // namespace millrace
