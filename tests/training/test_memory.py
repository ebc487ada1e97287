"""fcn_jax.training.memory: bytes counted by hand, and XLA's own figures."""

import functools
import logging
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from configs_there import load_config
from small_nets import randomise, split
from stored_data import StoredDataset

from fcn_jax import devices, models
from fcn_jax.data import augment, pipeline, sampling
from fcn_jax.devices import MemoryLimit
from fcn_jax.models import layers as d
from fcn_jax.models import losses
from fcn_jax.text import byte_size
from fcn_jax.training import memory, optimizers, step
from fcn_jax.training.memory import MemoryNeed

# 3 x 3 x 3 x 8 + 8 and 8 x 5 + 5 numbers: 224 and 45, of 4 bytes each; the
# fixed kernel has 4. The solver's history has a count besides.
NET = (
  d.Data("data", mean_bgr=(0.0, 0.0, 0.0)),
  d.Conv("conv1", features=8, kernel=3, pad=1),
  d.MaxPool("pool1", kernel=2, stride=2),
  d.Conv("score_fr", features=5, kernel=1, relu=False),
  d.Upscore("upscore", kernel=4, stride=2),
  d.Crop("score", like="data"),
)
LEARNED = 4 * (224 + 45)
IMAGE = 40 * 60 * 4 + 8 + 4  # RGB and label, extent, position

MIB = 2**20


def mesh():
  return devices.data_mesh()


@pytest.fixture(scope="module")
def one():
  return memory.of_network(NET, (40, 60), mesh())


def test_what_lies_there_by_hand(one):
  count = mesh().size
  assert one.parameters == count * (LEARNED + 16)
  assert one.history == count * (LEARNED + 4)
  assert one.gradients == 0
  assert one.batch == IMAGE
  assert one.checkpoint == 2 * LEARNED + 16 + 4
  assert one.total == sum(one.shares().values())


def test_what_xla_plans(one):
  """At least one float32 blob of conv1, and no more than thirty."""
  blob = 4 * 40 * 60 * 8
  assert blob < one.temporary < 30 * blob


def test_parts_add_up_gradients():
  found = memory.of_network(
    NET, (40, 60), mesh(), part_size=mesh().size, parts=3
  )
  assert found.gradients == mesh().size * LEARNED
  assert found.batch == 3 * IMAGE * mesh().size


def test_more_images_and_more_pixels_need_more():
  """Of a canvas that is more than one band of the loss."""
  one = memory.of_network(NET, (80, 60), mesh())
  two = memory.of_network(NET, (80, 60), mesh(), part_size=2 * mesh().size)
  large = memory.of_network(NET, (160, 60), mesh())
  for more in (two, large):
    assert 1.5 < more.temporary / one.temporary < 2.5
    assert more.parameters == one.parameters


def test_a_device_that_does_not_tell(monkeypatch):
  silent = types.SimpleNamespace(memory_analysis=lambda: None)
  monkeypatch.setattr(step.Stepper, "compile", lambda *_: [silent])
  assert memory.of_network(NET, (40, 60), mesh()) is None


def test_parts_by_hand():
  """20 images in threes are 7 parts; 2 at once may lie on two canvases."""
  assert memory.parts_of(20, 3, False) == 7
  assert memory.parts_of(2, 2, False) == 2
  assert memory.parts_of(2, 2, True) == 1


def test_the_table_by_hand():
  given = [need(), need(canvas=(500, 500), gradients=3 * MIB)]
  assert memory.table(given).splitlines() == [
    "memory of a train step             375x500  500x500",
    "parameters                         200 MiB  200 MiB",
    "momentum                           200 MiB  200 MiB",
    "sum of gradients                     0 KiB    3 MiB",
    "activations, gradients, workspace  100 MiB  100 MiB",
    "total                              500 MiB  503 MiB",
  ]


def need(**given) -> MemoryNeed:
  values = {
    "canvas": (375, 500),
    "part_size": 1,
    "parameters": 200 * MIB,
    "history": 200 * MIB,
    "gradients": 0,
    "batch": 0,
    "temporary": 100 * MIB,
  }
  return MemoryNeed(**(values | given))


DEVICE = MemoryLimit(1000 * MIB, "memory of the device (X)", shared=False)


def test_what_fits_is_not_warned_of():
  """900 of 1000 MiB fit, 901 may not."""
  assert memory.warning(need(temporary=500 * MIB), DEVICE) == ""
  tight = memory.warning(need(temporary=501 * MIB), DEVICE)
  assert tight.startswith("a train step may not fit")


def test_what_does_not_fit():
  config = load_config("voc_fcn_alexnet")
  text = memory.warning(
    need(part_size=4, gradients=200 * MIB, temporary=900 * MIB),
    DEVICE,
    config,
    [(375, 500), (300, 400)],
  )
  first, *remedies = text.splitlines()
  assert first == (
    "a train step will not fit: on the canvas 375x500, 4 at a time, it needs "
    "1.46 GiB, and there is 1000 MiB (memory of the device (X)). What helps:"
  )
  expected = (
    "at once, now 4: config.data.part_size",
    "bfloat16",
    "no sum of gradients (200 MiB)",
    "smaller images",
    "XLA_PYTHON_CLIENT_MEM_FRACTION",
  )
  assert len(remedies) == len(expected)
  for line, words in zip(remedies, expected, strict=True):
    assert words in line


