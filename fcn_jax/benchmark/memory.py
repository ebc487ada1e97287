"""Peak memory of one kind of work, in a process of its own.

  python -m fcn_jax.benchmark.memory fcn_alexnet step 375x500 1 float32 1.0

prints bytes: of the device, or of the whole process on a CPU. The arguments are
model, work, size, batch, precision and share of the published features.
"""

import pathlib
import re
import sys

import jax

from fcn_jax.benchmark import compute


def peak(
  model: str, work: str, size: str, images: int, precision: str, share: float
) -> int:
  """Bytes after three times 'forward' or 'step'.

  `share` is that of the published features.
  """
  height, width = map(int, size.split("x"))
  given = compute.batch(height, width, images)
  run = {"forward": compute.forward, "step": compute.step}[work]
  run = run(compute.network(model, precision, share), given)
  compute.network.cache_clear()  # a step works on a copy of its parameters
  for _ in range(3):
    run()
  statistics = jax.devices()[0].memory_stats()
  if statistics and "peak_bytes_in_use" in statistics:
    return statistics["peak_bytes_in_use"]
  return of_process()


def of_process() -> int:
  """Most bytes this process has held.

  From Linux's own figure, since getrusage's begins with that of the process
  which started this one.
  """
  status = pathlib.Path("/proc/self/status").read_text()
  return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1))


if __name__ == "__main__":
  MODEL, WORK, SIZE, BATCH, PRECISION, SHARE = sys.argv[1:]
  print(peak(MODEL, WORK, SIZE, int(BATCH), PRECISION, float(SHARE)))
