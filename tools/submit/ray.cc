// Ray: a Python script whose actors each start one rank. It needs nothing but Ray itself.
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "nlohmann/json.hpp"
#include "tools/submit/launchers.h"

namespace millrace {
namespace {

// @NAME@ are replaced by JSON, which Python reads as literals where it holds texts, numbers and lists only.
constexpr char kScript[] =
    R"py("""Runs a Millrace job on a Ray cluster: an actor a rank. Written by `millrace submit`."""
import os
import secrets
import socket
import subprocess
import sys
import tempfile

import ray

RANKS = @RANKS@
CPUS = @CPUS@
MAX_RESTARTS = @RESTARTS@
COMMAND = @COMMAND@
FILES = @FILES@
RETRY = 75  # stopped after a good checkpoint, or a peer was lost


@ray.remote(max_restarts=0)
class Rank:
    def address(self):
        """A port that was free a moment ago, on this actor's machine."""
        with socket.socket() as probe:
            probe.bind(('', 0))
            return ray.util.get_node_ip_address(), probe.getsockname()[1]

    def node(self):
        return ray.get_runtime_context().get_node_id()

    def run(self, files, token, variables):
        with tempfile.TemporaryDirectory(prefix='millrace-') as folder:
            for name, content in files.items():
                with open(os.path.join(folder, name), 'wb') as file:
                    file.write(content)
            path = os.path.join(folder, 'token')
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), 'w') as file:
                file.write(token)
            command = [word.replace('{folder}', folder) for word in COMMAND]
            return subprocess.call(command, env={**os.environ, **variables, 'MILLRACE_TOKEN_FILE': path})


def attempt(files):
    """Runs the job once; every rank's exit code."""
    group = ray.util.placement_group([{'CPU': CPUS}] * RANKS, strategy='PACK')
    ray.get(group.ready())
    strategy = ray.util.scheduling_strategies.PlacementGroupSchedulingStrategy(placement_group=group)
    actors = [Rank.options(num_cpus=CPUS, scheduling_strategy=strategy).remote() for _ in range(RANKS)]
    try:
        nodes = ray.get([actor.node.remote() for actor in actors])
        # Ranks of one machine stand side by side, as every launcher numbers them.
        order = sorted(range(RANKS), key=lambda i: (nodes.index(nodes[i]), i))
        actors, nodes = [actors[i] for i in order], [nodes[i] for i in order]
        host, port = ray.get(actors[0].address.remote())
        token = secrets.token_hex(32)
        runs = []
        for rank, actor in enumerate(actors):
            machines = list(dict.fromkeys(nodes))
            variables = {
                'RANK': rank, 'WORLD_SIZE': RANKS, 'LOCAL_RANK': nodes[:rank].count(nodes[rank]),
                'LOCAL_WORLD_SIZE': nodes.count(nodes[rank]), 'NODE_RANK': machines.index(nodes[rank]),
                'MASTER_ADDR': host, 'MASTER_PORT': port}
            runs.append(actor.run.remote(files, token, {name: str(value) for name, value in variables.items()}))
        return ray.get(runs)
    finally:
        for actor in actors:
            ray.kill(actor)
        ray.util.remove_placement_group(group)


def main():
    files = {}
    for name, path in FILES.items():
        with open(path, 'rb') as file:
            files[name] = file.read()
    ray.init()
    for tried in range(MAX_RESTARTS + 1):
        codes = attempt(files)
        print('exit codes of the ranks:', *codes, file=sys.stderr)
        worst = next((code for code in codes if code not in (0, RETRY)), max(codes))
        if worst == 0 or (worst > 0 and worst != RETRY and worst < 128):
            return worst
    return worst if 0 < worst < 256 else 1


if __name__ == '__main__':
    sys.exit(main())
)py";

std::string PythonLiteral(const nlohmann::ordered_json& value) {
  return value.dump(-1, ' ', /*ensure_ascii=*/true, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace

absl::StatusOr<Emission> EmitRay(const Submission& submission) {
  if (submission.ranks_per_node != 1) {
    return absl::InvalidArgumentError("Ray places one rank an actor: leave --ranks-per-node out");
  }
  double cpus = 0;
  if (!absl::SimpleAtod(submission.cpus, &cpus)) {
    return absl::InvalidArgumentError(absl::StrCat("--cpus=", submission.cpus, ": Ray counts cores, for example 2"));
  }
  nlohmann::ordered_json files = nlohmann::ordered_json::object();
  if (submission.plan_at.empty()) files["plan"] = submission.plan_path;
  if (!submission.job_bytes.empty()) files["job"] = submission.job_path;
  const std::vector<std::string> command = TrainCommand(
      submission, submission.plan_at.empty() ? "{folder}/plan" : submission.plan_at,
      submission.job_bytes.empty() ? "" : "{folder}/job", submission.comm.empty() ? "gloo" : submission.comm);
  Emission emission;
  emission.text = absl::StrReplaceAll(kScript, {{"@RANKS@", absl::StrCat(submission.ranks)},
                                                {"@CPUS@", absl::StrCat(cpus)},
                                                {"@RESTARTS@", absl::StrCat(submission.max_restarts)},
                                                {"@COMMAND@", PythonLiteral(command)},
                                                {"@FILES@", PythonLiteral(files)}});
  emission.file = absl::StrCat(submission.name, ".py");
  emission.argv = {"ray", "job", "submit", "--working-dir", ".", "--", "python", "{file}"};
  emission.notes.push_back("every machine needs millrace on its path, and the data and --out on a shared file system");
  return emission;
}

}  // namespace millrace
