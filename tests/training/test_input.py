"""What the recipe says of the training images, and where they are kept."""

import dataclasses
import logging

import numpy as np
import pytest
from ml_collections import ConfigDict
from stored_data import StoredDataset

from fcn_jax import devices
from fcn_jax.data import augment, pipeline, sampling
from fcn_jax.devices import MemoryLimit
from fcn_jax.training import input

# 10 images of 100 x 200 pixels: 800,000 bytes.
SIZES = np.full((10, 2), (100, 200))
MEMORY = MemoryLimit(4_000_000, "memory of this machine", True)


@pytest.mark.parametrize(
  ("wanted", "room", "expected"),
  [
    ("auto", MEMORY, "host"),
    ("auto", dataclasses.replace(MEMORY, bytes=3_200_000), "host"),
    ("auto", dataclasses.replace(MEMORY, bytes=3_199_999), "none"),
    ("auto", None, "none"),
    ("none", MEMORY, "none"),
    ("host", None, "host"),
  ],
)
def test_images_are_kept_if_they_fill_a_quarter_of_the_memory_at_most(
  wanted, room, expected, caplog
):
  with caplog.at_level(logging.INFO, "fcn_jax"):
    assert input.choose(wanted, SIZES, room) == expected
  said = {"none": "not kept", "host": "the host's"}
  assert said[expected] in caplog.text


def test_another_place_is_refused():
  with pytest.raises(ValueError, match="'device': there is auto, none, host"):
    input.choose("device", SIZES, MEMORY)


def made_up(images: int = 9) -> StoredDataset:
  draw = np.random.default_rng(0)
  samples = []
  for _ in range(images):
    height, width = draw.integers(5, 14, 2)
    image = draw.integers(0, 256, (height, width, 3)).astype(np.uint8)
    label = draw.integers(0, 256, (height, width)).astype(np.uint8)
    samples.append(augment.Sample(image, label))
  return StoredDataset(samples, "abc")


def loader(**options) -> pipeline.Loader:
  return pipeline.Loader(
    dataset=made_up(),
    split="train",
    sampler=sampling.Sampler(9, 4, "shuffle", seed=3),
    canvases=((7, 14), (14, 14)),
    part_size=2,
    augmentations=("mirror", augment.random_crop(2)),
    num_threads=2,
    **options,
  )


def test_kept_on_the_host_each_image_is_decoded_once(monkeypatch):
  decoded = []
  read_sample = pipeline.read_sample

  def counted(source, index):
    decoded.append(index)
    return read_sample(source, index)

  monkeypatch.setattr(pipeline, "read_sample", counted)
  fresh, kept = loader(), loader(keep=True)
  for step in range(9):
    ours, theirs = kept.batch(step), fresh.batch(step)
    assert ours.indices == theirs.indices
    for a, b in zip(ours.parts, theirs.parts, strict=True):
      for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x, y)
  assert len(decoded) == 9 * 4 + 9


def recipe(**data) -> ConfigDict:
  fields = {
    "train_split": "train",
    "max_canvases": 2,
    "batching": "as_drawn",
    "order": "shuffle",
    "part_size": 2,
    "num_threads": 0,
    "mirror": False,
    "random_crop": 0,
  }
  config = {
    "seed": 5,
    "batch_size": 2,
    "accumulation_steps": 1,
    "data": fields | data,
    "augment": {"photometric": {"contrast": 0.0, "hue": 0.5}},
  }
  return ConfigDict(config).lock()


def names(config) -> list[str]:
  """The functions that the augmentations come from."""
  chosen = input.augmentations(config, made_up())
  return [one.apply.__qualname__.split(".")[0] for one in chosen]


def test_augmentations_of_a_recipe():
  assert names(recipe()) == []
  assert names(recipe(augment=("photometric",))) == ["photometric"]
  everything = recipe(mirror=True, random_crop=3, augment=("photometric",))
  assert names(everything) == ["mirror", "random_crop", "photometric"]


def test_a_recipe_of_before_there_were_augmentations():
  config = recipe(mirror=True).copy_and_resolve_references()
  with config.unlocked():
    del config.augment
  assert names(config) == ["mirror"]


def test_options_come_from_the_recipe(monkeypatch):
  """Contrast and hue as the recipe says; the others are the function's."""
  given = {}

  def noted(brightness=0.1, contrast=0.1, hue=0.1):
    given.update(brightness=brightness, contrast=contrast, hue=hue)
    return augment.Augmentation(lambda sample, rng: sample)

  monkeypatch.setitem(augment.AUGMENTATIONS, "photometric", noted)
  input.augmentations(recipe(augment=("photometric",)), made_up())
  assert given == {"brightness": 0.1, "contrast": 0.0, "hue": 0.5}


@pytest.mark.parametrize(
  ("name", "message"),
  [
    ("mirror", "set config.data.mirror instead"),
    ("random_crop", "set config.data.random_crop instead"),
    ("blurr", "'blurr': there is mirror, random_crop, random_scale"),
  ],
)
def test_names_that_a_recipe_cannot_have(name, message):
  with pytest.raises(ValueError, match=message):
    input.augmentations(recipe(augment=(name,)), made_up())


def test_canvases_hold_what_the_augmentations_make(monkeypatch):
  """Images stretched to twice their height; a new one needs no other edit."""

  def tall(times: int = 2) -> augment.Augmentation:
    def apply(sample, rng):
      return augment.Sample(*(np.repeat(x, times, 0) for x in sample))

    return augment.Augmentation(apply, lambda sizes: sizes * [times, 1])

  monkeypatch.setitem(augment.AUGMENTATIONS, "tall", tall)
  data, mesh = made_up(), devices.data_mesh()
  config = recipe(augment=("tall",), max_canvases=1)
  loader = input.make_loader(config, data, mesh)
  height, width = data.sizes("train").max(0).tolist()
  assert loader.canvases == ((2 * height, width),)
  drawn = loader.batch(0)
  (part,) = drawn.parts
  whole = data.sizes("train")[list(drawn.indices)] * [2, 1]
  np.testing.assert_array_equal(part.extent[:2], whole)
