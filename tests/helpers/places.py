"""Where the tests find what they need."""

import pathlib

ROOT = pathlib.Path(__file__).parents[2]
SCRIPTS = ROOT / "scripts"
CONFIGS = ROOT / "configs"
GOLDEN = ROOT / "tests/golden"
# Data that is not ours to publish; tests that need it are skipped without it.
SHARED = ROOT.parent / "shared"
