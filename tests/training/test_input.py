"""Where images are kept changes no batch."""

import dataclasses
import logging

import jax
import numpy as np
import pytest
from stored_data import StoredDataset

from fcn_jax import devices
from fcn_jax.data import augment, pipeline, sampling
from fcn_jax.devices import MemoryLimit
from fcn_jax.training import input

# 10 images of 100 x 200 pixels: 800,000 bytes.
SIZES = np.full((10, 2), (100, 200))
GPU = MemoryLimit(4_000_000, "memory of the device", False)
CPU = MemoryLimit(4_000_000, "memory of the machine", True)


@pytest.mark.parametrize(
  ("wanted", "room", "expected"),
  [
    ("auto", GPU, "device"),
    ("auto", CPU, "host"),
    ("auto", dataclasses.replace(GPU, bytes=3_199_999), "none"),
    ("auto", dataclasses.replace(GPU, bytes=3_200_000), "device"),
    ("auto", None, "none"),
    ("none", GPU, "none"),
    ("host", GPU, "host"),
    ("device", CPU, "device"),
  ],
)
def test_the_place_is_chosen_by_a_quarter_of_the_memory(
  wanted, room, expected, caplog
):
  with caplog.at_level(logging.INFO, "fcn_jax"):
    assert input.choose(wanted, SIZES, room) == expected
  said = {"none": "not kept", "host": "the host's", "device": "each device's"}
  assert said[expected] in caplog.text


def test_more_pixels_than_int32_counts_are_not_for_a_device():
  many = np.full((2**16, 2), (256, 256))  # 2^32 pixels
  with pytest.raises(ValueError, match="4294967296 pixels are more than"):
    input.choose("device", many, GPU)
  room = MemoryLimit(2**40, "", False)
  assert input.choose("auto", many, room) == "host"


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
    mirror=True,
    random_crop=2,
    num_threads=2,
    **options,
  )


def assert_same(ours: pipeline.Batch, theirs: pipeline.Batch) -> None:
  assert ours.indices == theirs.indices
  for a, b in zip(ours.parts, theirs.parts, strict=True):
    for x, y in zip(a, b, strict=True):
      np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("part_size", [1, 3])
def test_on_the_device_batches_are_those_of_the_loader(part_size):
  reading = loader(part_size=part_size)
  mesh = devices.data_mesh()
  reading = dataclasses.replace(
    reading, part_size=devices.divisible(part_size, mesh)
  )
  held = input.OnDevice(reading, mesh)
  steps = list(held.steps(2, 9))
  assert len(steps) == 7
  for step, drawn in zip(range(2, 9), steps, strict=True):
    assert_same(drawn, reading.batch(step))
    assert all(isinstance(x, jax.Array) for p in drawn.parts for x in p)


def test_kept_on_the_host_each_image_is_decoded_once(monkeypatch):
  decoded = []
  read_sample = pipeline.read_sample

  def counted(source, index):
    decoded.append(index)
    return read_sample(source, index)

  monkeypatch.setattr(pipeline, "read_sample", counted)
  fresh, kept = loader(part_size=2), loader(part_size=2, keep=True)
  for step in range(9):
    assert_same(kept.batch(step), fresh.batch(step))
  assert len(decoded) == 9 * 4 + 9
