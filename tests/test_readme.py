"""README.md: what it adds to the tables works from end to end.

Its blocks of code are run as they stand; then a network, a layer, a loss, an
augmentation, a schedule, an optimizer, a metric, a data format and a page that
the package does not know are used with no other edit.
"""

import json
import re

import numpy as np
import pytest
from places import ROOT
from small_data import label, photo, write

import fcn_jax
from fcn_jax import models
from fcn_jax.data import augment, formats
from fcn_jax.data.prepare import Output
from fcn_jax.evaluation import metrics
from fcn_jax.models import layers as declared
from fcn_jax.models import losses
from fcn_jax.reports import page
from fcn_jax.runs.comparison import compare
from fcn_jax.runs.record import read_metrics
from fcn_jax.training import optimizers, recipe
from fcn_jax.weights import readers

README = (ROOT / "README.md").read_text()


def blocks(heading: str) -> list[str]:
  """The Python of one section."""
  section = README.split(f"\n## {heading}\n")[1].split("\n## ")[0]
  return re.findall(r"```python\n(.*?)```", section, re.S)


@pytest.fixture(scope="module")
def added():
  """What the section adds, and its last block still to be run."""
  with pytest.MonkeyPatch.context() as patch:
    for module, table in (
      (models, "NETWORKS"),
      (losses, "LOSSES"),
      (augment, "AUGMENTATIONS"),
      (optimizers, "SCHEDULES"),
      (optimizers, "OPTIMIZERS"),
      (metrics, "METRICS"),
      (formats, "FORMATS"),
      (readers, "READERS"),
    ):
      # The tables are known to other modules by name: changed in place.
      kept = dict(getattr(module, table))
      for name in kept:
        patch.setitem(getattr(module, table), name, kept[name])
    patch.setattr(page, "TEMPLATES", [*page.TEMPLATES])
    tables = [
      (models.NETWORKS, "tiny"),
      (losses.LOSSES, "brier"),
      (augment.AUGMENTATIONS, "invert"),
      (optimizers.SCHEDULES, "triangle"),
      (optimizers.OPTIMIZERS, "lion"),
      (metrics.METRICS, "worst_iu"),
      (formats.FORMATS, "together"),
      (readers.READERS, "json"),
    ]
    space = {"fcn_jax": fcn_jax}
    for block in blocks("Add your own"):
      exec(block, space)
    yield space
    for table, name in tables:
      assert table.pop(name)


@pytest.fixture(scope="module")
def data_dir(added, tmp_path_factory):
  """Ten images in the format that the README adds."""
  root = tmp_path_factory.mktemp("readme")
  files = {"classes.txt": "ground\nthing\nwater\n"}
  for i in range(10):
    files[f"images/{i}.jpg"] = photo(i, 20 + i, 24)
    files[f"labels/{i}.png"] = label(0, 1, 2, 255, height=20 + i, width=24)
  write(root, files)
  source = formats.FORMATS["together"](
    root=str(root), class_names=str(root / "classes.txt")
  )
  output = Output(name="ten", data_dir=str(root / "data"))
  fcn_jax.prepare_dataset(source, output, say=lambda line: None)
  return root / "data"


@pytest.fixture(scope="module")
def workdirs(added, data_dir, tmp_path_factory):
  """Two runs by the recipe of the README's last block."""
  config = added["config"]
  assert config.model.features == 8
  assert (config.lr_floor, config.b2, config.loss.power) == (0, 0.99, 2)
  assert config.augment.invert.probability == 0.5
  config.init.source = "random"
  config.data.name = "ten"
  config.data.data_dir = str(data_dir)
  config.batch_size = 2
  config.duration = "4 steps"
  config.validate_every = config.checkpoint_every = "2 steps"
  root = tmp_path_factory.mktemp("runs")
  found = []
  for seed in (0, 1):
    config.seed = seed
    found.append(root / str(seed))
    fcn_jax.train_and_evaluate(config, str(found[-1]))
  return found


def test_the_split_is_that_of_the_format(data_dir):
  dataset = fcn_jax.load_dataset("ten", str(data_dir))
  assert dataset.splits == {"train": 8, "val": 2}


def test_the_run_learns_by_all_of_it(workdirs):
  records = read_metrics(workdirs[0])
  rates = [r["lr"] for r in records if r["kind"] == "train"]
  assert rates[-1] == pytest.approx(0.5e-4)  # the last of 0, 1/2, 1, 1/2
  scores = [r["worst_iu"] for r in records if r["kind"] == "val"]
  assert len(scores) == 3
  # The loss that is shown is the Brier score: 2/3 for three equal shares.
  first = next(r for r in records if r["kind"] == "val")
  assert first["loss"] == pytest.approx(2 / 3, abs=0.05)
  assert "worst IoU" in (workdirs[0] / "report.html").read_text().replace(
    "Worst", "worst"
  )


def test_the_metric_is_in_tables_intervals_and_comparisons(workdirs, data_dir):
  net = fcn_jax.load(workdirs[0])
  dataset = fcn_jax.load_dataset("ten", str(data_dir))
  evaluation = fcn_jax.evaluate(net.network, dataset, "val")
  ious = list(evaluation.figures()["per_class_iu"].values())
  assert evaluation.figures()["worst_iu"] == pytest.approx(min(ious))
  assert "worst IoU" in evaluation.table(evaluation.intervals(10))
  compared = compare(workdirs, recipe.complete)
  assert "worst_iu" in str(compared) or "worst IoU" in compared.text()


def test_predictions_and_the_page(added, workdirs, tmp_path):
  net = fcn_jax.load(workdirs[0])
  result = net(np.full((21, 30, 3), 90, np.uint8))
  assert sum(result.shares.values()) == pytest.approx(1)
  path = added["write_shares"](tmp_path / "shares.html", result, tmp_path)
  assert "Share of the pixels" in path.read_text()
  assert "water" in path.read_text()


def test_weights_are_read_from_the_format_that_is_added(added, tmp_path):
  """Every kernel 0 and every bias 1: fc7 is 1, and the proof holds."""
  layers = models.declare("alexnet", 3, width=0.02)
  tensors = {
    name: {
      "weight": np.zeros(
        np.take(arrays["kernel"].shape, [3, 2, 0, 1])
      ).tolist(),
      "bias": np.ones(arrays["bias"].shape).tolist(),
    }
    for name, arrays in declared.weights(layers).items()
  }
  (tmp_path / "net.json").write_text(json.dumps(tensors))
  receipt = fcn_jax.convert(
    tmp_path / "net.json",
    tmp_path / "converted",
    "fcn_alexnet",
    class_names=("a", "b"),
    palette=[[i, i, i] for i in range(256)],
    given={"width": 0.02},
  )
  assert "proof   holds" in str(receipt)
  assert fcn_jax.load(tmp_path / "converted").network.fc7.bias[0] == 1


def test_it_is_short_and_its_links_lead_somewhere():
  assert len(README.splitlines()) < 200
  for link in re.findall(r"\]\(([^)#]+)", README):
    assert link.startswith("http") or (ROOT / link).exists(), link
