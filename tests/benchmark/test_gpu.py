import json

import pytest

from fcn_jax.benchmark import gpu
from fcn_jax.files import DataError
from fcn_jax.training import recipe


@pytest.fixture
def measured(monkeypatch):
  """Three parts, the second of which fails; names as they are measured."""
  began = []

  def part(name):
    def run():
      began.append(name)
      if name == "two":
        raise OSError("no memory")
      row = {
        "what": name,
        "name": "x",
        "seconds": 0.25,
        "repeats_exactly": True,
      }
      return [row | {"losses": {5: 0.5}}]

    return run

  def parts(model, scale, folder):
    return {name: part(name) for name in ("one", "two", "three")}

  monkeypatch.setattr(gpu, "parts", parts)
  return began


def test_it_goes_on_where_it_stopped(measured, tmp_path, monkeypatch):
  clock = [0.0]
  monkeypatch.setattr(gpu.time, "monotonic", lambda: clock[0])
  run = gpu.parts("", None, tmp_path)
  slow = {name: _slow(part, clock) for name, part in run.items()}
  monkeypatch.setattr(gpu, "parts", lambda *_: slow)
  # Each takes 4 minutes, so that a third would end after 12.
  assert gpu.check("m", gpu.SMALL, tmp_path, 9) == (False, ["two"])
  assert measured == ["one", "two"]
  assert gpu.check("m", gpu.SMALL, tmp_path, 9) == (True, ["two"])
  assert measured == ["one", "two", "three"]
  assert gpu.check("m", gpu.SMALL, tmp_path, 9) == (True, ["two"])
  assert len(measured) == 3
  assert gpu.check("m", gpu.SMALL, tmp_path, 9, again=True) == (True, ["two"])
  assert measured[3:] == ["two"]
  found = json.loads((tmp_path / "gpu_check.json").read_text())["parts"]
  assert found["one"][0]["seconds"] == 0.25
  assert found["two"][0]["error_message"] == "no memory"
  lines = (tmp_path / "gpu_check.md").read_text().splitlines()
  assert "| x | seconds 0.25, repeats exactly yes, losses 5: 0.5 |" in lines
  assert "| failed | error message no memory |" in lines


def _slow(part, clock):
  def run():
    clock[0] += 240
    return part()

  return run


def test_figures_of_something_else_are_not_mixed(measured, tmp_path):
  gpu.check("m", gpu.SMALL, tmp_path, 9)
  with pytest.raises(DataError, match="name another --output"):
    gpu.check("other", gpu.SMALL, tmp_path, 9)
  (tmp_path / "gpu_check.json").write_text("[1]")
  with pytest.raises(DataError, match="no file of figures that fcn_jax"):
    gpu.check("m", gpu.SMALL, tmp_path, 9)


@pytest.mark.parametrize("scale", [gpu.SMALL, gpu.Scale()])
def test_its_trainings_have_a_recipe_that_can_be_used(scale, tmp_path):
  config = recipe.read_recipe(gpu.RECIPE)
  config.update_from_flattened_dict(gpu.fields(scale, tmp_path, 8))
  assert recipe.check(config).lr_policy == "fixed"


@pytest.mark.exhaustive
def test_parts_on_a_cpu(tmp_path):
  found = gpu.parts("fcn_alexnet", gpu.SMALL, tmp_path)
  assert len(found) == 1 + 2 * 3 * 3 + 3
  rows = {row["name"]: row for row in found["errors"]()}
  assert rows["scores, float32"]["error"] == 0
  assert 0 < rows["scores, bfloat16"]["error"] < 0.05
  (row,) = found["resumed run"]()
  assert row["repeats_exactly"]
  rows = {row["name"]: row for row in found["losses by precision"]()}
  assert rows["float32"]["losses"].keys() == {1, 2, 3, 4}
