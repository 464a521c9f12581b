#!/usr/bin/env bash
# Start a run, or go on with it if its directory has one that has not ended.
#
#   deploy/start-or-resume.sh RUN_DIR PRESET [FIELD ...]
#
# A scheduler that restarts a job gives the same command again.
set -euo pipefail
run=$1
shift
if [ -e "$run/summary.json" ]; then
  echo "$run has ended"
elif [ -e "$run/.lmrl-run" ] && [ -e "$run/config.json" ]; then
  exec python -m lmrl train --resume "$run"
else
  exec python -m lmrl train "$@" --run-dir "$run"
fi
