"""fcn_jax.evaluation.stored_counts: what is read is what was written."""

import dataclasses

import numpy as np
import pytest
from made_up_evaluation import made_up

from fcn_jax.evaluation import stored_counts
from fcn_jax.evaluation.per_image import PerImage


def test_what_is_read_is_what_was_written(tmp_path):
  """Also of what a metric counts beside the confusion matrix."""
  _, evaluation = made_up()
  bands = PerImage.of(np.arange(18).reshape(9, 2))
  evaluation = dataclasses.replace(evaluation, counted={"boundary": bands})
  counts = evaluation.stored(40)
  stored_counts.write(tmp_path / "a.npz", counts)
  found = stored_counts.read(tmp_path / "a.npz")
  assert found.class_names == evaluation.class_names
  assert found.image_ids == evaluation.image_ids
  assert found.step == 40
  whole = found.counts()
  np.testing.assert_array_equal(whole.confusion, evaluation.histogram)
  np.testing.assert_array_equal(whole.right, evaluation.right)
  assert whole.sums["boundary"].tolist() == [72, 81]
  # Image 8 twice and no other: 16 and 17, twice.
  times = np.array([0] * 8 + [2])
  assert found.counts(times).sums["boundary"].tolist() == [32, 34]
  assert found.counts(times).valid.tolist() == [evaluation.valid[8]] * 2


def test_what_are_no_counts_is_one_error(tmp_path):
  path = tmp_path / "a.npz"
  path.write_bytes(b"not an archive")
  with pytest.raises(stored_counts.CountsError, match="delete it"):
    stored_counts.read(path)
  with path.open("wb") as stream:
    np.savez(stream, image_ids=np.array(["a"]))
  with pytest.raises(stored_counts.CountsError, match="no counts of images"):
    stored_counts.read(path)
