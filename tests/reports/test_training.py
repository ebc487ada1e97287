"""reports.training: the page of a run says what the run's files say."""

import base64
import dataclasses
import io
import json
import math
import zlib

import browser
import numpy as np
import pytest
from made_up_runs import CLASSES, LABEL, SIZES, VAL, dataset, make_run, val
from PIL import Image

from fcn_jax.data.classes import voc_palette
from fcn_jax.reports import training
from fcn_jax.runs import album
from fcn_jax.runs import record as record_lib
from fcn_jax.runs.album import Album, Picture
from fcn_jax.text import duration

# Of the validations at steps 0 and 20.
PREDICTED = {
  0: {name: np.zeros(size, np.uint8) for name, size in SIZES.items()},
  20: {
    "id0": np.tile(np.array([0, 0, 1, 1, 2, 2, 1, 0], np.uint8), (6, 1)),
    "id1": np.tile(np.array([2, 2, 0, 1], np.uint8), (5, 1)),
  },
}


def make_workdir(folder):
  make_run(folder)
  album.begin(folder, dataset(), "train", -1)
  for step, predictions in PREDICTED.items():
    steps = [s for s in PREDICTED if s <= step]
    album.add(folder, step, predictions, steps, step)
  return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  """A workdir with its page, for tests that change neither."""
  folder = make_workdir(tmp_path_factory.mktemp("run"))
  training.write_training(folder)
  return folder


@pytest.fixture
def shown(whole, open_page):
  """The page of `whole`."""
  return open_page(whole / training.FILE)


@pytest.fixture
def workdir(tmp_path, monkeypatch):
  """A workdir for a page without curves, which take longest to draw."""
  monkeypatch.setattr(training, "drawings", lambda run: [])
  return make_workdir(tmp_path)


def cells(page, caption: str) -> list[list[str]]:
  """The body of the table with a caption that begins so."""
  table = page.locator("table", has=page.locator(f'caption:text("{caption}")'))
  return table.first.evaluate(
    """table => [...table.tBodies[0].rows].map(
      row => [...row.cells].map(cell => cell.textContent.trim()))"""
  )


def four(value: float | None) -> str:
  return "–" if value is None or math.isnan(value) else f"{value:.4f}"


def test_the_figures_are_those_of_the_records(shown):
  last = VAL[-1]
  rows = {row[0]: row[1:] for row in cells(shown, "At the last validation")}
  for name, key in (
    ("Mean IoU", "mean_iu"),
    ("Pixel accuracy", "pixel_accuracy"),
    ("Mean accuracy", "mean_accuracy"),
    ("Frequency-weighted IoU", "fw_iu"),
    ("DIGITS' accuracy", "digits_accuracy"),
    ("Loss", "loss"),
  ):
    only = four(last["majority_baseline"].get(key))
    assert rows[name] == [four(last[key]), four(last[key]), only]
  classes = cells(shown, "IoU of each class")
  assert [row[0] for row in classes] == list(CLASSES)
  for row, name in zip(classes, CLASSES, strict=True):
    ious = [record["per_class_iu"][name] for record in VAL]
    highest = math.nan if name == "boat" else max(ious)
    assert row[1:4] == [four(ious[1]), four(ious[1]), four(highest)]
  for row, record in zip(cells(shown, "Scores by step"), VAL, strict=True):
    assert row[0] == str(record["step"])
    assert row[1:3] == [
      four(record["mean_iu"]),
      four(record["pixel_accuracy"]),
    ]
    assert row[-2:] == [four(record["loss"]), "3 s"]
  assert shown.locator(".key-figures dd").all_inner_texts() == [
    "0.4375 only background 0.1875",
    "0.4375 step 20",
    "0.6797 only background 0.5625",
    "0.8125",
    "0.5000",
    "8",
  ]


def test_a_best_that_is_not_the_last_has_its_own_column(workdir, open_page):
  """The IoU of 'cat & <dog>' is half of the mean IoU: 0.4 at best, 0.1 last."""
  make_run(workdir, records=[val(0, 0.8), val(20, 0.2)])
  page = open_page(training.write_training(workdir))
  scores = cells(page, "At the last validation (step 20), at the best (step 0)")
  assert scores[0][1:3] == ["0.2000", "0.8000"]
  classes = cells(page, "IoU of each class")
  assert classes[1][1:4] == ["0.1000", "0.4000", "0.4000"]
  figures = page.locator(".key-figures dd").all_inner_texts()
  assert figures[0].startswith("0.2000")
  assert figures[1] == "0.8000 step 0"


