"""scripts/pack_voc_submission.py as a user runs it."""

import tarfile

from run_scripts import ROOT, exits, run
from small_data import label, voc_files, write

from fcn_jax.data.formats import Voc
from fcn_jax.data.prepare import Output, prepare_dataset

SCRIPT = str(ROOT / "scripts/pack_voc_submission.py")


def test_from_a_list_and_from_a_data_set(tmp_path):
  write(tmp_path, voc_files())
  tree = tmp_path / "VOCdevkit/VOC2012"
  masks = write(tmp_path / "out/masks", {"c.png": label(0, 20)}).parent
  sets = str(tmp_path / "sets")
  prepare_dataset(
    Voc(devkit=str(tmp_path)), Output(data_dir=sets), say=lambda _: None
  )
  # d has an image in the tree, e has none.
  write(tmp_path, {"mine.txt": "d\n", "more/d.png": label(1)})
  output = str(tmp_path / "results.tar.gz")
  common = [f"--predictions={masks}", f"--output={output}"]
  val = f"--ids={tree}/ImageSets/Segmentation/val.txt"
  found = exits(
    SCRIPT,
    [*common, "--data=voc2012", f"--data_dir={sets}", "--split=train"],
    [*common, val, f"--images={tree}/JPEGImages", "--competition=comp5"],
    [
      f"--predictions={tmp_path}/more",
      f"--output={tmp_path}/test.tar",
      f"--ids={tmp_path}/mine.txt",
    ],
    [
      *common[:1],
      f"--output={tmp_path}/again.tar",
      "--data=voc2012",
      f"--data_dir={sets}",
    ],
    [*common, val],
  )
  assert found[0].startswith("error: 3 mistakes; nothing was written")
  assert found[1:4] == [None] * 3
  assert found[4] == (
    f"error: --output={output} is there already; remove it or name another file"
  )
  names = []
  for path in (output, tmp_path / "test.tar", tmp_path / "again.tar"):
    with tarfile.open(path) as tar:
      names += tar.getnames()
  assert names == [
    "results/VOC2012/Segmentation/comp5_val_cls/c.png",
    "results/VOC2012/Segmentation/comp6_test_cls/d.png",
    "results/VOC2012/Segmentation/comp6_val_cls/c.png",
  ]


def test_what_it_says(tmp_path):
  write(tmp_path, {"test.txt": "a\n", "masks/a.png": label(1)})
  done = run(
    SCRIPT,
    f"--predictions={tmp_path}/masks",
    f"--ids={tmp_path}/test.txt",
    f"--output={tmp_path}/out.tar",
  )
  assert done.returncode == 0, done.stderr
  assert done.stdout.splitlines() == [
    f"{tmp_path}/out.tar: 1 predictions, the first is "
    "results/VOC2012/Segmentation/comp6_test_cls/a.png",
    "their sizes were not checked; --images=JPEGImages does",
  ]
