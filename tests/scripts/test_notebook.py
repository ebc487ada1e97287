"""notebooks/: as they are stored, and run anew on a smaller world."""

import base64
import dataclasses
import io
import json
import re

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from PIL import Image
from places import ROOT

from fcn_jax import models
from fcn_jax.models import geometry

NOTEBOOK = ROOT / "notebooks/fcn_alexnet_tutorial.ipynb"

# In place of the cell of that tag: about a minute, mostly of compilation.
PARAMETERS = """
labelled, boxed = 4, 20
classifier_steps, steps = 2, 12
width = 0.05
"""

# What the run has in its variables, as the output of one more cell.
FIGURES = """
import json
print(json.dumps({
  "receipt": str(receipt),
  "matrices": by_matrices.tolist(),
  "convolutions": by_convolutions.tolist(),
  "losses": [r["loss"] for r in training],
  "mean_iu": [r["mean_iu"] for r in validations],
  "evaluated": trained.evaluation.figures()["mean_iu"],
  "sizes": [result.image.shape, result.labels.shape],
  "probabilities": result.probabilities.sum(-1).mean().item(),
  "shares": sum(result.shares.values()),
  "offset": described.offsets[0].cells,
  "tents": [total[32 + i].item() for i in (0, 100, 400)],
}))
"""


@pytest.fixture(scope="module")
def stored():
  return nbformat.read(NOTEBOOK, as_version=4)


def code(notebook):
  return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook):
  return [output for cell in code(notebook) for output in cell.outputs]


def text_of(notebook, source: str) -> str:
  """What the cell printed whose source holds a text."""
  (cell,) = (cell for cell in code(notebook) if source in cell.source)
  return "".join(output.get("text", "") for output in cell.outputs)


def test_it_is_stored_as_it_was_run(stored):
  nbformat.validate(stored)
  cells = code(stored)
  assert [cell.execution_count for cell in cells] == [
    number + 1 for number in range(len(cells))
  ]
  for output in outputs(stored):
    assert output.output_type in ("stream", "display_data", "execute_result")
    assert output.get("name") != "stderr", output.text
  assert sum("parameters" in cell.metadata.get("tags", []) for cell in cells)


def test_its_pictures_are_inside_and_it_is_small(stored):
  assert NOTEBOOK.stat().st_size < 5e6
  coded = [
    output.data["image/png"]
    for output in outputs(stored)
    if "image/png" in output.get("data", {})
  ]
  assert len(coded) == 7
  for one in coded:
    picture = Image.open(io.BytesIO(base64.b64decode(one)))
    assert min(picture.size) > 100
    assert len(np.unique(np.asarray(picture.convert("L")))) > 20


def test_nothing_in_it_is_of_one_machine(stored):
  """No paths, progress bars or times of day."""
  texts = [cell.source for cell in stored.cells]
  for output in outputs(stored):
    texts.append(output.get("text", ""))
    texts.append(output.get("data", {}).get("text/plain", ""))
  for text in texts:
    assert not re.search(r"(^|[\s'\"(])[/~][a-z]+/", text), text
    assert not re.search(r"it/s|\d%\||\d\d:\d\d|0x[0-9a-f]{6}", text), text


def test_its_figures_are_what_it_says(stored):
  """Columns agree to the last digit shown, and training has paid."""
  lines = text_of(stored, "by_matrices[i]").splitlines()[2:]
  assert len(lines) == 5
  for line in lines:
    matrices, convolutions = map(float, line.split()[1:])
    assert matrices == pytest.approx(convolutions, abs=1e-4)
  table = text_of(stored, "\ntrained = ")
  (line,) = re.findall(r"^mean IoU +(\S+) +(\S+)$", table, re.MULTILINE)
  score, baseline = map(float, line)
  assert score > baseline + 0.2
  assert "proof   holds" in text_of(stored, "str(receipt)")
  assert text_of(stored, "crop offset:").splitlines()[-1] == "crop offset: 18"


def test_what_it_says_of_networks_without_a_pad(stored):
  text = "".join(c.source for c in stored.cells if c.cell_type == "markdown")
  found = re.search(
    r"without, an image of (\d+) to (\d+) pixels\s+has a single one, at "
    r"pixel (\d+), and a smaller image has none",
    text,
  )
  low, high, start = map(int, found.groups())
  layers = tuple(
    dataclasses.replace(layer, pad=0) if layer.name == "conv1" else layer
    for layer in models.declare("fcn_alexnet", classes=21)
    if layer.name not in ("upscore", "score")
  )
  for side, cells in ((low, 1), (high, 1), (high + 1, 2)):
    assert geometry.sizes(layers, side)["score_fr"] == cells
  with pytest.raises(ValueError, match="too small"):
    geometry.sizes(layers, low - 1)
  assert geometry.placements(layers)["score_fr"].start == start


def test_it_runs_anew(stored, tmp_path, monkeypatch):
  for name in ("TMPDIR", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR"):
    folder = tmp_path / name.lower()
    folder.mkdir()
    monkeypatch.setenv(name, str(folder))
  notebook = nbformat.from_dict(json.loads(json.dumps(stored)))
  (first,) = (
    cell
    for cell in code(notebook)
    if "parameters" in cell.metadata.get("tags", [])
  )
  first.source = PARAMETERS
  notebook.cells.append(nbformat.v4.new_code_cell(FIGURES))
  NotebookClient(
    notebook,
    timeout=600,
    kernel_name="python3",
    resources={"metadata": {"path": str(NOTEBOOK.parent)}},
  ).execute()
  found = json.loads(notebook.cells[-1].outputs[-1].text)
  assert "proof   holds" in found["receipt"]
  matrices = np.array(found["matrices"])
  np.testing.assert_allclose(
    found["convolutions"], matrices, atol=1e-5 * np.abs(matrices).max()
  )
  assert np.isfinite(found["losses"]).all()
  assert found["losses"][-1] < np.log(6)
  assert found["mean_iu"][-1] == found["evaluated"]
  assert found["sizes"][0][:2] == found["sizes"][1]
  assert found["probabilities"] == pytest.approx(1, abs=1e-6)
  assert found["shares"] == pytest.approx(1)
  assert found["offset"] == 18
  assert found["tents"] == pytest.approx([1, 1, 1])
  (made,) = (tmp_path / "tmpdir").glob("fcn_tutorial_*")
  assert (made / "fcn/config.json").is_file()
