import numpy as np
import pytest

from fcn_jax.data.shapes import drawings


def frame(side):
  """A sketch whose frame is [-1, 1] in both directions."""
  line = (np.arange(side, dtype=np.float32) + 0.5) * (2 / side) - 1
  x, y = np.meshgrid(line, line)
  return drawings.Sketch(x, y, 2 / side)


def at(function, points, *args):
  x, y = np.array(points, np.float64).T[:, None, :]
  return function(x, y, *args)[0]


def test_distances_by_hand():
  # 3-4-5 triangles: 5 from the centre, and 5 from the corner of the box.
  assert at(drawings.disc, [(3, 4), (0, 0)], 2.0) == pytest.approx([3, -2])
  points = [(5, 6), (3, 0), (0, 0)]
  assert at(drawings.box, points, 2.0, 2.0, 0.0) == pytest.approx([5, 1, -2])
  points = [(2, 3), (8, 4)]
  distance = at(drawings.capsule, points, (0, 0), (5, 0), 1.0)
  assert distance == pytest.approx([2, 4])
  points = [(3, 0), (0, 2), (4, 0)]
  distance = at(drawings.ellipse, points, 3.0, 2.0)
  assert distance[:2] == pytest.approx([0, 0])
  # k = 4/3, gradient 4/9: (1/3)(4/3)/(4/9) = 1, the true distance.
  assert distance[2] == pytest.approx(1)


def test_stripes_by_hand():
  # Period 4, a quarter filled: the band lies from 1.5 to 2.5.
  t = np.array([[2.0, 1.5, 0.0, 6.0]])
  distance = drawings.stripes(t, 4.0, 0.25)
  assert distance[0] == pytest.approx([-0.5, 0.0, 1.5, -0.5])


def test_coverage_adds_up_to_the_area():
  sketch = frame(80)
  sketch.part(drawings.disc(sketch.x, sketch.y, 0.7), drawings.WHITE)
  area = sketch.alpha.sum() * sketch.pixel**2
  assert area == pytest.approx(np.pi * 0.49, rel=2e-3)
  # An antialiased edge has in-between values, and no dark fringe.
  edge = (sketch.alpha > 0) & (sketch.alpha < 1)
  assert edge.any()
  assert sketch.colour[edge] == pytest.approx(0.97, abs=1e-4)


@pytest.mark.parametrize("name", drawings.THINGS)
def test_things_are_compact_and_vary(name):
  sketches = []
  for seed in range(8):
    sketch = frame(64)
    drawings.THINGS[name](sketch, np.random.default_rng(seed))
    sketches.append(sketch)
    outside = np.hypot(sketch.x, sketch.y) > 1.06
    assert sketch.alpha[outside].max() == 0
    assert 0.35 < sketch.alpha.sum() * sketch.pixel**2 / np.pi < 0.85
    assert np.isfinite(sketch.colour).all()
  colours = [s.colour[s.alpha == 1].mean(0) for s in sketches]
  assert np.std(colours, axis=0).max() > 0.05


def test_hsv_by_hand():
  assert drawings.hsv(1 / 3, 1, 0.5) == pytest.approx([0, 0.5, 0], abs=1e-6)
  assert drawings.hsv(-1 / 3, 1, 1) == pytest.approx([0, 0, 1], abs=1e-6)


def test_one_of_keeps_to_its_ranges():
  rng = np.random.default_rng(0)
  drawn = [drawings.one_of(rng, (0, 1), (5, 6)) for _ in range(200)]
  low = [value for value in drawn if 0 <= value < 1]
  high = [value for value in drawn if 5 <= value < 6]
  assert len(low) + len(high) == 200
  assert 70 < len(low) < 130
