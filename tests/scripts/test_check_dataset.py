import io
import json

import pytest
import run_scripts
from small_data import (
  folder_files,
  folder_format,
  label,
  photo,
  tar_of,
  tiny_output,
  voc_files,
  write,
)
from small_data import soft_scene as scene

from fcn_jax.data.prepare import prepare_dataset

SCRIPT = "scripts/check_dataset.py"


def folders(root, *more):
  return [
    "--dataset=folder",
    f"--class_names={root / 'classes.txt'}",
    *(
      f"--{split}_{kind}={root / split / kind}"
      for split in ("train", "val")
      for kind in ("images", "labels")
    ),
    *more,
  ]


def prepared(root, *more):
  return ["--data=tiny", f"--data_dir={root / 'sets'}", *more]


def jpeg(seed, quality):
  stream = io.BytesIO()
  scene(seed, 6, 8).save(stream, "JPEG", quality=quality)
  return stream.getvalue()


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
  """Folders that are well, doubtful and wrong; the first two are prepared."""
  made = {
    "good": {},
    "doubtful": {
      "classes.txt": "ground\nthing\nnobody\n",
      "train/images/a.jpg": jpeg(7, 95),
      "val/images/c.jpg": jpeg(7, 90),
    },
    "wrong": {
      "train/labels/a.png": label(255),
      "val/images/c.jpg": photo(3)[:200],
    },
  }
  roots = {}
  for name, changes in made.items():
    root = tmp_path_factory.mktemp(name)
    roots[name] = write(root, folder_files() | changes)
    if name != "wrong":
      prepare_dataset(folder_format(root), tiny_output(root), lambda line: None)
  return roots


@pytest.fixture(scope="module")
def outcomes(roots, tmp_path_factory):
  """Exit code and findings of every way to call it, in one process."""
  out = tmp_path_factory.mktemp("out")
  write(out, voc_files())
  runs = {
    "good": folders(roots["good"]),
    "doubtful": folders(roots["doubtful"]),
    "wrong": folders(roots["wrong"]),
    "prepared good": prepared(roots["good"]),
    "prepared doubtful": prepared(roots["doubtful"]),
    "voc": [
      "--dataset=voc",
      f"--archive={tar_of(out / 'VOCdevkit', out / 'voc.tar')}",
    ],
    "neither": [],
    "both": [*folders(roots["good"]), "--data=tiny"],
    "files of prepared data": prepared(roots["good"], "--seed=0"),
    "unknown": ["--data=nothing", f"--data_dir={out}"],
  }
  exits = run_scripts.exits(
    SCRIPT,
    *([*run, f"--output={out / name}.json"] for name, run in runs.items()),
  )
  found = {}
  for name, code in zip(runs, exits, strict=True):
    path = out / f"{name}.json"
    found[name] = code, json.loads(path.read_text()) if path.exists() else None
  return found


def test_all_is_well(outcomes):
  for name in ("good", "prepared good"):
    code, figures = outcomes[name]
    assert code == 0
    assert figures == {
      "splits": {"train": 2, "val": 1},
      "class_names": ["ground", "thing"],
      "errors": 0,
      "warnings": 0,
      "findings": [],
    }


def test_warnings_are_told_and_all_is_still_well(outcomes):
  for name, alike in (
    ("doubtful", "val/images/c.jpg"),
    ("prepared doubtful", "val/c"),
  ):
    code, figures = outcomes[name]
    assert code == 0
    assert (figures["errors"], figures["warnings"]) == (0, 2)
    one, other = figures["findings"]
    assert one["kind"] == "class without a pixel"
    assert one["file"] == "label 2, 'nobody'"
    assert other["kind"] == "images that look alike in train and val"
    assert other["file"].endswith(alike)


def test_errors_are_exit_code_1(outcomes):
  code, figures = outcomes["wrong"]
  assert code == 1
  assert figures["errors"] == 2
  assert {f["kind"] for f in figures["findings"] if not f["warning"]} == {
    "label that is all void",
    "unreadable image",
  }


def test_a_voc_tar(outcomes):
  code, figures = outcomes["voc"]
  assert code == 0
  assert figures["splits"] == {"train": 2, "val": 1, "trainval": 3}
  kinds = [finding["kind"] for finding in figures["findings"]]
  # 1 and 2 are in train, 20 in val.
  assert kinds.count("class in train that val lacks") == 2
  assert kinds.count("class in val that train lacks") == 1
  assert kinds.count("class without a pixel") == 17


@pytest.mark.parametrize(
  ("name", "part"),
  [
    ("neither", "give --dataset=voc or folder"),
    ("both", "give --dataset=voc or folder"),
    ("files of prepared data", "--seed goes with --dataset"),
    ("unknown", "nothing"),
  ],
)
def test_mistakes_in_the_call(outcomes, name, part):
  code, figures = outcomes[name]
  assert code.startswith("error: ")
  assert part in code
  assert figures is None


def test_what_a_user_sees(roots):
  done = run_scripts.run(SCRIPT, *folders(roots["wrong"]))
  assert done.returncode == 1
  lines = done.stdout.splitlines()
  assert lines[0].startswith("checking 3 images and labels, 2 classes")
  assert "a.png: all 48 pixels are 255; nothing can be learnt" in done.stdout
  assert lines[-1] == "2 errors, no warnings"
  assert "Traceback" not in done.stderr
