// Slurm: a batch script, and `sbatch` of it.
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tools/submit/launchers.h"
#include "tools/submit/quote.h"

namespace millrace {
namespace {

// #SBATCH lines are no shell: a value there must be one word.
bool IsOneWord(absl::string_view text) { return ShellQuote(text) == text; }

}  // namespace

absl::StatusOr<Emission> EmitSlurm(const Submission& submission) {
  if (!IsOneWord(submission.cpus) || absl::StrContains(submission.cpus, "m") ||
      absl::StrContains(submission.cpus, ".")) {
    return absl::InvalidArgumentError(absl::StrCat("--cpus=", submission.cpus, ": Slurm gives whole cores"));
  }
  Emission emission;
  emission.can_run = true;
  emission.file = absl::StrCat(submission.name, ".sbatch");
  emission.argv = {"sbatch", "{file}"};
  const std::string comm = submission.comm.empty() ? "gloo" : submission.comm;
  const std::vector<std::string> train = TrainCommand(
      submission, submission.plan_at.empty() ? submission.plan_path : submission.plan_at, submission.job_path, comm);
  std::string& text = emission.text;
  absl::StrAppend(&text, "#!/bin/sh\n#SBATCH --job-name=", submission.name, "\n#SBATCH --nodes=", submission.nodes,
                  "\n#SBATCH --ntasks=", submission.ranks, "\n#SBATCH --ntasks-per-node=", submission.ranks_per_node,
                  "\n#SBATCH --cpus-per-task=", submission.cpus, "\n#SBATCH --time=", submission.time_limit,
                  "\n#SBATCH --output=", submission.name, "-%j.out\n#SBATCH --open-mode=append\n#SBATCH --requeue\n");
  // So long before the limit, every rank is asked to write a checkpoint and end with code 75.
  absl::StrAppend(&text, "#SBATCH --signal=TERM@", submission.grace_seconds, "\n");
  if (!submission.partition.empty()) absl::StrAppend(&text, "#SBATCH --partition=", submission.partition, "\n");
  absl::StrAppend(
      &text,
      "\n# The job's token, for all its tasks and nobody else: this folder must be one that all machines see.\n"
      "umask 077\n"
      "export MILLRACE_TOKEN_FILE=\"$SLURM_SUBMIT_DIR/.millrace-token-$SLURM_JOB_ID\"\n"
      "od -An -N32 -tx1 /dev/urandom | tr -d ' \\n' > \"$MILLRACE_TOKEN_FILE\"\n"
      "trap 'rm -f \"$MILLRACE_TOKEN_FILE\"' EXIT\n"
      "umask 022\n\n"
      "srun --kill-on-bad-exit=1 --label",
      comm == "mpi" ? " --mpi=pmix" : "", " \\\n    ", ShellCommand(train, " \\\n    "),
      "\ncode=$?\n\n"
      "# 75: stopped after a good checkpoint, or a peer was lost. Anything else would fail again.\n"
      "if [ \"$code\" -eq 75 ] && [ \"${SLURM_RESTART_COUNT:-0}\" -lt ",
      submission.max_restarts, " ]; then\n  scontrol requeue \"$SLURM_JOB_ID\"\nfi\nexit \"$code\"\n");
  return emission;
}

}  // namespace millrace
