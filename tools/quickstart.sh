#!/usr/bin/env bash
# From a fresh Debian 12 machine to a trained model: installs what is needed, builds, and trains a small GPT as a
# four-stage pipeline on the text of a book. Everything it makes goes to runs/quickstart (or the folder named).
#   tools/quickstart.sh [FOLDER]
set -euo pipefail
cd "$(dirname "$0")/.."

case ${1:-} in
  -h | --help) sed -n '2,4s/^# //p' "$0"; exit 0 ;;
esac
run=${1:-runs/quickstart}

if [[ -e $run ]]; then
  echo "quickstart: $run is there already; nothing in it is touched. Move it away, or name another folder:" >&2
  echo "quickstart:   tools/quickstart.sh runs/second" >&2
  exit 73
fi

echo "== 1/5 packages" >&2
tools/setup.sh

echo "== 2/5 build (minutes the first time, seconds after that)" >&2
bazel build //tools:millrace 2>&1 | grep -E '^(ERROR|FAILED)|error:|Elapsed time' >&2 || true
millrace=bazel-bin/tools/millrace
[[ -x $millrace ]] || { echo "quickstart: the build failed; see: bazel build //tools:millrace" >&2; exit 70; }

echo "== 3/5 model, text and plan" >&2
mkdir -p "$run.new"
trap 'rm -rf "$run.new"' EXIT
bible 'Gen1:1-Rev22:21' > "$run.new/text.txt"
$millrace model gpt2 --layers=4 --heads=8 --width=256 --vocab=256 --context=128 --out="$run.new/model.textproto"
$millrace partition "$run.new/model.textproto" --devices=cpu:4 --pp=4 --micro-batch=4 --micro-batches=8 \
  --schedule=1f1b --cut=balanced --out="$run.new/plan.pb"
mv "$run.new" "$run"
trap - EXIT

echo "== 4/5 training" >&2
$millrace train --plan="$run/plan.pb" --model="$run/model.textproto" --data="$run/text.txt" --steps=120 --seed=1 \
  --learning-rate=2e-3 --warmup-steps=20 --out="$run/train"

echo "== 5/5 stage balance" >&2
$millrace report "$run/train" --html="$run/train/report.html" --trace="$run/train/trace.json"
echo
echo "What was made, in $run:"
echo "  model.textproto      the model graph"
echo "  plan.pb              the plan: millrace explain $run/plan.pb"
echo "  train/report.html    the stage balance as a page for a browser"
echo "  train/trace.json     the last step, instruction by instruction, for ui.perfetto.dev"
echo "  train/metrics.csv    one row per step"
echo "  train/weights.safetensors, train/checkpoint   the trained weights, and what a resume needs"