def test_the_charts_say_the_numbers_in_words(shown):
  said = shown.locator(".charts [role=img]").evaluate_all(
    "all => all.map(one => one.getAttribute('aria-label'))"
  )
  assert said == [
    "Training loss 1.5000 at step 10, 0.5000 at step 30; Validation loss "
    "1.1250 at step 0, 0.8125 at step 20; all classes alike: ln 3 1.0986",
    "Mean IoU 0.1250 at step 0, 0.4375 at step 20; only background 0.1875",
    "Pixel accuracy 0.6406 at step 0, 0.6797 at step 20; only background "
    "0.5625",
    "Learning rate 0.00388 at step 10, 0.00138 at step 30",
    "Images per second 2 at step 10, 8 at step 30",
  ]


def canvas(page, kind: str, number: int) -> np.ndarray:
  """RGBA of the picture of an image, [h, w, 4]."""
  place = f".pair:nth-of-type({number + 1}) canvas[data-kind={kind}]"
  return browser.pixels(page, place)


def assert_colored(found, ids) -> None:
  """Opaque class colours; background and only that is clear."""
  colors, void = voc_palette(), ids == 255
  clear = ids == 0
  np.testing.assert_array_equal(found[clear, 3], 0)
  np.testing.assert_array_equal(found[~clear, 3], 255)
  plain = ~clear & ~void
  np.testing.assert_array_equal(found[plain, :3], colors[ids[plain]])
  assert set(map(tuple, found[void, :3].tolist())) <= {(96,) * 3, (200,) * 3}


def at_step(page, step: int) -> None:
  page.wait_for_function(
    """step => [...document.querySelectorAll('.pair')].every(
      pair => pair.dataset.shown === String(step))""",
    arg=step,
  )


def test_the_slider_shows_the_predictions_of_its_step(shown):
  shown.get_by_label("Opacity of the colours").fill("100")
  when = shown.get_by_label("Validation at")
  for place, step in ((1, 20), (0, 0), (1, 20)):
    when.fill(str(place))
    at_step(shown, step)
    assert shown.locator("#step").inner_text() == f"step {step}"
    assert when.get_attribute("aria-valuetext") == f"step {step}"
    for number, name in enumerate(SIZES):
      assert_colored(canvas(shown, "prediction", number), PREDICTED[step][name])
      assert_colored(canvas(shown, "label", number), LABEL[name])
  # id1: two, one and one of four columns; at step 0 all is background.
  picture = shown.locator(".pair").last.locator("img").first
  assert picture.get_attribute("alt") == (
    "Prediction of id1: boat 50.0 %, background 25.0 %, cat & <dog> 25.0 %"
  )
  when.focus()
  shown.keyboard.press("ArrowLeft")
  at_step(shown, 0)
  alone = "Prediction of id1: background 100.0 %"
  assert picture.get_attribute("alt") == alone


def test_a_pixel_is_told_by_name(shown):
  """Column 4 of id0 is a boat to the network, a cat & <dog> in truth."""
  at_step(shown, 20)
  pair = shown.locator(".pair").first
  stage = pair.get_by_label("Prediction of id0: arrow keys")
  box = stage.bounding_box()
  stage.hover(
    position={"x": box["width"] * 4.5 / 8, "y": box["height"] * 2.5 / 6}
  )
  told = pair.locator("output")
  assert told.inner_text() == "Prediction: boat (2); label: cat & <dog> (1)"
  shown.mouse.move(0, 0)
  assert told.inner_text() == ""
  shown.get_by_label("Validation at").focus()
  shown.keyboard.press("Tab")
  shown.keyboard.press("Tab")
  shown.keyboard.press("ArrowRight")
  shown.keyboard.press("ArrowRight")
  # From column 4 to the void in column 6.
  assert told.inner_text() == "Prediction: cat & <dog> (1); label: void (255)"


