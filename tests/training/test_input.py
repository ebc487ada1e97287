"""Where images are kept changes no batch."""

import dataclasses
import logging

import numpy as np
import pytest
from stored_data import StoredDataset

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
    mirror=True,
    random_crop=2,
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
