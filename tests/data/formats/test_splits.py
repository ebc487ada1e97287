import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_data import write

from fcn_jax.data.files import File, Pair
from fcn_jax.data.formats import Folder
from fcn_jax.data.formats.splits import chosen_of, divide, stem_in
from fcn_jax.files import DataError


def _pairs(count):
  file = File("x", "x")
  return [Pair(f"{i:03}", file, file) for i in range(count)]


@given(
  st.integers(2, 60),
  st.floats(1, 100, exclude_max=True),
  st.integers(0, 99),
)
def test_divide_parts_without_loss(count, percent, seed):
  pairs = _pairs(count)
  train, val = divide(pairs, percent, seed)
  assert train
  assert val
  assert sorted(train + val, key=lambda p: p.image_id) == pairs
  assert train == [pair for pair in pairs if pair in train]
  assert val == [pair for pair in pairs if pair in val]
  assert abs(len(val) - count * percent / 100) <= 1
  assert (train, val) == divide(pairs, percent, seed)


def test_divide_by_hand():
  pairs = _pairs(30)
  train, val = divide(pairs, 10.0, 0)
  assert (len(train), len(val)) == (27, 3)
  assert divide(pairs, 10.0, 1)[1] != val


def test_divide_refuses():
  for percent in (0.0, 100.0, -1.0, float("nan")):
    with pytest.raises(DataError, match="val_percent"):
      divide(_pairs(4), percent, 0)
  with pytest.raises(DataError, match=r"0\.25: did you mean 25\? Give 1"):
    divide(_pairs(4), 0.25, 0)
  with pytest.raises(DataError, match="1 pairs"):
    divide(_pairs(1), 10.0, 0)


def test_the_list_to_divide_is_train_or_the_only_one():
  pairs = _pairs(4)
  source = Folder(val_percent=25.0)
  for splits, expected in (
    ({"train": pairs}, {"train": 3, "val": 1}),
    ({"default": pairs}, {"train": 3, "val": 1}),
    ({"train": pairs, "test": pairs}, {"train": 3, "val": 1, "test": 4}),
  ):
    found = source.with_val(splits, "x")
    assert {split: len(group) for split, group in found.items()} == expected
  for splits, part in (
    ({"train": pairs, "val": pairs}, "has a list val"),
    ({"a": pairs, "b": pairs}, "no list train, and 2 others"),
  ):
    with pytest.raises(DataError, match=part):
      source.with_val(splits, "x")
  assert Folder().with_val({"a": pairs}, "x") == {"a": pairs}


def test_a_list_chooses_among_pairs(tmp_path):
  write(tmp_path, {"list.txt": "/data/002.jpg\n000\n000\nghost\n"})
  findings = []
  file = File("list.txt", str(tmp_path / "list.txt"))
  found = chosen_of(file, _pairs(3), findings)
  assert [pair.image_id for pair in found] == ["002", "000"]
  assert [(f.kind, f.value) for f in findings] == [
    ("id listed twice", "000"),
    ("listed file that is missing", "ghost: not found"),
  ]
  assert stem_in("x/a.b.png", {"a.b"}) == "a.b"