def test_what_was_chosen_outlives_a_reload(workdir, open_page):
  shown = open_page(training.write_training(workdir))
  at_step(shown, 20)
  shown.get_by_label("Validation at").fill("0")
  shown.get_by_label("Reload this page").check()
  shown.reload()
  at_step(shown, 0)
  assert shown.get_by_label("Reload this page").is_checked()
  # At the right end it follows the run.
  shown.get_by_label("Validation at").fill("1")
  make_run(workdir, records=(*VAL, val(40, 0.5)))
  later = {name: np.ones(size, np.uint8) for name, size in SIZES.items()}
  album.add(workdir, 40, later, [0, 20, 40], 40)
  training.write_training(workdir)
  shown.reload()
  at_step(shown, 40)
  shown.get_by_label("Reload this page").uncheck()
  shown.reload()
  assert not shown.get_by_label("Reload this page").is_checked()


def test_it_reloads_when_it_is_asked_to(whole, open_page):
  page = open_page(whole / training.FILE)
  page.clock.install()
  page.reload()
  page.evaluate("window.before = true")
  page.clock.fast_forward(60_000)
  assert page.evaluate("window.before"), "not by itself"
  page.get_by_label("Reload this page").check()
  page.clock.fast_forward(31_000)
  page.wait_for_function("window.before !== true")


@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_a_telephone(whole, open_page, dark):
  page = open_page(whole / training.FILE, browser.PHONE, dark=dark)
  page.locator("summary").evaluate_all("all => all.forEach(s => s.click())")
  assert not browser.scrolls_sideways(page)
  first, second = page.locator(".pair").first.locator(".stage").all()
  left, right = first.bounding_box(), second.bounding_box()
  assert left["y"] == right["y"], "prediction and label beside one another"
  assert left["width"] == pytest.approx(right["width"])
  assert left["x"] + left["width"] < right["x"]


def state(workdir) -> str:
  return training.state(training.read_run(workdir))


def test_where_a_run_stands(tmp_path):
  """41 s spent and 13 s to go: see test_runs."""
  make_run(tmp_path)
  assert state(tmp_path) == (
    "Training: at step 30 of 40 (75 %) after 41 s; about 13 s left."
  )
  record_lib.end_session(tmp_path, 30, record_lib.STOPPED)
  assert state(tmp_path).startswith(
    "Stopped at step 30 of 40 (75 %) after 41 s"
  )
  record_lib.end_session(
    tmp_path, None, record_lib.FAILED, "step 31: NaN on <a>"
  )
  assert (
    state(tmp_path) == "Failed at step 30 of 40 (75 %): step 31: NaN on <a>"
  )
  record_lib.end_session(tmp_path, 40, record_lib.FINISHED)
  assert state(tmp_path) == "Finished at step 40 of 40 (100 %) after 41 s."
  make_run(tmp_path, schedule=None)
  assert state(tmp_path) == "At step 30 after 41 s."


def test_a_run_that_got_no_better_says_so(tmp_path):
  """Mean IoU 0.5 at step 10 is not beaten by that of step 30."""
  scores = (0.125, 0.5, 0.25, 0.5)
  records = [val(10 * n, score) for n, score in enumerate(scores)]
  make_run(tmp_path, records=records)
  record_lib.end_session(tmp_path, 30, record_lib.FINISHED)
  assert state(tmp_path) == (
    "Ended at step 30 of 40 (75 %) after 12 s: 2 validations since step 10 "
    "were no better."
  )


def test_averaged_weights_have_curves_beside(tmp_path):
  """A score of theirs that is NaN leaves a gap."""
  averaged = ({"mean_iu": math.nan, "loss": 1.5}, {"mean_iu": 0.5, "loss": 1})
  records = [
    val(10 * n, 0.25 * n, ema=figures) for n, figures in enumerate(averaged)
  ]
  make_run(tmp_path, records=[val(0, 0.125)])
  plain = {x.file: x for x in training.drawings(training.read_run(tmp_path))}
  assert "averaged" not in plain["mean_iu"].description
  make_run(tmp_path, records=records)
  found = {x.file: x for x in training.drawings(training.read_run(tmp_path))}
  assert found["mean_iu"].description == (
    "Mean IoU 0.0000 at step 0, 0.2500 at step 10; "
    "Mean IoU, averaged weights 0.5000 at step 10; only background 0.1875"
  )
  assert (
    "Validation loss, averaged weights 1.5000 at step 0, 1.0000 at step 10"
    in found["loss"].description
  )
  assert "averaged" not in found["pixel_accuracy"].description


def test_durations_by_hand():
  for seconds, text in (
    (0.4, "0 s"),
    (59.6, "1 min 0 s"),
    (3599, "59 min 59 s"),
    (3600, "1 h 0 min"),
    (90_061, "1 d 1 h"),
  ):
    assert duration(seconds) == text


