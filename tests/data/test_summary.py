import numpy as np

from fcn_jax.data.builder import Pair
from fcn_jax.data.checks import Facts
from fcn_jax.data.files import File
from fcn_jax.data.summary import summarize


def facts(size, *counts):
  """Facts with the given pixels of classes 0, 1, ... and, last, of void."""
  table = np.zeros(256, np.int64)
  table[: len(counts) - 1] = counts[:-1]
  table[255] = counts[-1]
  cells = np.zeros((8, 9), np.float32)
  return Facts(size, table, None, b"", cells)


def test_table_by_hand():
  a, b, c = (Pair(i, File(i, i), File(i, i)) for i in "abc")
  known = {
    a: facts((4, 5), 15, 0, 5),
    b: facts((2, 10), 10, 5, 0, 5),
    c: facts((4, 5), 20, 0, 0),
  }
  known[a].counts[1] = 0
  text = summarize({"train": [a, b], "val": [c]}, known, ("sky", "car"))
  lines = text.splitlines()
  sizes = "train 2 2 different, 5x2 to 10x4, most often 5x4 (1)"
  assert lines[1].split() == sizes.split()
  assert lines[2].split() == ["val", "1", "5x4"]
  rows = {line.split()[0]: line.split() for line in lines if line.strip()}
  # train: 25 of 30 labelled pixels are sky, 5 car (one image); 10 of 40 void.
  assert rows["0"] == (["0", "sky", "25", "83.33%", "2", "20", "100.00%", "1"])
  assert rows["1"] == ["1", "car", "5", "16.67%", "1", "0", "0.00%", "0"]
  assert rows["255"] == (
    ["255", "(void)", "10", "25.00%", "2", "0", "0.00%", "0"]
  )
  assert lines[-1] == "val: car"
