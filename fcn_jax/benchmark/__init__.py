"""What scripts/benchmark.py measures."""

WHATS = ("forward", "step", "memory", "input", "train", "predict")
PEERS = ("plain", "torch")  # that it is compared with
