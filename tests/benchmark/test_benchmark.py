"""fcn_jax.benchmark and scripts/benchmark.py."""

import dataclasses
import json

import jax
import numpy as np
import pytest
import run_scripts
import small_nets

from fcn_jax import models
from fcn_jax.benchmark import (
  compute,
  files,
  memory,
  peer,
  rows,
  scaling,
  startup,
)
from fcn_jax.benchmark.machine import Timing, measured, take_turns
from fcn_jax.data.canvases import assign

SCRIPT = "scripts/benchmark.py"


class FakePeer(peer.TorchPeer):
  """PyTorch in a form: it takes so long, or (None) does not start."""

  def __init__(self, seconds):
    self.seconds, self.is_closed = seconds, False

  def wait(self):
    if self.seconds is None:
      raise OSError("ended")

  def __call__(self):
    return self.seconds

  def close(self):
    self.is_closed = True


@pytest.mark.parametrize(
  ("on_gpu", "seconds", "fastest"),
  [
    (False, {"eager": 2, "compiled": 1, "by hand": 3}, "compiled"),
    (False, {"eager": 2, "compiled": None, "by hand": 3}, "eager"),
    (True, {"by hand": 2, peer.GRAPHS: 1}, peer.GRAPHS),
    (True, {"by hand": 2, peer.GRAPHS: None}, "by hand"),
  ],
)
def test_the_peer_is_the_fastest_form_that_works(on_gpu, seconds, fastest):
  made = {form: FakePeer(each) for form, each in seconds.items()}
  name, chosen = peer.fastest_torch(made.__getitem__, on_gpu)
  assert name == f"torch, {fastest}"
  assert chosen is made[fastest]
  closed = [form for form, each in made.items() if each.is_closed]
  works = [form for form, each in seconds.items() if each]
  assert sorted([*closed, fastest]) == sorted(works)


def test_a_peer_that_does_not_start_is_no_peer():
  with pytest.raises(OSError, match="ended"):
    peer.fastest_torch(lambda form: FakePeer(None))


def test_works_take_turns_and_may_have_clocks_of_their_own():
  order = []

  def clocked() -> float:
    order.append("a")
    return float(len(order))

  found = take_turns(
    {"a": clocked, "b": lambda: order.append("b")}, repeats=3, warm_up=1
  )
  assert order == list("ab" + "ababab")
  assert found["a"].seconds == (3, 5, 7)
  assert (found["a"].median, found["a"].least, found["a"].most) == (5, 3, 7)
  assert len(found["b"].seconds) == 3


def test_the_floor_by_hand():
  """2048 ** 3 products in 2 s; 2 ** 28 bytes read and written in 1 s."""
  side = 2048 if jax.default_backend() == "cpu" else 4 * 2048
  found = measured(
    {
      "matrix product": Timing((1.0, 2.0, 9.0)),
      "copy": Timing((1.0,)),
    }
  )
  assert found.flops == side**3
  assert found.bytes == 2**29
  assert found.seconds(2 * side**3) == 2
  assert found.seconds(1, 2**31) == 4


def test_made_up_batches():
  given = compute.batch(40, 50, 2)
  assert (given.label == 255).mean() == pytest.approx(0.1, abs=0.02)
  assert given.extent.tolist() == [[40, 50]] * 2
  assert given.image.std() > 60


def test_memory_of_a_process_grows_with_it():
  before = memory.of_process()
  held = np.ones(2**26, np.uint8)
  assert memory.of_process() >= before
  assert memory.of_process() > held.nbytes


COUNTS = [[30, 40, 3], [40, 30, 1]]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
  folder = tmp_path_factory.mktemp("voc_like")
  files.write(folder, COUNTS, 8)
  return folder, files.prepare(folder)


def test_sizes_are_drawn_by_their_shares():
  sizes = files.draw_sizes(COUNTS, 8)
  assert sorted(sizes) == [(30, 40)] * 6 + [(40, 30)] * 2
  path = run_scripts.ROOT / "scripts/voc2012_sizes.json"
  counts = json.loads(path.read_text())
  assert sum(row[2] for row in counts) == 1464
  assert len(set(files.draw_sizes(counts, 1464))) == len(counts) == 244
  assert max(max(row[:2]) for row in counts) == 500


