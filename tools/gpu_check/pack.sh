#!/usr/bin/env bash
# Builds gpu_check and packs it with what a bare GPU machine lacks into one file. Usage: tools/gpu_check/pack.sh [FILE]
# There: tar xzf gpu_check.tar.gz && python3 gpu_check/run.py. CUDA's libraries are the machine's own.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=${1:-gpu_check.tar.gz}
most=$((60 * 1000 * 1000))

[[ -e .bazelrc.machine ]] || tools/setup.sh
bazel build //tools/gpu_check >&2

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
pack=$folder/gpu_check
mkdir -p "$pack/lib"
cp -L bazel-bin/tools/gpu_check/gpu_check "$pack/"
chmod u+w "$pack/gpu_check"
strip "$pack/gpu_check"
cp tools/gpu_check/{run.py,to_markdown.py,pytorch_gpt2.py} "$pack/"
git describe --always --dirty > "$pack/VERSION" 2>/dev/null || echo unknown > "$pack/VERSION"

# Everything that the loader finds, but for the C and C++ libraries, which every machine has, and CUDA's.
ldd "$pack/gpu_check" | awk '$2 == "=>" && $3 != "not" { print $1, $3 }' | while read -r name path; do
  case $name in
    libc.so.*|libm.so.*|libdl.so.*|librt.so.*|libpthread.so.*|libgcc_s.so.*|libstdc++.so.*|libcuda*|libcu*|libnccl*) ;;
    *) cp -L "$path" "$pack/lib/$name" ;;
  esac
done
tar -czf "$out" -C "$folder" gpu_check
size=$(stat -c %s "$out")
echo "$out: $size bytes; needs glibc $(objdump -T "$pack/gpu_check" "$pack"/lib/* | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -1)"
((size < most)) || { echo "pack.sh: $out is larger than $most bytes" >&2; exit 1; }
