import numpy as np
from small_data import row

from fcn_jax.data.description import describe, sizes
from fcn_jax.data.statistics import SplitStatistics


def test_text_by_hand():
  split = SplitStatistics(
    ("sky", "car", "bird"),
    ("a", "b"),
    np.array([[4, 5], [2, 10]]),
    np.stack([row(15, 0, 0, 5), row(10, 5, 0, 5)]),
  )
  lines = describe({"train": split}).splitlines()
  assert lines[0] == (
    "train: 2 images, 2 sizes from 5x2 to 10x4, most often 5x4 (1)"
  )
  cells = {line.split()[1]: line.split() for line in lines[2:6]}
  # sky: 25/30 of the pixels of both; car: 5/15; the median lies between.
  assert cells["sky"] == ["0", "sky", "25", "83.33%", "2", "100.00%", "0.700"]
  assert cells["car"] == ["1", "car", "5", "16.67%", "1", "50.00%", "1.750"]
  assert cells["bird"] == ["2", "bird", "0", "0.00%", "0", "0.00%", "-"]
  assert cells["(void)"] == (
    ["255", "(void)", "10", "25.00%", "2", "100.00%", "-"]
  )
  assert lines[-2].split() == ["1", "50.00%", "10x4", "(2)"]
  assert lines[-1].split() == ["2", "0.00%", "10x2", "(1),", "5x4", "(1)"]


def test_one_size_and_none():
  counts = np.stack([row(6, 0)] * 2)
  one = SplitStatistics(("a",), ("x", "y"), np.array([[2, 3]] * 2), counts)
  assert sizes(one) == "all of 3x2"
  none = SplitStatistics(
    ("a",), (), np.zeros((0, 2), np.int64), np.zeros((0, 256), np.int64)
  )
  assert sizes(none) == "no size"
  assert describe({"val": none}).startswith("val: 0 images, no size")
