"""fcn_jax.benchmark and scripts/benchmark.py."""

import json

import jax
import numpy as np
import pytest
import run_scripts

from fcn_jax.benchmark import compute, floor, memory, turns

SCRIPT = "scripts/benchmark.py"


def test_works_take_turns_and_may_have_clocks_of_their_own():
  order = []

  def clocked() -> float:
    order.append("a")
    return float(len(order))

  found = turns.take_turns(
    {"a": clocked, "b": lambda: order.append("b")}, repeats=3, warm_up=1
  )
  assert order == list("ab" + "ababab")
  assert found["a"].seconds == (3, 5, 7)
  assert (found["a"].median, found["a"].least, found["a"].most) == (5, 3, 7)
  assert len(found["b"].seconds) == 3


def test_the_floor_by_hand():
  """2048 ** 3 products in 2 s; 2 ** 28 bytes read and written in 1 s."""
  side = 2048 if jax.default_backend() == "cpu" else 4 * 2048
  found = floor.measured(
    {
      "matrix product": turns.Timing((1.0, 2.0, 9.0)),
      "copy": turns.Timing((1.0,)),
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


def test_the_script_on_a_small_image(tmp_path):
  path = tmp_path / "rows.json"
  done = run_scripts.run(
    SCRIPT, "--what=forward", "--size=30x40", "--repeats=7", f"--json={path}"
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