def test_only_what_would_help_is_named():
  config = load_config("voc_fcn_alexnet")
  config.data.max_canvases = 1
  shared = MemoryLimit(400 * MIB, "memory of this machine", shared=True)
  text = memory.warning(
    need(canvas=(500, 500), checkpoint=400 * MIB),
    shared,
    config,
    [(375, 500), (500, 375)],
  )
  remedies = text.splitlines()[1:]
  expected = (
    "the largest image has 375x500; raise config.data.max_canvases (now 1)",
    "smaller images",
    "a narrower network",
  )
  assert len(remedies) == len(expected)
  for line, words in zip(remedies, expected, strict=True):
    assert words in line
  assert "800 MiB" in remedies[-1]


def test_sizes_in_words():
  assert byte_size(3 * 2**30 // 2) == "1.50 GiB"
  assert byte_size(382 * MIB) == "382 MiB"
  assert byte_size(2048) == "2 KiB"


def sample(height: int, width: int) -> augment.Sample:
  return augment.Sample(
    np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.uint8)
  )


@pytest.mark.parametrize(
  ("rate", "of", "warns", "compiles"),
  [
    (0.5, "need", True, True),
    (1.2, "need", False, True),
    (1.2, "most", False, False),
  ],
)
def test_a_run_is_warned_before_it_begins(
  rate, of, warns, compiles, monkeypatch, caplog
):
  """And what was compiled to ask is what the first step runs."""
  monkeypatch.setattr(memory, "PROCESS", 0)
  sizes = {
    "need": memory.of_network(NET, (40, 60), mesh(), part_size=mesh().size),
    "most": memory.at_most(NET, (40, 60), 1, mesh().size),
  }
  limit = int(rate * getattr(sizes[of], "total", sizes[of]))
  monkeypatch.setattr(
    devices,
    "memory_limit",
    lambda: MemoryLimit(limit, "memory of a toy", False),
  )
  graphdef, params, frozen = split(randomise(NET, 0))
  rate = optimizers.fixed(1e-3, total=1, steps=int)
  solver = functools.partial(
    optimizers.caffe_sgd,
    multipliers=optimizers.multipliers(NET, params),
    images=1,
  )
  training = step.Training(
    graphdef, solver, rate, losses.cross_entropy(), jax.random.key(0)
  )
  stepper = step.Stepper(training, mesh(), one_part=True)
  state = devices.replicate(
    step.TrainState(
      jnp.zeros((), jnp.int32), params, frozen, solver(rate).init(params)
    ),
    mesh(),
  )
  loader = pipeline.Loader(
    dataset=StoredDataset([sample(40, 60)], ("a", "b", "c", "d", "e")),
    split="train",
    sampler=sampling.Sampler(1, 1, "sequential", 0),
    canvases=((30, 30), (40, 60)),
    part_size=mesh().size,
  )
  config = load_config("voc_fcn_alexnet")
  with caplog.at_level(logging.WARNING, logger="fcn_jax"):
    memory.warn_before_training(stepper, state, mesh(), loader, config, NET)
  said = [
    r.message for r in caplog.records if r.name == "fcn_jax.training.memory"
  ]
  assert len(said) == warns
  if warns:
    assert "will not fit: on the canvas 40x60" in said[0]
    assert f"{byte_size(limit)} (memory of a toy)" in said[0]
  with jax.log_compiles(), caplog.at_level("WARNING"):
    caplog.clear()
    stepper(state, loader.batch(0))
  assert ("Compiling jit(train_step)" in caplog.text) == (not compiles)


@pytest.mark.parametrize(
  "name",
  [
    pytest.param(
      name, marks=[pytest.mark.exhaustive] * (name != "fcn8s_atonce")
    )
    for name, network in models.NETWORKS.items()
    if network.classifier  # classifiers have no canvas
  ],
)
def test_a_step_takes_no_more_than_sizes_say(name):
  """FCN-8s takes the most beside its blobs."""
  layers, images = models.declare(name, 21, width=0.1), 2 * mesh().size
  need = memory.of_network(layers, (60, 80), mesh(), part_size=images)
  most = memory.at_most(layers, (60, 80), images, mesh().size)
  assert need.total < most < 6 * need.total


@pytest.mark.parametrize(
  ("fields", "bytes_there", "problem"),
  [
    # 269 parameters of 12 bytes.
    ({}, 3227, "fcn_alexnet (model.width = 2.0): 269 parameters, "),
    ({}, 3228, None),
    # 6 images of 40 x 60 pixels of 4 bytes are 57,600.
    (
      {"batch_size": 2, "accumulation_steps": 3},
      57_599,
      "batch_size = 2, accumulation_steps = 3: the 6 images of an update fill ",
    ),
    ({"batch_size": 2, "accumulation_steps": 3}, 57_600, None),
  ],
)
def test_what_cannot_fit_at_all_is_refused(
  monkeypatch, fields, bytes_there, problem
):
  limit = MemoryLimit(bytes_there, "memory of this machine", True)
  monkeypatch.setattr(devices, "memory_limit", lambda: limit)
  monkeypatch.setattr(devices, "host_memory", lambda: limit)
  config = load_config("voc_fcn_alexnet_digits")
  config.model.width = 2.0
  config.batch_size = config.accumulation_steps = 1
  config.update(fields)
  canvases = [(40, 60), (30, 30)] if fields else [(1, 1)]
  if problem is None:
    memory.check_fits(NET, config, canvases)
  else:
    with pytest.raises(ValueError, match="; the memory of this mach") as error:
      memory.check_fits(NET, config, canvases)
    assert str(error.value).startswith(problem)
