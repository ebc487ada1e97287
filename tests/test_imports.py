"""Data goes one way: a module imports only what stands left of it."""

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]

# From left to right; modules of one line do not know each other, unless one
# stands in ALLOWED.
ORDER = (
  ("declaration",),
  ("geometry",),
  ("convolution", "flops", "layers", "pooling"),
  ("plain",),
  ("models",),
  (
    "caffe",
    "crop_derivation",
    "devices",
    "losses",
    "machine_memory",
    "metrics",
    "optimizers",
    "receipt",
  ),
  (
    "banded_loss",
    "bootstrap",
    "confusions",
    "distribution",
    "fixed",
    "network_description",
    "random_weights",
    "published",
    "worst",
  ),
  ("weights", "export", "download"),
  ("proof",),
  ("compilation_cache",),
  ("command_line", "stopping"),
  ("data",),
  (
    "checkpoints",
    "config",
    "dataset_flags",
    "error_map",
    "image_cache",
    "sessions",
    "writers",
  ),
  ("initial", "image_files", "pictures", "progress", "runs"),
  (
    "evaluation",
    "given_labels",
    "image_set",
    "result",
    "validation_pictures",
  ),
  (
    "activations",
    "comparison",
    "evaluate",
    "predict",
    "prediction_folder",
    "voc_submission",
  ),
  ("predict_files", "train_step"),
  ("learning_rate_preview", "training_memory"),
  ("reports",),
  ("train", "pretrain", "parity", "benchmark"),
)
ALLOWED = {("metrics", "losses")}  # both of them know void

# Which packages only some rooms may know.
ONLY = {
  "orbax": {"checkpoints"},
  "google": {"caffe"},
  "optax": {"optimizers", "train_step", "pretrain", "benchmark"},
  "tensorboardX": {"writers"},
  "tensorflow_datasets": {"data"},
  "grain": {"data"},
  "jinja2": {"reports"},
  "markupsafe": {"reports"},
  "matplotlib": {"reports"},
}
NEVER = {"tensorflow", "torch", "pickle", "clu", "cv2", "scipy"}


def modules() -> dict[str, pathlib.Path]:
  """Every file of the package, by its dotted name without 'fcn_jax.'."""
  found = {}
  for path in (ROOT / "fcn_jax").rglob("*.py"):
    parts = path.relative_to(ROOT / "fcn_jax").with_suffix("").parts
    name = ".".join(p for p in parts if p != "__init__")
    if name:  # fcn_jax itself is the porch: it shows what lies inside
      found[name] = path
  return found


def imports(path: pathlib.Path) -> set[str]:
  """Dotted names of all that a file imports, wherever it does."""
  found = set()
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      found |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      assert node.level == 0, f"{path}: a relative import"
      found |= {f"{node.module}.{alias.name}" for alias in node.names}
  return found


def room(name: str) -> str:
  """'data' of 'data.voc': one line of the order holds a whole package."""
  return name.split(".")[0]


def rooms_of(path: pathlib.Path) -> set[str]:
  return {
    room(name.removeprefix("fcn_jax."))
    for name in imports(path)
    if name.startswith("fcn_jax.")
  }


MODULES = modules()
FILES = [
  *MODULES.values(),
  ROOT / "fcn_jax/__init__.py",
  *(ROOT / "scripts").glob("*.py"),
  *(ROOT / "configs").glob("*.py"),
]


def test_every_module_has_its_place():
  places = [name for line in ORDER for name in line]
  assert len(set(places)) == len(places)
  assert {room(name) for name in MODULES} == set(places)


@pytest.mark.parametrize("name", sorted(MODULES))
def test_a_module_imports_only_what_stands_left(name):
  own = room(name)
  line = next(i for i, names in enumerate(ORDER) if own in names)
  left = {other for names in ORDER[:line] for other in names}
  known = rooms_of(MODULES[name]) - {own}
  strange = {k for k in known - left if (own, k) not in ALLOWED}
  assert not strange, f"{name} imports {', '.join(sorted(strange))}"


def test_data_knows_no_network():
  for name, path in MODULES.items():
    if room(name) == "data":
      assert rooms_of(path) == {"data"} or rooms_of(path) == set(), name
      tops = {imported.split(".")[0] for imported in imports(path)}
      assert not tops & {"jax", "flax", "optax"}, name


def test_configs_know_only_ml_collections():
  for path in (ROOT / "configs").glob("*.py"):
    assert imports(path) == {"ml_collections.ConfigDict"}, path.name


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_packages_have_their_rooms(path):
  own = next((room(n) for n, p in MODULES.items() if p == path), path.stem)
  tops = {name.split(".")[0] for name in imports(path)}
  assert not tops & (NEVER - {"torch"} if own == "torch_peer" else NEVER)
  for package, rooms in ONLY.items():
    assert package not in tops or own in rooms, package


def test_only_charts_are_drawn_with_matplotlib():
  knowing = {
    name
    for name, path in MODULES.items()
    if any(i.split(".")[0] == "matplotlib" for i in imports(path))
  }
  assert knowing == {"reports.charts"}


def test_files_are_rooms_not_halls():
  """No utils.py; one idea a file, read in one sitting."""
  assert not [name for name in MODULES if "util" in name or "helper" in name]


def test_the_package_needs_nothing_that_is_not_asked_for():
  """Importing it all loads no TensorFlow (torch: tensorboardX asks for it).

  Nor what draws charts, before there is one to draw.
  """
  load = (
    "import sys, fcn_jax.train, fcn_jax.predict, fcn_jax.reports.charts; "
    "print(*{'tensorflow', 'matplotlib'} & set(sys.modules))"
  )
  done = subprocess.run(
    [sys.executable, "-c", load], capture_output=True, text=True, check=True
  )
  assert not done.stdout.strip()
