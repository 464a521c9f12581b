#!/usr/bin/env bash
# A run on several nodes of a SLURM cluster: a Ray head on the first node, Ray on the others, and
# the driver in this script. The arguments are the run directory and what 'lmrl train' takes:
#
#   sbatch --nodes 4 --gpus-per-node 2 deploy/slurm.sh /shared/runs/maze maze-fo-ppo --sampler.count 6
#
# Submit it from the root of the repository, on a file system that all nodes mount.
#SBATCH --job-name=lmrl
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
# SLURM signals this script alone, two minutes before the limit; it passes the signal on.
#SBATCH --signal=B:TERM@120
set -euo pipefail

[ $# -ge 2 ] || { echo "usage: sbatch deploy/slurm.sh RUN_DIR PRESET [FIELD ...]" >&2; exit 2; }
[ "${1#/}" != "$1" ] || { echo "the run directory $1 is not an absolute path" >&2; exit 2; }
here=${SLURM_SUBMIT_DIR:-.}
cd "$here"
[ ! -e .venv/bin/activate ] || . .venv/bin/activate

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
# A port of this job's own, since another job may have a head on the same machine.
port=$((20000 + SLURM_JOB_ID % 20000))
token=$(od -An -tx1 -N32 /dev/urandom | tr -d ' \n')
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN=${RAY_AUTH_TOKEN:-$token}
head=$(srun --nodes 1 --ntasks 1 --nodelist "${nodes[0]}" hostname --ip-address | awk '{print $1}')
export RAY_ADDRESS="$head:$port"
resources=(--num-cpus "${SLURM_CPUS_PER_TASK:-1}" --num-gpus "${SLURM_GPUS_ON_NODE:-0}")
resources+=(--disable-usage-stats --block)

on() { # HOST COMMAND...: a step of this job on one node, in the background
  srun --overlap --nodes 1 --ntasks 1 --nodelist "$1" "${@:2}" &
  steps+=($!)
}
steps=()
driver=
stop() {
  [ -z "$driver" ] || { kill -TERM "$driver" 2>/dev/null || true; }
}
finish() {
  for step in "${steps[@]}"; do kill -TERM "$step" 2>/dev/null || true; done
  wait || true
}
trap stop TERM
trap finish EXIT

on "${nodes[0]}" ray start --head --node-ip-address "$head" --port "$port" \
  --include-dashboard false "${resources[@]}"
for node in "${nodes[@]:1}"; do
  # A node that starts before the head tries again by itself.
  on "$node" ray start --address "$RAY_ADDRESS" "${resources[@]}"
done

# The run starts when all nodes have joined, since its placement is checked then.
for _ in $(seq 60); do
  joined=$(ray status --address "$RAY_ADDRESS" 2>/dev/null | grep -c '^ 1 node_' || true)
  [ "$joined" -lt "${#nodes[@]}" ] || break
  sleep 2
done

# A job that SLURM starts again goes on with the run.
python -m lmrl train "${@:2}" --run-dir "$1" --resume auto &
driver=$!
code=0
wait "$driver" || code=$?
# A signal ends the first wait; the driver saves a checkpoint and then ends.
while kill -0 "$driver" 2>/dev/null; do wait "$driver" || code=$?; done
exit "$code"