def test_a_run_that_ended_neither_reloads_nor_hides_why(workdir, open_page):
  record_lib.end_session(workdir, None, record_lib.FAILED, "NaN on <a>")
  page = open_page(training.write_training(workdir))
  assert page.locator("#reload").count() == 0
  assert "NaN on <a>" in page.locator("header").inner_text()
  assert cells(page, "Each start")[0][2] == "failed"


def test_a_collapse_is_said(workdir, open_page):
  make_run(workdir, records=[*VAL, val(40, 0.1, collapsed_to="background")])
  page = open_page(training.write_training(workdir))
  assert "predicted as background" in page.locator(".alarm").inner_text()


def test_config_and_command_are_there(whole, shown):
  config = dict(cells(shown, "Fields of config.json"))
  assert config["base_lr"] == "0.005"
  assert config["model.mean_bgr"] == "116.0, 116.0, 116.0"
  assert config["init.path"] == "–"
  command = record_lib.read_sessions(whole)[0].command
  assert shown.locator("pre").inner_text() == command
  environment = dict(cells(shown, "Environment"))
  assert environment == record_lib.environment()


def test_a_run_without_records_pictures_or_sessions_has_a_page(
  tmp_path, open_page
):
  make_run(tmp_path, records=[], schedule=None)
  page = open_page(training.write_training(tmp_path, tmp_path / "here.html"))
  assert "There are no records yet" in page.locator("main").inner_text()
  assert not (tmp_path / "report.html").exists()
  with pytest.raises(ValueError, match="no records to draw yet"):
    training.write_charts(tmp_path, tmp_path / "charts")


def test_the_same_run_gives_the_same_page(whole, tmp_path):
  one = (whole / training.FILE).read_text()
  two = training.write_training(whole, tmp_path / "2.html").read_text()

  def without_time(text):
    return [line for line in text.splitlines() if "drawn 2" not in line]

  assert without_time(one) == without_time(two)


def test_predictions_travel_as_they_are_kept(whole):
  text = (whole / training.FILE).read_text()
  start = '<script type="application/json">'
  at = text.index(start) + len(start)
  packed = json.loads(text[at : text.index("</script>", at)])["ids"]
  arrays = [
    np.frombuffer(zlib.decompress(base64.b64decode(each)), np.uint8)
    for each in packed
  ]
  expected = [LABEL["id0"], PREDICTED[0]["id0"], PREDICTED[20]["id0"]]
  for found, ids in zip(arrays, expected, strict=True):
    np.testing.assert_array_equal(found.reshape(6, 8), ids)


def test_charts_as_pictures(whole, tmp_path):
  paths = training.write_charts(whole, tmp_path / "charts")
  assert [path.name for path in paths] == [
    "loss.png",
    "mean_iu.png",
    "pixel_accuracy.png",
    "learning_rate.png",
    "images_per_second.png",
  ]
  for path in paths:
    with Image.open(io.BytesIO(path.read_bytes())) as image:
      assert image.width > 800
      assert image.getpixel((0, 0))[:3] == (255, 255, 255)


def test_a_sparkline_by_hand():
  """120 x 24: half way at step 5 of 10; no point for NaN."""
  line = training.sparkline(np.array([0, math.nan, 0.5, 1]), [0, 2, 5, 10])
  assert 'points="0.0,24.0 60.0,12.0 120.0,0.0"' in line


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
  found = training.show_album(ALBUM)
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
  first, second = training.show_album(ALBUM).pictures
  assert first.words == (
    "background 50.0 %, cat & <dog> 25.0 %, void 25.0 %",
    "background 100.0 %",
    "background 50.0 %, cat & <dog> 50.0 %",
  )
  assert second.words[1] == "background 50.0 %, cat & <dog> 50.0 %"


def test_the_legend_has_what_occurs_anywhere():
  """The cat, and void; never a boat. The background has no colour."""
  entries = training.show_album(ALBUM).entries
  assert [(e.label, e.name) for e in entries] == [
    (0, "background"),
    (1, "cat & <dog>"),
    (255, "void"),
  ]
  assert [e.color for e in entries] == [None, (128, 0, 0), None]


def test_before_the_first_prediction_there_is_nothing():
  blank = dataclasses.replace(ALBUM, pictures=(picture("a", [[0]]),))
  assert training.show_album(blank) is None
  assert training.show_album(dataclasses.replace(ALBUM, pictures=())) is None
