#!/usr/bin/env bash
# Installs what Millrace needs from Debian 12's own packages, and writes down what this machine has (.bazelrc.machine).
# Run by tools/quickstart.sh and tools/test.sh; safe to run again: it does nothing when everything is there.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(
  bazel-bootstrap bazel-rules-java bazel-rules-proto bazel-skylib bazel-platforms default-jdk-headless
  g++ git ca-certificates
  libabsl-dev libprotobuf-dev protobuf-compiler libgtest-dev libgmock-dev libbenchmark-dev
  libgrpc++-dev protobuf-compiler-grpc
  libdnnl-dev libhwy-dev libssl-dev libisal-dev nlohmann-json3-dev
  libgloo-dev libopenmpi-dev openmpi-bin
  slurm-wlm munge iproute2
  bible-kjv python3 python3-yaml python3-jsonschema
)

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done

if ((${#missing[@]})); then
  sudo=()
  if [[ $(id -u) -ne 0 ]]; then
    command -v sudo >/dev/null || {
      echo "setup: these packages are missing and need root to install: ${missing[*]}" >&2
      echo "setup: run as root:  apt-get install --no-install-recommends ${missing[*]}" >&2
      exit 69
    }
    sudo=(sudo)
  fi
  echo "setup: installing ${missing[*]}" >&2
  export DEBIAN_FRONTEND=noninteractive
  # On a machine with an old package list the first attempt fails; then the list is brought up to date.
  "${sudo[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null 2>&1 ||
    { "${sudo[@]}" apt-get update -qq >&2 &&
      "${sudo[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null; } ||
    { echo "setup: apt-get could not install: ${missing[*]}. Millrace is built with Debian 12's packages." >&2; exit 69; }
fi

# What the machine has decides which backends are linked; nothing in the tree is edited.
{
  echo "# Written by tools/setup.sh."
  echo "build --//kernels:cpu=true"
  cuda_home=${CUDA_HOME:-/usr/local/cuda}
  cuda=true
  for part in bin/nvcc include/cublasLt.h include/cudnn.h lib64/libcudart_static.a lib64/libcublasLt.so.13 lib64/libcudnn.so.9; do
    [[ -e $cuda_home/$part ]] || cuda=false
  done
  echo "build --//kernels:cuda=$cuda"
  [[ $cuda_home == /usr/local/cuda ]] || echo "build --repo_env=CUDA_HOME=$cuda_home"
  nccl=$cuda
  [[ -e $cuda_home/include/nccl.h ]] || nccl=false
  echo "build --//runtime/comm/nccl:link_nccl=$nccl"
  mpi=false
  [[ -e /usr/lib/x86_64-linux-gnu/openmpi/include/mpi.h && -e /usr/lib/x86_64-linux-gnu/libmpi.so ]] && mpi=true
  echo "build --//runtime/comm/mpi:link_mpi=$mpi"
} > .bazelrc.machine.new
cmp -s .bazelrc.machine.new .bazelrc.machine 2>/dev/null && rm .bazelrc.machine.new || mv .bazelrc.machine.new .bazelrc.machine
