import dataclasses

import pytest
from small_data import write

from fcn_jax.data.drawn import Drawn
from fcn_jax.data.files import File, Pair
from fcn_jax.data.formats import FORMATS
from fcn_jax.data.formats.objects import labelled, names_of
from fcn_jax.files import DataError


def source(**flags):
  return FORMATS["coco"](**flags)


def pair():
  file = File("a", "a")
  return Pair("a", file, Drawn("a", "a"))


def test_names_come_from_flags_or_from_the_files(tmp_path):
  write(tmp_path, {"n.txt": "car\n", "m.txt": "SUV -> car\nx -> void\n"})
  names, mapped = str(tmp_path / "n.txt"), str(tmp_path / "m.txt")
  assert names_of(source(), ["dog"]) == ("background", "dog")
  assert names_of(source(class_names=names), ["dog"]) == ("car",)
  assert names_of(source(label_map=mapped), ["dog"]) == ("background", "car")


def test_labels_know_what_names_stand_for(tmp_path):
  write(tmp_path, {"m.txt": "SUV -> car\nx -> void\n"})
  splits = {"train": [pair()]}
  found = labelled(source(), splits, ("background", "car"), {"none": 255})
  label = found["train"][0].label
  assert label.labels == {"none": 255, "background": 0, "car": 1}
  assert label.rest == 0
  mapped = source(label_map=str(tmp_path / "m.txt"))
  label = labelled(mapped, splits, ("car", "sky"))["train"][0].label
  assert label.labels == {"SUV": 0, "x": 255}
  assert label.rest == 255  # no class is called background
  with pytest.raises(DataError, match="'car' is no class"):
    labelled(mapped, splits, ("sky",))


def test_the_pairs_stay_as_they_were():
  before = pair()
  after = labelled(source(), {"train": [before]}, ("a",))["train"][0]
  assert dataclasses.replace(after, label=before.label) == before
  assert before.label.labels == {}
