"""fcn_jax.training.plan: choices by hand, and a recipe that can be used."""

import numpy as np
import pytest
from stored_data import StoredDataset

from fcn_jax import devices
from fcn_jax.data.augment import Sample
from fcn_jax.devices import MemoryLimit
from fcn_jax.training import memory, plan, recipe


def data(count: int, rare: bool) -> StoredDataset:
  """Images of 96 x 128; class 2 in one pixel of the first, if it is rare."""
  label = np.zeros((96, 128), np.uint8)
  label[:, 64:] = 1
  samples = []
  for i in range(count):
    one = label.copy()
    if rare and i == 0:
      one[0, 0] = 2
    samples.append(Sample(np.zeros((96, 128, 3), np.uint8), one))
  return StoredDataset(samples, ("ground", "thing", "dot"))


def need(canvas, part_size: int) -> memory.MemoryNeed:
  """100 bytes a pixel."""
  pixels = canvas[0] * canvas[1] * part_size
  return memory.MemoryNeed(canvas, part_size, 0, 0, 0, 0, 100 * pixels)


@pytest.fixture
def room(monkeypatch):
  """Sets the memory there is; what a step needs is 100 bytes a pixel."""
  monkeypatch.setattr(
    memory,
    "of_network",
    lambda layers, canvas, mesh, part_size: need(canvas, part_size),
  )

  def of(size: int):
    limit = MemoryLimit(size, "memory of a toy", False)
    monkeypatch.setattr(devices, "memory_limit", lambda: limit)

  return of


def used(text: str, tmp_path):
  path = tmp_path / "planned.py"
  path.write_text(text)
  return recipe.check(recipe.read_recipe(path))


def test_a_rare_class_and_room_for_two(room, tmp_path):
  """A half of the memory is what two images of 96 x 128 need."""
  room(2 * 2 * 100 * 96 * 128)
  text = plan.plan(data(20, rare=True))
  config = used(text, tmp_path)
  assert config.data.part_size == 2
  assert config.loss.class_weights == "median_frequency"
  assert config.data.repeat_threshold == 0.1
  assert config.data.augment == ("random_scale", "fixed_crop", "photometric")
  assert (
    config.augment.fixed_crop.height,
    config.augment.fixed_crop.width,
  ) == (
    96,
    128,
  )
  # 5 updates an epoch: more than 200 of them would be needed.
  assert config.duration == "200 epochs"
  assert "'dot' is in 5.0% of the images" in text
  assert "'dot' has 0.00% of the pixels" in text
  assert all(len(line) <= 80 for line in text.splitlines())


def test_no_rare_class_and_little_room(room, tmp_path):
  """1 MB: of 96 x 128 (1.23 MB) not one fits, of 64 x 64 two do."""
  room(1_250_000)
  config = used(plan.plan(data(4, rare=False)), tmp_path)
  assert config.augment.fixed_crop.height == 64
  assert config.augment.fixed_crop.width == 64
  assert config.data.part_size == 2
  assert config.loss.class_weights == "none"
  assert config.data.repeat_threshold == 0


def test_what_cannot_be_planned(room):
  room(1)
  with pytest.raises(ValueError, match="choose a smaller --network"):
    plan.plan(data(1, rare=False))
  with pytest.raises(ValueError, match="--network=fcn9s: there is alexnet"):
    plan.plan(data(1, rare=False), "fcn9s")
  with pytest.raises(ValueError, match="scores for an image, not for its"):
    plan.plan(data(1, rare=False), "alexnet")
