#!/usr/bin/env bash
# Sets the machine up, builds everything and runs every test.
#   tools/test.sh          the tests that finish in minutes
#   tools/test.sh --all    the long batteries too
# The last line is "N passed, N failed, N skipped", counted from the test cases that ran.
set -uo pipefail
cd "$(dirname "$0")/.."
root=$PWD

filters=(--test_tag_filters=-long)
for argument in "$@"; do
  case $argument in
    --all) filters=() ;;
    -h | --help) sed -n '2,5s/^# //p' "$0"; exit 0 ;;
    *) echo "test.sh: unknown argument '$argument'; see tools/test.sh --help" >&2; exit 2 ;;
  esac
done

tools/setup.sh || exit $?
# Reference tables that some tests compare with lie beside the checkout, where there are any; the tests skip without.
[[ -d $root/../shared ]] && export MILLRACE_SHARED=$(cd "$root/../shared" && pwd)

bazel build //... 2>&1 | grep -vE '^(DEBUG|Loading|Analyzing|INFO: (Build option|Reading|Invocation))' | tail -n 40
built=${PIPESTATUS[0]}
bazel test //tests/... --build_tests_only "${filters[@]}" 2>&1 | tail -n 200
tested=${PIPESTATUS[0]}

python3 tools/count_tests.py "$(bazel info bazel-testlogs 2>/dev/null)" "$built" "$tested" "${filters[@]}"
