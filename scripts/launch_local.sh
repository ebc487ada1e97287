#!/usr/bin/env bash
# Starts a command as several processes on this machine, which share its work.
#
#   scripts/launch_local.sh 8 python scripts/train.py --config=... --workdir=...
#
# Process i gets GPU i, and the flags --coordinator, --processes and
# --process_id; train.py, evaluate.py and predict.py take them. Ctrl-C and
# SIGTERM reach all of them as SIGTERM, a second one as SIGKILL. When one fails,
# the others are ended, and its exit code is that of this script.
set -u

if [[ $# -lt 2 || ! $1 =~ ^[1-9][0-9]*$ ]]; then
  echo "usage: $0 NUMBER_OF_PROCESSES COMMAND..." >&2
  exit 2
fi
number=$1
shift

# How long the others have to end by themselves, in seconds.
patience=5
stopped=143  # exit code of a training that was told to stop by a SIGTERM

port=$("${PYTHON:-python3}" -c '
import socket
with socket.socket() as found:
  found.bind(("127.0.0.1", 0))
  print(found.getsockname()[1])') || exit 1

# The shell's own words on processes that were killed are not for the reader.
exec 3>&2 2>/dev/null

pids=()
stopping=
stop() {
  kill -"${stopping:-TERM}" "${pids[@]}"
  stopping=KILL
}
trap stop INT TERM
for ((i = 0; i < number; i++)); do
  JAX_LOCAL_DEVICE_IDS=$i "$@" --coordinator="127.0.0.1:$port" \
    --processes="$number" --process_id="$i" 2>&3 &
  pids+=($!)
done

lost=  # the first that failed
code=0
left=("${!pids[@]}")
while ((${#left[@]})); do
  sleep 0.2
  still=()
  for i in "${left[@]}"; do
    if kill -0 "${pids[i]}"; then
      still+=("$i")
      continue
    fi
    wait "${pids[i]}"
    ended=$?
    if ((ended == stopped)) && [[ -z $lost ]]; then
      code=$ended
    elif ((ended)) && [[ -z $lost ]]; then
      lost=$i code=$ended deadline=$((SECONDS + patience))
    fi
  done
  left=(${still[@]+"${still[@]}"})
  if [[ $lost && -z $stopping ]] && ((${#left[@]} && SECONDS >= deadline)); then
    for i in "${left[@]}"; do
      kill -KILL "${pids[i]}"
    done
  fi
done

if [[ $lost && -z $stopping ]]; then
  why="ended with exit code $code, see above"
  ((code > 128)) && why="was ended by SIG$(kill -l $((code - 128)))"
  echo "error: process $lost of 0 to $((number - 1)) $why; the others were" \
    "ended too. A training goes on from its last checkpoint by the same" \
    "command" >&3
fi
exit "$code"