def test_the_plain_loop_does_the_same_work(made):
  """What the pipeline reads is what the plain loop reads, to the bit."""
  folder, data = made
  reading = files.loader(data, threads=0)
  which = assign(data.sizes("train"), reading.canvases)
  for i, stem in enumerate(data.ids("train")):
    [part] = reading.batch(i).parts
    canvas = reading.canvases[which[i]]
    image, label = files.read_plainly(folder, stem, canvas)
    np.testing.assert_array_equal(part.image[0], image)
    np.testing.assert_array_equal(part.label[0], label)
    assert {0, 255} < set(np.unique(label))


def test_whole_work_is_timed_and_its_programs_counted(made, monkeypatch):
  folder, data = made
  net = models.build(small_nets.short(21))
  monkeypatch.setattr(compute, "network", lambda *_: net)
  timings = files.measure_input(folder, data, 2)
  assert {len(timing.seconds) for timing in timings.values()} == {2}
  timings, programs, canvases = files.measure_epoch(data, "m", "float32", 1)
  assert set(timings) == {"from files", "from memory"}
  assert programs == len(canvases) == 2
  timings, programs = files.measure_predict(folder, "fcn_alexnet", "p", 1)
  assert set(timings) == {"masks written", "alone"}
  assert programs == 1  # both sizes lie on 64 x 64


def test_the_script_on_a_small_image(tmp_path):
  path = tmp_path / "rows.json"
  done = run_scripts.run(
    SCRIPT,
    "--what=forward",
    "--size=30x40",
    "--width=0.1",
    "--repeats=7",
    f"--json={path}",
  )
  assert done.returncode == 0, done.stderr
  found = json.loads(path.read_text())
  rows = {row["name"]: row for row in found["rows"]}
  assert set(rows) == {"matrix product", "copy", "fcn_jax", "plain", "floor"}
  ours, plain = rows["fcn_jax"], rows["plain"]
  assert ours["least"] <= ours["seconds"] <= ours["most"]
  assert ours["ours_is_faster_by"] == 1
  assert plain["ours_is_faster_by"] == plain["seconds"] / ours["seconds"]
  assert ours["images_per_second"] == pytest.approx(1 / ours["seconds"])
  least = rows["floor"]["seconds"]
  assert ours["share_of_floor"] == pytest.approx(least / ours["seconds"])
  assert found["environment"]["size"] == "30x40"
  assert "of the floor" in done.stdout


def test_mistakes_get_one_sentence():
  strange, peer, size = run_scripts.exits(
    SCRIPT, ["--what=speed"], ["--peers=caffe"], ["--size=375"]
  )
  assert "--what=speed: there is" in strange
  assert "--peers=caffe: there is" in peer
  assert "--size=375: write it as 375x500" in size


def test_classifiers_and_other_widths():
  setting = rows.Setting(width=0.02, size=(30, 40)).of_classifier()
  assert (setting.model, setting.sides, setting.batch) == (
    "alexnet",
    "227x227",
    16,
  )
  given = dataclasses.replace(setting, batch=2, width=0.02).part()
  assert given.label.shape == (2, 1, 1)
  assert given.image.shape == (2, 227, 227, 3)
  with pytest.raises(ValueError, match="of width 1"):
    rows.Setting(width=0.25).torch("step")


def test_compiling_is_timed_without_the_cache():
  setting = rows.Setting(width=0.02, size=(30, 40))
  found = startup.measure_compiling(setting)
  assert [row["name"] for row in found] == [
    "forward, traced",
    "forward, compiled",
    "step, traced",
    "step, compiled",
  ]
  assert all(row["seconds"] > 0 for row in found)
  assert jax.config.jax_enable_compilation_cache


def test_scaling_is_told_by_operation(monkeypatch):
  """Work that takes a second an image, and two for a batch."""
  monkeypatch.setattr(scaling, "_BATCHES", (1, 8))

  def take(net, given):
    return lambda: 2.0 if len(given.image) > 1 else 1.0

  for work in ("forward", "step"):
    monkeypatch.setattr(compute, work, take)
  setting = rows.Setting(width=0.02, size=(30, 40))
  found = {row["name"]: row for row in scaling.measure(setting)}
  assert found["step, batch 1"]["times_best"] == pytest.approx(4)
  assert found["step, batch 8"]["times_best"] == 1
  assert found["forward, batch 8"]["images_per_second"] == 4
  small, large = (
    found["step, 250 x 250 pixels"],
    found["step, 2000 x 2000 pixels"],
  )
  # The same second, for the more operations.
  assert small["times_best"] > 30
  assert large["times_best"] == 1
  assert found["step, 150 classes"]["times_best"] == 1
  assert len(found) == 2 * (2 + 4 + 3)
