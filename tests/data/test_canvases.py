"""fcn_jax.data.canvases: little padding, and no image without a canvas."""

import itertools
import json

import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest

from fcn_jax.data.canvases import (
  assign,
  canvases_of_one_pass,
  choose_canvases,
)


def padded_area(sizes, canvases) -> int:
  """Pixels of all canvases, each image on the smallest that holds it."""
  area = np.prod(np.asarray(canvases, np.int64), 1)
  return int(area[assign(sizes, canvases)].sum())


def optimum(sizes, most: int) -> int:
  """By trying every set of canvases made of the heights and widths there."""
  edges = list(itertools.product(*(sorted(set(n)) for n in sizes.T.tolist())))
  edges.sort(key=lambda canvas: canvas[0] * canvas[1])
  found = []
  for chosen in itertools.combinations(edges, min(most, len(edges))):
    holds = (np.array(chosen)[None] >= sizes[:, None]).all(-1)
    if holds.any(1).all():
      found.append(padded_area(sizes, chosen))
  return min(found)


def test_by_hand():
  """Two portraits 4 x 2 and two landscapes 2 x 4 on one canvas: 4 x 4.

  On two, each has its own; a third has nothing left to save.
  """
  sizes = np.array([[4, 2], [2, 4], [4, 2], [2, 4]])
  assert choose_canvases(sizes, 1) == ((4, 4),)
  assert choose_canvases(sizes, 2) == ((2, 4), (4, 2))
  assert choose_canvases(sizes, 3) == ((2, 4), (4, 2))


def test_the_common_size_gets_its_own_canvas():
  """With 2 canvases and 9 of 10 images of 2 x 2, those are not padded."""
  sizes = np.array([[2, 2]] * 9 + [[3, 3]] + [[10, 9]])
  assert choose_canvases(sizes, 2) == ((3, 3), (10, 9))
  assert padded_area(sizes, ((3, 3), (10, 9))) == 180
  assert padded_area(sizes, ((2, 2), (10, 9))) == 216


@hypothesis.given(
  sizes=hnp.arrays(
    np.int32,
    st.tuples(st.integers(1, 7), st.just(2)),
    elements=st.integers(1, 9),
  ),
  most=st.integers(1, 3),
)
def test_no_set_of_canvases_is_better(sizes, most):
  canvases = choose_canvases(sizes, most)
  assert 1 <= len(canvases) <= most
  assert set(assign(sizes, canvases)) == set(range(len(canvases)))
  assert len(set(canvases)) == len(canvases)
  assert list(canvases) == sorted(canvases, key=lambda c: (c[0] * c[1], c))
  assert padded_area(sizes, canvases) == optimum(sizes, most)


def test_many_sizes_are_searched_well(monkeypatch):
  """Where trying all sets would take too long: 6 % more pixels at most, and
  2 % on average."""
  monkeypatch.setattr("fcn_jax.data.canvases._FEW_SETS", 0)
  rng = np.random.default_rng(2)
  more = []
  for _ in range(20):
    sizes = rng.integers(30, 61, (6, 2))
    ours = padded_area(sizes, choose_canvases(sizes, 2))
    more.append(ours / optimum(sizes, 2))
  assert max(more) < 1.06
  assert np.mean(more) < 1.02


def test_thousands_of_sizes_take_no_time():
  """Of 3000 sizes, 64 heights and widths are tried; the largest are two."""
  rng = np.random.default_rng(3)
  sizes = np.concatenate(
    [rng.integers(200, 1200, (3000, 2)), [[1300, 200], [200, 1400]]]
  )
  canvases = choose_canvases(sizes, 3)
  assert len(canvases) == 3
  ours = padded_area(sizes, canvases)
  few = (*choose_canvases(sizes[:100], 3), (1300, 1400))
  assert ours < 1.1 * padded_area(sizes, few)


def test_more_canvases_never_cost_more():
  sizes = np.random.default_rng(0).integers(20, 60, (50, 2))
  areas = [padded_area(sizes, choose_canvases(sizes, n)) for n in range(1, 7)]
  assert areas == sorted(areas, reverse=True)
  assert areas[-1] < areas[0]


def test_each_image_goes_to_the_smallest_canvas_that_holds_it():
  canvases = ((3, 5), (5, 3), (5, 5))
  sizes = np.array([[3, 5], [3, 3], [4, 3], [4, 4], [1, 1]])
  assert assign(sizes, canvases).tolist() == [0, 0, 1, 2, 0]


def test_an_image_that_fits_nowhere_is_named():
  with pytest.raises(ValueError, match=r"an image of 6x1 .* canvases 5x5, 2x9"):
    assign(np.array([[5, 5], [6, 1]]), ((5, 5), (2, 9)))


@pytest.mark.parametrize("most", [0, -1])
def test_no_canvases_or_no_images_are_refused(most):
  with pytest.raises(ValueError, match=f"2 images, at most {most}"):
    choose_canvases(np.ones((2, 2), int), most)
  with pytest.raises(ValueError, match="canvases for 0 images"):
    choose_canvases(np.ones((0, 2), int), 1)


@pytest.mark.parametrize(
  ("most", "expected", "more"),
  [
    (1, ((500, 500),), 1.40),
    (3, ((375, 500), (500, 375), (500, 500)), 1.08),
    (4, None, 1.05),
  ],
)
def test_voc_2012(most, expected, more, shared):
  """What the canvases of PASCAL VOC's train and val cost in pixels."""
  path = shared / "data/voc2012_statistics.json"
  statistics = json.loads(path.read_text())
  sizes = np.concatenate(
    [
      np.repeat([[height, width]], count, 0)
      for split in ("train", "val")
      for height, width, count in statistics[split]["sizes_height_width_count"]
    ]
  )
  assert len(sizes) == 1464 + 1449
  assert len(np.unique(sizes, axis=0)) == 387
  canvases = choose_canvases(sizes, most)
  if expected:
    assert canvases == expected
  ratio = padded_area(sizes, canvases) / sizes.astype(np.int64).prod(1).sum()
  assert ratio == pytest.approx(more, abs=0.006)


@pytest.mark.parametrize(("images", "canvases"), [(18, 1), (22, 2)])
def test_a_canvas_more_has_to_pay_in_one_pass(images, canvases):
  """Portraits and landscapes: a square for both wastes 100 x 500 each."""
  sizes = np.array([[500, 400], [400, 500]] * (images // 2))
  found = canvases_of_one_pass(sizes, 3)
  assert found == choose_canvases(sizes, canvases)
  assert len(found) == canvases
  assert len(canvases_of_one_pass(sizes, 1)) == 1


def test_one_pass_needs_canvases():
  with pytest.raises(ValueError, match="must be at least 1"):
    canvases_of_one_pass(np.array([[2, 2]]), 0)
