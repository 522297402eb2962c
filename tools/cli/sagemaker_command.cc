// `millrace sagemaker`: what a training container of SageMaker runs. The files of its contract become the flags of
// `millrace train`, and the trained weights go where SageMaker keeps a model.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "proto/status_macros.h"
#include "proto/text_proto.h"
#include "runtime/checkpoint/durable_file.h"
#include "runtime/data/regular_file.h"
#include "runtime/launch/detect.h"
#include "runtime/launch/sagemaker.h"
#include "runtime/rendezvous/token_memory.h"
#include "tools/cli/commands.h"

namespace millrace {
namespace {

// Piece by piece: weights may be larger than what is left of the memory.
absl::Status CopyFile(const std::string& from, const std::string& to) {
  MR_ASSIGN_OR_RETURN(const RegularFile source, RegularFile::Open(from));
  MR_ASSIGN_OR_RETURN(DurableFile target, DurableFile::Create(to));
  std::string piece(1 << 20, '\0');
  for (uint64_t done = 0; done < source.size();) {
    const uint64_t bytes = std::min<uint64_t>(piece.size(), source.size() - done);
    MR_RETURN_IF_ERROR(source.ReadAt(done, piece.data(), bytes));
    MR_RETURN_IF_ERROR(target.Append(piece.data(), bytes));
    done += bytes;
  }
  return target.Finish();
}

class SageMakerCommand : public Command {
 public:
  std::string name() const override { return "sagemaker"; }
  std::string summary() const override { return "train as a container of SageMaker: flags from /opt/ml"; }
  std::string usage() const override { return "[train]"; }
  std::vector<std::string> examples() const override {
    return {"sagemaker", "sagemaker train    # as docker run IMAGE train calls it"};
  }
  void Declare(FlagSet* flags) override { flags->Bool("show", &show_, "print the command that would run, and stop"); }
  absl::Status Run(const FlagSet&, const std::vector<std::string>& arguments) override {
    for (const std::string& argument : arguments) {
      if (argument != "train") return UsageError(absl::StrCat("unexpected argument '", argument, "'"));
    }
    const LaunchEnvironment environment = ThisProcessEnvironment();
    MR_ASSIGN_OR_RETURN(const std::vector<std::string> train_arguments, SageMakerTrainArguments(environment));
    if (show_) {
      std::string line = "millrace train";
      for (const std::string& word : train_arguments) absl::StrAppend(&line, " ", word);
      std::printf("%s\n", line.c_str());
      return absl::OkStatus();
    }
    MR_RETURN_IF_ERROR(KeepToken(environment));
    const std::unique_ptr<Command> train = MakeTrainCommand();
    FlagSet flags;
    train->Declare(&flags);
    const absl::Status parsed = flags.Parse(train_arguments);
    if (!parsed.ok()) return ConfigError(absl::StrCat("hyperparameters: ", parsed.message()));
    MR_RETURN_IF_ERROR(train->Run(flags, flags.positional()));
    return KeepModel(environment, train_arguments);
  }

 private:
  // The job's token comes as a variable; it goes on in memory, so that nothing of it is left in the container, and is
  // not in the environment of anything started.
  absl::Status KeepToken(const LaunchEnvironment& environment) const {
    const std::string* const text = environment.Find("MILLRACE_TOKEN");
    if (text == nullptr || environment.Has("MILLRACE_TOKEN_FILE")) return absl::OkStatus();
    const absl::StatusOr<JobToken> token = JobToken::FromText(*text);
    if (!token.ok()) return ConfigError(absl::StrCat("MILLRACE_TOKEN: ", token.status().message()));
    MR_ASSIGN_OR_RETURN(const int descriptor, TokenInMemory(*token));  // for as long as this process lives
    setenv("MILLRACE_TOKEN_FILE", TokenMemoryPath(descriptor).c_str(), 1);
    unsetenv("MILLRACE_TOKEN");
    return absl::OkStatus();
  }

  // Only the process of rank 0 has written weights.
  absl::Status KeepModel(const LaunchEnvironment& environment, const std::vector<std::string>& train_arguments) const {
    std::string out;
    for (absl::string_view argument : train_arguments) {
      if (absl::ConsumePrefix(&argument, "--out=")) out = std::string(argument);
    }
    const std::string weights = absl::StrCat(out, "/weights.safetensors");
    // Where all hosts see the folder, one model is enough.
    MR_ASSIGN_OR_RETURN(const LaunchContract contract, DetectLaunch(environment));
    if (contract.rank != 0 || !Exists(weights)) return absl::OkStatus();
    const std::string folder = absl::StrCat(environment.root, SageMakerFolder(environment), "/model");
    MR_RETURN_IF_ERROR(MakeFolder(folder));
    const std::string kept = absl::StrCat(folder, "/weights.safetensors");
    unlink(kept.c_str());  // of a start before this one
    return CopyFile(weights, kept);
  }

  bool show_ = false;
};

}  // namespace

std::unique_ptr<Command> MakeSageMakerCommand() { return std::make_unique<SageMakerCommand>(); }

}  // namespace millrace
