"""fcn_jax.writers: figures are written once, whatever happens to the run."""

import json
import math

from tensorboardX.proto import event_pb2
from tensorboardX.record_writer import masked_crc32c

from fcn_jax.runs import record as record_lib


def lines(folder) -> list[dict]:
  text = (folder / record_lib.FILE).read_text()
  return [json.loads(line) for line in text.splitlines()]


def scalars(folder) -> dict[tuple[str, int], float]:
  """(tag, step) to value, of all event files."""
  found = {}
  for path in sorted((folder / "tensorboard").iterdir()):
    data = path.read_bytes()
    while data:
      length = int.from_bytes(data[:8], "little")
      assert masked_crc32c(data[:8]) == int.from_bytes(data[8:12], "little")
      event = event_pb2.Event.FromString(data[12 : 12 + length])
      for value in event.summary.value:
        found[value.tag, event.step] = value.simple_value
      data = data[16 + length :]
  return found


def test_records_go_to_the_lines_and_to_tensorboard(tmp_path):
  with record_lib.Writer(tmp_path, 0) as writer:
    writer.write(2, "train", {"loss": 0.5, "lr": 0.25})
    figures = {"mean_iu": 0.125, "per_class_iu": {"cat": 0.75, "dog": math.nan}}
    writer.write(2, "val", figures | {"class": "cat"})
  assert lines(tmp_path) == [
    {"step": 2, "kind": "train", "loss": 0.5, "lr": 0.25},
    {
      "step": 2,
      "kind": "val",
      "mean_iu": 0.125,
      "per_class_iu": {"cat": 0.75, "dog": None},
      "class": "cat",
    },
  ]
  assert scalars(tmp_path) == {
    ("train/loss", 2): 0.5,
    ("train/lr", 2): 0.25,
    ("val/mean_iu", 2): 0.125,
    ("val/per_class_iu/cat", 2): 0.75,
  }


def test_lines_are_there_at_once(tmp_path):
  """So that a run can be watched, and killed."""
  with record_lib.Writer(tmp_path, 0) as writer:
    writer.write(1, "train", {"loss": 1.0})
    assert lines(tmp_path) == [{"step": 1, "kind": "train", "loss": 1.0}]


def test_what_came_after_the_last_checkpoint_is_dropped(tmp_path):
  with record_lib.Writer(tmp_path, 0) as writer:
    for step in (1, 2, 3):
      writer.write(step, "train", {"loss": float(step)})
  with record_lib.Writer(tmp_path, 2) as writer:
    writer.write(3, "train", {"loss": 30.0})
  found = [(r["step"], r["loss"]) for r in record_lib.read_metrics(tmp_path)]
  assert found == [(1, 1.0), (2, 2.0), (3, 30.0)]


def test_numbers_that_are_none_come_back_as_nan(tmp_path):
  with record_lib.Writer(tmp_path, 0) as writer:
    writer.write(0, "val", {"mean_iu": math.nan, "loss": math.inf})
  (record,) = record_lib.read_metrics(tmp_path)
  assert math.isnan(record["mean_iu"])
  assert math.isnan(record["loss"])


def test_a_line_that_was_cut_short_is_left_out(tmp_path):
  (tmp_path / record_lib.FILE).write_text(
    '{"step": 1, "kind": "train"}\n{"step": 2, "ki'
  )
  assert [r["step"] for r in record_lib.read_metrics(tmp_path)] == [1]
  with record_lib.Writer(tmp_path, 5) as writer:
    writer.write(6, "train", {})
  assert [r["step"] for r in lines(tmp_path)] == [1, 6]


def test_a_workdir_without_records_has_none(tmp_path):
  assert record_lib.read_metrics(tmp_path) == []


def test_what_json_has_no_word_for_becomes_none():
  given = {"a": [0.5, math.nan], "b": {"c": math.inf}, "d": "text", "e": 3}
  assert record_lib.without_nan(given) == {
    "a": [0.5, None],
    "b": {"c": None},
    "d": "text",
    "e": 3,
  }
