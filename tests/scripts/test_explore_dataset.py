import json

import pytest
import run_scripts
from small_data import (
  folder_files,
  folder_format,
  label,
  photo,
  tiny_output,
  write,
)

from fcn_jax.data.prepare import prepare_dataset

SCRIPT = "scripts/explore_dataset.py"


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
  """What each call returns, and the folder it wrote to."""
  root = tmp_path_factory.mktemp("explored")
  files = {
    # A third class, in train alone.
    "classes.txt": "ground\nthing\nsky\n",
    "train/images/d.jpg": photo(8, 12, 8),
    "train/labels/d.png": label(0, 2, height=12, width=8),
  }
  write(root, folder_files() | files | {"mine.html": "not a page of ours"})
  prepare_dataset(folder_format(root), tiny_output(root), lambda line: None)
  runs = {
    "html": ["--output", "page.html"],
    "text": ["--format=text", "--output", "figures.txt"],
    "json": ["--format=json", "--output", "figures.json", "--split=val,train"],
    "nowhere": [],
    "no split": ["--split=test", "--output", "none.html"],
    "theirs": ["--output", "mine.html"],
    "suffix": ["--output", "page.txt"],
  }
  calls = [
    [
      "--data=tiny",
      f"--data_dir={root / 'sets'}",
      *(str(root / word) if "." in word else word for word in words),
    ]
    for words in runs.values()
  ]
  exits = run_scripts.exits(SCRIPT, *calls)
  return dict(zip(runs, exits, strict=True)), root


def test_all_formats_are_written(outcomes):
  exits, root = outcomes
  assert (exits["html"], exits["text"], exits["json"]) == (None, None, None)
  text = (root / "page.html").read_text()
  assert "<title>Data set tiny</title>" in text
  assert text.count('"photo": "data:image/jpeg') == 4


def test_text_and_json_say_the_same(outcomes):
  _, root = outcomes
  figures = json.loads((root / "figures.json").read_text())
  assert list(figures["splits"]) == ["val", "train"]
  assert figures["images_left_out"] == 0
  train = figures["splits"]["train"]
  # Half of a, of d, and half of the three quarters of b that are not void.
  assert train["pixels"] == {
    "ground": 24 + 12 + 48,
    "thing": 24 + 24,
    "sky": 48,
    "(void)": 12,
  }
  assert train["images_with"]["(void)"] == 1
  # ground: 84 of 180; thing: 48 of 84; sky: 48 of 96, the median.
  assert train["median_frequency_weight"]["ground"] == pytest.approx(
    0.5 / (84 / 180)
  )
  assert train["image_shares"]["b"]["(void)"] == 0.25
  assert figures["splits"]["val"]["median_frequency_weight"]["sky"] is None
  text = (root / "figures.txt").read_text()
  ground = next(line for line in text.splitlines() if "ground" in line)
  assert ground.split() == [
    "0",
    "ground",
    "84",
    "46.67%",
    "3",
    "100.00%",
    "1.071",
  ]
  assert "train: 3 images, 2 sizes from 8x6 to 8x12" in text
  (finding,) = figures["findings"]
  assert finding["kind"] == "class in train that val lacks"
  assert f"warning: {finding['kind']} (1)" in text
  assert text.rstrip().endswith("no errors, 1 warning")


@pytest.mark.parametrize(
  ("call", "part"),
  [
    ("nowhere", "give --output=FILE.html, or --format=text"),
    ("no split", "no split 'test'; it has train, val"),
    ("theirs", "mine.html is no page that fcn_jax has written"),
    ("suffix", "a page's name ends in .html"),
  ],
)
def test_mistakes_in_the_call(outcomes, call, part):
  exits, root = outcomes
  assert exits[call].startswith("error: ")
  assert part in exits[call]
  assert (root / "mine.html").read_text() == "not a page of ours"
  assert not (root / "none.html").exists()


def test_text_is_printed(outcomes):
  _, root = outcomes
  done = run_scripts.run(
    SCRIPT, "--data=tiny", f"--data_dir={root / 'sets'}", "--format=text"
  )
  assert done.returncode == 0, done.stderr
  assert done.stdout == (root / "figures.txt").read_text()


def test_a_recipe_is_shown_as_training_sees_it(outcomes, tmp_path):
  _, root = outcomes
  recipe = tmp_path / "recipe.py"
  recipe.write_text(
    "from fcn_jax import default_recipe\n"
    "def get_config():\n"
    "  config = default_recipe(augment=('fixed_crop',))\n"
    "  config.augment.fixed_crop.height = 5\n"
    "  config.data.mirror = True\n"
    "  return config\n"
  )
  page = tmp_path / "augmented.html"
  exits = run_scripts.exits(
    SCRIPT,
    [
      f"--augment={recipe}",
      "--data=tiny",
      f"--data_dir={root / 'sets'}",
      f"--output={page}",
    ],
    [],
  )
  assert exits[0] is None
  assert "or a recipe with --augment=FILE" in exits[1]
  text = page.read_text()
  assert "height = 5, width = 320, cat_max_ratio = 1.0" in text
  assert "step 1, 5x8" in text
  assert "data.mirror" in text
