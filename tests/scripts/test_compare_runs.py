"""scripts/compare_runs.py and report_run.py, as a user starts them."""

import json

import pytest
from made_up_runs import changed_config as config
from made_up_runs import make_run
from run_scripts import exits, run


@pytest.fixture
def workdirs(tmp_path):
  make_run(tmp_path / "a")
  make_run(tmp_path / "b", config=config(base_lr=1e-3))
  return str(tmp_path / "a"), str(tmp_path / "b")


def test_runs_are_compared(workdirs, tmp_path):
  page = tmp_path / "pages/both.html"
  done = run("scripts/compare_runs.py", *workdirs, f"--output={page}")
  assert done.returncode == 0, done.stderr
  assert "base_lr  0.005  0.001" in done.stdout
  assert "0.4375" in page.read_text()
  done = run(
    "scripts/compare_runs.py",
    "--format=json",
    *workdirs,
    f"--png={tmp_path / 'charts'}",
  )
  found = json.loads(done.stdout)
  assert found["differing_fields"] == {"base_lr": {"a": 0.005, "b": 0.001}}
  assert (tmp_path / "charts/mean_iu.png").stat().st_size > 1000


def test_what_is_no_workdir_is_one_error(workdirs, tmp_path):
  output = tmp_path / "page.html"
  done = run(
    "scripts/compare_runs.py", *workdirs, str(tmp_path), f"--output={output}"
  )
  assert done.returncode == 1
  assert "Traceback" not in done.stderr
  assert f"{tmp_path} is not the workdir" in done.stderr
  assert not output.exists()


def test_a_report_is_drawn_anew(workdirs, tmp_path):
  charts, page = tmp_path / "charts", tmp_path / "other.html"
  wrong, fine = exits(
    "scripts/report_run.py",
    [f"--workdir={tmp_path}"],
    [f"--workdir={workdirs[0]}", f"--output={page}", f"--png={charts}"],
  )
  assert fine is None
  assert "Training of a" in page.read_text()
  assert not (tmp_path / "a/report.html").exists()
  assert len(list(charts.glob("*.png"))) == 5
  assert wrong.startswith(f"error: {tmp_path} is not the workdir")
