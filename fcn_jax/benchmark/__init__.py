"""What scripts/benchmark.py measures."""

WHATS = (
  "forward",
  "step",
  "classifier",
  "memory",
  "compile",
  "startup",
  "scaling",
  "input",
  "train",
  "predict",
)
PEERS = ("plain", "torch")  # that it is compared with
