"""Which room may know which, and which package only one file knows."""

import ast
import pathlib
import subprocess
import sys

import pytest
from places import CONFIGS, ROOT, SCRIPTS

PACKAGE = ROOT / "fcn_jax"

# What the modules of a room import of the rest of fcn_jax: rooms, or modules
# of rooms. A new module needs no entry.
RULE = {
  "files": (),
  "text": (),
  "devices": ("text",),
  "cli": ("data", "files", "text"),
  "data": ("files", "text"),
  "models": ("text", "data.classes"),
  "weights": ("models", "files", "text"),
  "evaluation": ("data", "models", "devices", "text"),
  "prediction": (
    "data",
    "models",
    "weights",
    "evaluation",
    "devices",
    "files",
    "text",
  ),
  "runs": ("data", "evaluation", "files", "text"),
  "reports": (
    "data",
    "models",
    "evaluation",
    "prediction",
    "runs",
    "files",
    "text",
  ),
  "training": (
    "data",
    "models",
    "weights",
    "evaluation",
    "runs",
    "reports.live",
    "devices",
    "files",
    "text",
  ),
  "parity": ("*",),
  "benchmark": ("*",),
}
ROOT_FILES = {"__init__", "files", "text", "devices", "cli"}

# Which modules alone may know a package.
ONLY = {
  "orbax": {"weights.checkpoints"},
  "google": {"weights.caffemodel"},
  "onnx": {"weights.onnx_file"},
  "onnxruntime": {"weights.runtimes"},
  "h5py": {"weights.keras_file"},
  "safetensors": {"weights.safetensors_file"},
  "pycocotools": {"data.formats.coco"},
  "scipy": {"data.formats.sbd"},
  "matplotlib": {"reports.charts"},
  "tifffile": {"data.tiff"},
  "tensorboardX": {"runs.record"},
  "etils": {"files"},
  "fsspec": {"files"},
  "optax": {"training", "benchmark"},
  "tensorflow_datasets": {"data"},
  "grain": {"data"},
  "jinja2": {"reports"},
  "markupsafe": {"reports"},
}
NEVER = {"tensorflow", "torch", "pickle", "clu", "cv2"}


def modules() -> dict[str, pathlib.Path]:
  """Every file of the package, by its dotted name without 'fcn_jax.'."""
  found = {}
  for path in PACKAGE.rglob("*.py"):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    found[".".join(p for p in parts if p != "__init__")] = path
  del found[""]  # the door: it shows what lies inside
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


def is_below(name: str, room: str) -> bool:
  return name == room or name.startswith(f"{room}.")


MODULES = modules()
FILES = [
  *MODULES.items(),
  ("", PACKAGE / "__init__.py"),
  *((f"scripts.{p.stem}", p) for p in SCRIPTS.glob("*.py")),
  *((f"configs.{p.stem}", p) for p in CONFIGS.glob("*.py")),
]


def test_the_root_holds_five_files_and_the_rooms():
  files = {path.stem for path in PACKAGE.glob("*.py")}
  folders = {p.name for p in PACKAGE.iterdir() if p.is_dir()} - {"__pycache__"}
  assert files == ROOT_FILES
  assert folders == set(RULE) - ROOT_FILES


@pytest.mark.parametrize("name", sorted(MODULES))
def test_a_module_imports_what_its_room_may_know(name):
  room = name.split(".")[0]
  allowed = (room, *RULE[room])
  ours = {
    i.removeprefix("fcn_jax.")
    for i in imports(MODULES[name])
    if i.startswith("fcn_jax.")
  }
  strange = {
    i for i in ours if not any(a == "*" or is_below(i, a) for a in allowed)
  }
  assert not strange, f"{name} imports {', '.join(sorted(strange))}"


def test_data_knows_no_network():
  for name, path in MODULES.items():
    if is_below(name, "data"):
      tops = {imported.split(".")[0] for imported in imports(path)}
      assert not tops & {"jax", "flax", "optax"}, name


def test_one_file_knows_how_processes_talk():
  names = ("jax.distributed", "multihost_utils")
  knowing = {
    name
    for name, path in MODULES.items()
    if any(word in path.read_text() for word in names)
  }
  assert knowing == {"devices"}


def test_configs_know_the_recipe_alone():
  for path in CONFIGS.glob("*.py"):
    assert imports(path) <= {
      "ml_collections.ConfigDict",
      "fcn_jax.default_recipe",
    }, path.name


@pytest.mark.parametrize(
  ("name", "path"), FILES, ids=[name or "fcn_jax" for name, _ in FILES]
)
def test_packages_have_their_rooms(name, path):
  tops = {imported.split(".")[0] for imported in imports(path)}
  peer = name == "benchmark.torch_peer"
  assert not tops & (NEVER - {"torch"} if peer else NEVER)
  for package, rooms in ONLY.items():
    known = any(is_below(name, room) for room in rooms)
    assert package not in tops or known, package


def test_no_room_is_a_hall():
  """No utils.py: what a file is for stands in its name."""
  assert not [name for name in MODULES if "util" in name or "helper" in name]


def test_nothing_imports_scripts():
  for _, path in FILES:
    assert not any(is_below(i, "scripts") for i in imports(path)), path


def test_the_package_needs_nothing_that_is_not_asked_for():
  """Importing it all loads no TensorFlow (torch: tensorboardX asks for it).

  Nor what draws charts, before there is one to draw.
  """
  load = (
    "import sys, fcn_jax.training.loop, fcn_jax.prediction.predictor, "
    "fcn_jax.reports.charts, fcn_jax.weights.model_export; "
    "print(*{'tensorflow', 'matplotlib', 'onnx', 'onnxruntime', 'h5py', "
    "'safetensors', 'tifffile', 'pycocotools'} & set(sys.modules))"
  )
  done = subprocess.run(
    [sys.executable, "-c", load], capture_output=True, text=True, check=True
  )
  assert not done.stdout.strip()
