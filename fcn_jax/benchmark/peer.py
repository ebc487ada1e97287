"""PyTorch as a peer in races, in a process of its own."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable

from fcn_jax.benchmark.machine import take_turns

_MODULE = "fcn_jax.benchmark.torch_peer"


class TorchPeer:
  """A process that runs `torch_peer`; calling it does its work once.

  Args:
    model: a registered name.
    size: HEIGHTxWIDTH.
    batch: images at once.
    precision: of the products.
    work: 'forward' or 'step'.
    compiled: by torch.compile.

  Raises:
    OSError: it ended before it was ready.
  """

  def __init__(
    self,
    model: str,
    size: str,
    batch: int,
    precision: str,
    work: str,
    compiled: bool = False,
  ):
    self._process = subprocess.Popen(
      [
        sys.executable,
        "-m",
        _MODULE,
        f"--model={model}",
        f"--size={size}",
        f"--batch={batch}",
        f"--precision={precision}",
        f"--work={work}",
        *(["--compiled"] if compiled else []),
      ],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE if compiled else None,
      text=True,
    )
    line = self._process.stdout.readline()
    if not line:
      raise OSError(f"{_MODULE} ended; is torch installed (pip install torch)?")
    self.about = json.loads(line)

  def ask(self, what: str) -> float:
    """Seconds of a piece of work, or its answer to 'memory': bytes."""
    print(what, file=self._process.stdin, flush=True)
    return json.loads(self._process.stdout.readline())

  def __call__(self) -> float:
    return self.ask("run")

  def close(self) -> None:
    """Ends the process."""
    with contextlib.suppress(OSError):
      self._process.stdin.close()
    self._process.wait()


def faster_torch(make: Callable[..., TorchPeer]) -> tuple[str, TorchPeer]:
  """PyTorch as it is, or compiled where that works and is faster.

  Args:
    make: takes `compiled`.

  Returns:
    What to call it, and the peer.
  """
  plain = make()
  try:
    compiled = make(compiled=True)
  except OSError:
    return "torch", plain
  timings = take_turns({"plain": plain, "compiled": compiled}, 3, 0)
  if timings["compiled"].median < timings["plain"].median:
    plain.close()
    return "torch, compiled", compiled
  compiled.close()
  return "torch", plain
