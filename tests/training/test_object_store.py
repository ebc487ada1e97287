"""A run whose workdir is in an object store.

Of the store only the plain files: Orbax writes with drivers of its own, so a
checkpoint is a file here that says what it is of.
"""

import json

import object_store
import processes
import pytest
from small_data import folder_files, prepared

from fcn_jax import files, models
from fcn_jax.data import dataset
from fcn_jax.runs.record import read_metrics, read_sessions
from fcn_jax.runs.run import read_run
from fcn_jax.training import loop
from fcn_jax.weights import checkpoints

WORKDIR = "s3://bucket/runs/one"


@pytest.fixture
def store(monkeypatch):
  def write(path, parts, card):
    path.mkdir()
    (path / "card").write_text(json.dumps(card))

  monkeypatch.setattr(checkpoints, "_write", write)
  monkeypatch.setitem(
    models.NETWORKS, "soon", models.Registered(processes.declare)
  )
  with object_store.store() as objects:
    yield objects


def test_a_run_leaves_its_plain_files_there(store, tmp_path):
  data_dir = prepared(tmp_path, folder_files(), name="tiny")
  config = processes.recipe(data_dir, duration=2)
  config.data.mirror, config.data.random_crop = False, 0
  config.report = True
  outcome = loop.train_and_evaluate(config, WORKDIR)
  latest = checkpoints.find_step(WORKDIR, "latest")
  kept = {latest, checkpoints.find_step(WORKDIR)}
  assert latest == 2
  assert sorted(store) == [
    f"/bucket/runs/one/{name}"
    for name in (
      *(f"checkpoints/{step}/card" for step in sorted(kept)),
      "checkpoints/scores.json",
      "config.json",
      "metrics.jsonl",
      "receipt.txt",
      "sessions.jsonl",
    )
  ]
  steps = [(r["step"], r["kind"]) for r in read_metrics(WORKDIR)]
  assert steps == [(0, "val"), (1, "train"), (2, "train"), (2, "val")]
  (session,) = read_sessions(WORKDIR)
  assert (session.outcome, session.last_step) == ("finished", 2)
  run = read_run(WORKDIR)
  assert str(run.workdir) == WORKDIR
  assert run.config["base_lr"] == config.base_lr
  assert run.recorded > 1.7e9
  score = checkpoints.mean_iu(files.path(WORKDIR), 2)
  assert score == outcome.evaluation.scores["mean_iu"]
  config.base_lr = 1.0
  with pytest.raises(ValueError, match=f"{WORKDIR} belongs to a run with"):
    loop.train_and_evaluate(config, WORKDIR)


def test_a_data_set_is_looked_for_there(store):
  place = "s3://bucket/sets"
  for name in ("b", "a"):
    folder = files.path(place) / name / dataset.VERSION
    (folder / "dataset_info.json").write_text("{}")
  assert dataset.available_datasets(place) == ["a", "b"]
  with pytest.raises(files.DataError, match=f"'c' in {place} .there: a, b"):
    dataset.load_dataset("c", place)
