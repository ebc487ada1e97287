import numpy as np
import pytest

from fcn_jax.data.shapes import scenes


def square_scene():
  """Object 1, a mug (4), in rows and columns 10..19 of 30x40."""
  instances = np.zeros((30, 40), np.uint8)
  instances[10:20, 10:20] = 1
  return scenes.Scene(
    image=np.zeros((30, 40, 3), np.uint8),
    instances=instances,
    classes=(4,),
    truncated=(False,),
    occluded=(False,),
  )


def test_label_of_a_square_by_hand():
  label = scenes.label_of(square_scene())
  assert label.dtype == np.uint8
  # Across row 15: two void pixels on either side of each outline.
  expected = [0] * 8 + [255] * 4 + [4] * 6 + [255] * 4 + [0] * 18
  assert label[15].tolist() == expected
  assert label[:, 15].tolist() == expected[:30]
  # The window has no corners: (8, 8) is 2 + 2 away from the square.
  assert label[8, 8] == 0
  assert label[8, 9] == 255
  assert (label == 4).sum() == 36
  # 14x14 less the 4 corners, less the 36 inside.
  assert (label == 255).sum() == 14 * 14 - 4 - 36


def test_boxes_of_a_square_by_hand():
  assert scenes.boxes_of(square_scene()) == [(11, 11, 20, 20)]


def test_touching_objects_of_one_class_are_parted_by_void():
  instances = np.ones((9, 12), np.uint8)
  instances[:, 6:] = 2
  scene = scenes.Scene(
    np.zeros((9, 12, 3), np.uint8), instances, (3, 3), (True,) * 2, (False,) * 2
  )
  row = [3, 3, 3, 3, 255, 255, 255, 255, 3, 3, 3, 3]
  assert (scenes.label_of(scene) == row).all()
  assert scenes.boxes_of(scene) == [(1, 1, 6, 9), (7, 1, 12, 9)]


@pytest.mark.parametrize("seed", range(12))
def test_scenes_hold_what_they_say(seed):
  height, width = [(160, 208), (208, 160), (151, 201)][seed % 3]
  scene = scenes.draw_scene(np.random.default_rng(seed), height, width)
  assert scene.image.shape == (height, width, 3)
  assert scene.image.dtype == scene.instances.dtype == np.uint8
  count = len(scene.classes)
  assert 1 <= count <= 3
  assert set(np.unique(scene.instances)) == set(range(count + 1))
  assert all(1 <= c < len(scenes.CLASS_NAMES) for c in scene.classes)
  label = scenes.label_of(scene)
  assert set(np.unique(label)) <= {0, scenes.VOID, *scene.classes}
  for box, truncated in zip(
    scenes.boxes_of(scene), scene.truncated, strict=True
  ):
    xmin, ymin, xmax, ymax = box
    assert max(xmax - xmin, ymax - ymin) < scenes.DIAMETERS[1] + 2
    at_edge = xmin == 1 or ymin == 1 or xmax == width or ymax == height
    assert truncated or not at_edge


def test_a_pixel_keeps_the_object_drawn_last():
  # Drawn with overlap allowed for, an occluded object loses pixels to another.
  found = 0
  for seed in range(40):
    scene = scenes.draw_scene(np.random.default_rng(seed), 160, 208)
    assert not scene.occluded[-1]
    found += any(scene.occluded)
  assert found > 0


def test_the_seed_decides():
  def draw(seed):
    rng = np.random.default_rng(seed)
    return scenes.draw_scene(rng, 48, 64, (24.0, 36.0)).image

  assert (draw(0) == draw(0)).all()
  assert (draw(0) != draw(1)).any()
