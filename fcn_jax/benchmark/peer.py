"""PyTorch as a peer in races, in a process of its own."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable

from fcn_jax.benchmark.machine import take_turns

_MODULE = "fcn_jax.benchmark.torch_peer"

# As it is; by torch.compile, for forward passes with frozen weights; that with
# fully connected layers, normalisation and upscoring written by hand.
FORMS = ("eager", "compiled", "by hand")
# On an H200 the others take 40 times as long, nearly all of it upscoring by a
# transposed convolution of a channel at a time.
GRAPHS = "by hand, CUDA graphs"
GPU_FORMS = ("by hand", GRAPHS)


class TorchPeer:
  """A process that runs `torch_peer`; calling it does its work once.

  It starts at once and makes ready beside what its caller does meanwhile.

  Args:
    model: a registered name.
    size: HEIGHTxWIDTH.
    batch: images at once.
    precision: of the products.
    work: 'forward' or 'step'.
    form: of `FORMS`.
  """

  def __init__(
    self,
    model: str,
    size: str,
    batch: int,
    precision: str,
    work: str,
    form: str = "eager",
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
        f"--form={form}",
      ],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      stderr=None if form == "eager" else subprocess.DEVNULL,
      text=True,
    )
    self._is_ready = False

  def wait(self) -> None:
    """Waits until it is ready.

    Raises:
      OSError: it ended before it was.
    """
    if self._is_ready:
      return
    if not self._process.stdout.readline():
      raise OSError(f"{_MODULE} ended; is torch installed (pip install torch)?")
    self._is_ready = True

  def ask(self, what: str) -> float:
    """Seconds of a piece of work, or its answer to 'memory': bytes."""
    self.wait()
    print(what, file=self._process.stdin, flush=True)
    return json.loads(self._process.stdout.readline())

  def __call__(self) -> float:
    return self.ask("run")

  def close(self) -> None:
    """Ends the process."""
    with contextlib.suppress(OSError):
      self._process.stdin.close()
    self._process.wait()


def fastest_torch(
  make: Callable[[str], TorchPeer], on_gpu: bool = False
) -> tuple[str, TorchPeer]:
  """PyTorch in that of its forms which is the fastest here.

  Args:
    make: the peer of a form.
    on_gpu: the forms for GPUs.

  Returns:
    What to call it, and the peer.

  Raises:
    OSError: not even the first form works here.
  """
  forms = GPU_FORMS if on_gpu else FORMS
  started = {form: make(form) for form in forms}  # they compile side by side
  peers = {}
  for form, peer in started.items():
    with contextlib.suppress(OSError):
      peer.wait()
      peers[form] = peer
  if forms[0] not in peers:
    for peer in peers.values():
      peer.close()
    started[forms[0]].wait()  # raises why
  timings = take_turns(peers, 3, 0)
  fastest = min(peers, key=lambda form: timings[form].median)
  for form, peer in peers.items():
    if form != fastest:
      peer.close()
  return f"torch, {fastest}", peers[fastest]
