"""reports.through_time: what the slider of a training report goes through."""

import base64
import dataclasses
import zlib

import numpy as np
from made_up_runs import CLASSES

from fcn_jax.data.classes import voc_palette
from fcn_jax.reports import through_time
from fcn_jax.runs.album import Album, Picture


def picture(name: str, truth, **by_step) -> Picture:
  truth = np.array(truth, np.uint8)
  return Picture(
    image_id=name,
    size=truth.shape,
    image=np.zeros((*truth.shape, 3), np.uint8),
    truth=truth,
    predictions={
      int(step[1:]): np.array(ids, np.uint8) for step, ids in by_step.items()
    },
  )


ALBUM = Album(
  split="val",
  class_names=CLASSES,
  palette=voc_palette(),
  pictures=(
    picture("a", [[0, 1, 255, 0]], _0=[[0, 0, 0, 0]], _5=[[0, 1, 1, 0]]),
    picture("b", [[0], [0]], _0=[[0], [1]], _5=[[0], [0]], _9=[[0], [0]]),
  ),
)


def test_layers_are_the_label_and_then_each_step_that_all_have():
  found = through_time.show(ALBUM)
  assert found.steps == (0, 5)
  first, second = found.pictures
  assert [layer.name for layer in first.view.layers] == [
    "Label",
    "Step 0",
    "Step 5",
  ]
  pixels = [
    list(zlib.decompress(base64.b64decode(layer.ids)))
    for layer in first.view.layers
  ]
  assert pixels == [[0, 1, 255, 0], [0, 0, 0, 0], [0, 1, 1, 0]]
  assert (first.size, second.size) == ((1, 4), (2, 1))


def test_classes_and_shares_in_words():
  first, second = through_time.show(ALBUM).pictures
  assert first.words == (
    "background 50.0 %, cat & <dog> 25.0 %, void 25.0 %",
    "background 100.0 %",
    "background 50.0 %, cat & <dog> 50.0 %",
  )
  assert second.words[1] == "background 50.0 %, cat & <dog> 50.0 %"


def test_the_legend_has_what_occurs_anywhere():
  """The cat, and void; never a boat. The background has no colour."""
  entries = through_time.show(ALBUM).entries
  assert [(e.label, e.name) for e in entries] == [
    (0, "background"),
    (1, "cat & <dog>"),
    (255, "void"),
  ]
  assert [e.color for e in entries] == [None, (128, 0, 0), None]


def test_before_the_first_prediction_there_is_nothing():
  blank = dataclasses.replace(ALBUM, pictures=(picture("a", [[0]]),))
  assert through_time.show(blank) is None
  assert through_time.show(dataclasses.replace(ALBUM, pictures=())) is None
