import dataclasses
import io
import pathlib

import jax.numpy as jnp
import numpy as np
import pytest
import small_network
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from small_nets import random_image, randomise

from fcn_jax import models
from fcn_jax.data.augment import Sample
from fcn_jax.evaluation import tiling
from fcn_jax.models import geometry
from fcn_jax.models import layers as d
from fcn_jax.prediction import predictor

GREY = np.full((20, 30, 3), 90, np.uint8)


@pytest.fixture(scope="module")
def light():
  return small_network.predictor(small_network.sees_light())


@pytest.fixture(scope="module")
def noisy():
  return small_network.predictor(small_network.random(3))


def test_labels_and_probabilities_by_hand():
  """exp(ln 1, ln 2, ln 5) / 8 = 0.125, 0.25, 0.625 at the one cell's middle.

  In the corner the scores are (19 / 32) ** 2 of that: exp(0, 0.2443615,
  0.5673897) / 4.0404632.
  """
  net = small_network.predictor(small_network.constant(np.log([1, 2, 5])))
  result = net(GREY)
  assert (result.labels == 2).all()
  assert result.labels.dtype == np.uint8
  assert result.probabilities.dtype == np.float32
  assert result.probabilities.shape == (20, 30, 3)
  np.testing.assert_allclose(
    result.probabilities[13, 13], [0.125, 0.25, 0.625], rtol=1e-5
  )
  corner = np.array([1, 1.2768058, 1.7636574]) / 4.0404632
  np.testing.assert_allclose(result.probabilities[0, 0], corner, rtol=1e-5)
  assert result.shares == {"background": 0, "light": 0, "none": 1}


def test_the_most_likely_classes_by_hand():
  """Softmax of ln 1, 2, 5 is 1/8, 2/8, 5/8; of equals the lower id is first."""
  scores = np.log(np.array([[1, 2, 5], [3, 1, 3]], np.float32)).reshape(
    1, 1, 2, 3
  )
  ids, shares = predictor.most_likely_classes(jnp.asarray(scores), 2)
  assert ids.dtype == jnp.uint8
  assert ids.tolist() == [[[[2, 1], [0, 2]]]]
  np.testing.assert_allclose(
    shares, [[[[0.625, 0.25], [3 / 7, 3 / 7]]]], rtol=1e-5
  )
  ids, _ = predictor.most_likely_classes(jnp.asarray(scores), 9)
  assert ids.tolist() == [[[[2, 1, 0], [0, 2, 1]]]]


def test_light_is_found_where_it_is(light):
  image = np.zeros((64, 192, 3), np.uint8)
  image[:, 96:, 0] = 250
  labels = light(image).labels
  assert (labels[:, 140:] == 1).all()
  assert (labels[:, :40] == 0).all()


def test_red_is_red(light):
  """conv1 reads red, the last of Caffe's BGR."""
  blue = np.zeros((20, 20, 3), np.uint8)
  blue[..., 2] = 250
  assert (light(blue).labels == 0).all()
  assert (light(blue[..., ::-1]).labels == 1).all()


@given(st.integers(1, 64), st.integers(1, 64), st.integers(0, 99))
def test_the_result_does_not_depend_on_the_canvas(noisy, height, width, seed):
  image = np.random.default_rng(seed).integers(
    0, 256, (height, width, 3), np.uint8
  )
  one, other = (
    np.asarray(noisy.scores(noisy.place([Sample(image, None)], canvas)))
    for canvas in [(64, 64), (64, 192)]
  )
  one, other = one[0, :height, :width], other[0, :height, :width]
  tolerance = 1e-5 * max(1, np.ptp(one))
  np.testing.assert_allclose(one, other, atol=tolerance, rtol=0)
  ordered = np.sort(one, axis=-1)
  clear = ordered[..., -1] - ordered[..., -2] > 2 * tolerance
  labels = noisy(image).labels
  np.testing.assert_array_equal(labels[clear], other.argmax(-1)[clear])


def test_a_tight_canvas_and_neighbours_change_nothing(noisy):
  draw = np.random.default_rng(0)
  images = [
    draw.integers(0, 256, (*size, 3), np.uint8) for size in [(33, 47), (21, 50)]
  ]
  part = noisy.place([Sample(image, None) for image in images], (33, 50))
  assert part.label is None
  assert part.extent[:2].tolist() == [[33, 47], [21, 50]]
  together = np.asarray(noisy.scores(part))
  for scores, image in zip(together, images, strict=True):
    height, width = image.shape[:2]
    alone = noisy(image)
    probabilities = np.asarray(predictor.softmax(jnp.asarray(scores[None])))[0]
    np.testing.assert_allclose(
      probabilities[:height, :width], alone.probabilities, atol=1e-5
    )


def test_similar_sizes_share_a_program(noisy):
  noisy(np.zeros((10, 64, 3), np.uint8))
  compiled = tiling.forward._cache_size()
  noisy(np.zeros((64, 1, 3), np.uint8))
  noisy(np.zeros((37, 5), np.uint8))
  assert tiling.forward._cache_size() == compiled
  small_network.predictor(small_network.random(4))(GREY)
  assert tiling.forward._cache_size() == compiled


def encoded(image: Image.Image, form="PNG", **options) -> bytes:
  stream = io.BytesIO()
  image.save(stream, form, **options)
  return stream.getvalue()


def test_all_forms_of_an_image_give_the_same(light, tmp_path):
  array = np.zeros((20, 30, 3), np.uint8)
  array[:, 15:] = 200
  picture = Image.fromarray(array)
  path = tmp_path / "a.png"
  picture.save(path)
  forms = [
    path,
    str(path),
    path.read_bytes(),
    picture,
    picture.convert("RGBA"),
    array[..., 0],
    jnp.asarray(array),
    array[:, ::-1][:, ::-1],
  ]
  for form in forms:
    result = light(form)
    np.testing.assert_array_equal(result.image, array)
    assert result.labels.shape == (20, 30)


def test_unusual_modes(light):
  ramp = np.arange(0, 65536, 8192, dtype=np.uint16)[None].repeat(3, 0)
  sixteen = predictor.as_rgb(encoded(Image.fromarray(ramp)))
  assert sixteen[0, :, 1].tolist() == [0, 32, 64, 96, 128, 159, 191, 223]
  cmyk = Image.new("CMYK", (4, 3), (0, 255, 255, 0))
  assert light(encoded(cmyk, "TIFF")).image[0, 0].tolist() == [255, 0, 0]


def test_the_range_of_the_training_data_is_used(light):
  about = dataclasses.replace(light.about, value_range=[0, 4095])
  net = predictor.Predictor(light.network, about)
  camera = np.array([[0, 2048, 4095, 9999]], np.uint16)
  # 255 * 2048 / 4095 = 127.5; what lies beyond the range is limited to it.
  data = encoded(Image.fromarray(camera))
  assert net(data).image[0, :, 0].tolist() == [0, 128, 255, 255]
  assert light(data).image[0, :, 0].tolist() == [0, 8, 16, 39]


def test_exif_orientation_is_respected(light):
  exif = Image.Exif()
  exif[0x0112] = 6
  data = encoded(Image.new("RGB", (40, 20)), "JPEG", exif=exif)
  assert light(data).labels.shape == (40, 20)
  assert light(Image.open(io.BytesIO(data))).labels.shape == (40, 20)


def test_the_image_given_stays_as_it_is(light):
  array = GREY.copy()
  result = light(array)
  result.image[:] = 0
  result.labels[:] = 9
  np.testing.assert_array_equal(array, GREY)
  picture = Image.new("P", (4, 4))
  picture.info["transparency"] = 0
  light(picture)
  assert picture.info["transparency"] == 0


@pytest.mark.parametrize(
  ("image", "message"),
  [
    (np.zeros((2, 3, 3), np.float32), r"float32 \[2, 3, 3\].*255 \* image"),
    (np.zeros((2, 3, 3), np.uint16), "convert it to uint8"),
    (np.zeros((2, 3, 3), bool), "convert it to uint8"),
    (np.zeros((2, 3, 4), np.uint8), "drop its alpha"),
    (np.zeros((2, 3, 1), np.uint8), "drop its last axis"),
    (np.zeros((1, 2, 3, 3), np.uint8), "one image at a time"),
    (np.zeros((3,), np.uint8), r"give RGB \[height, width, 3\]"),
    (np.zeros((3, 2, 2), np.uint8), r"give RGB \[height, width, 3\]"),
    (np.zeros((0, 2, 3), np.uint8), "no pixels"),
    ("absent.jpg", "absent.jpg: no such file"),
    (pathlib.Path("absent.jpg"), "absent.jpg: no such file"),
    (b"nothing", "not an image"),
  ],
)
def test_what_is_no_image_is_refused(image, message):
  with pytest.raises(ValueError, match=message):
    predictor.as_rgb(image)


def test_one_page_of_several_is_not_taken_silently(light, tmp_path):
  pages = [Image.new("L", (40, 30), value) for value in (0, 255)]
  path = tmp_path / "film.tif"
  pages[0].save(path, save_all=True, append_images=pages[1:])
  for image in (path, path.read_bytes()):
    with pytest.raises(ValueError, match="2 pages or frames, and one image"):
      light(image)
  with Image.open(path) as film:
    film.seek(1)
    assert light(film).labels.shape == (30, 40)


def test_ties_go_to_the_lower_class():
  scores = jnp.asarray([[[[1.0, 2.0, 2.0], [3.0, 3.0, 3.0]]]])
  assert predictor.most_likely(scores).tolist() == [[[1, 0]]]


def test_a_classifier_is_refused():
  about = small_network.about("alexnet")
  net = models.build(about.declaration())
  with pytest.raises(ValueError, match="scores for an image, not for its"):
    predictor.Predictor(net, about)


def test_a_canvas_that_the_network_does_not_take_is_made_larger(monkeypatch):
  """Of 41 x 33 pixels, since the network takes odd sizes alone."""

  def odd(classes):
    return (
      d.Data("data", mean_bgr=(0.0, 0.0, 0.0)),
      d.Conv("conv1", features=4, kernel=3, stride=2),
      d.Conv("score_fr", features=classes, kernel=1, relu=False, head=True),
      d.Upscore("upscore", kernel=3, stride=2),
      d.Crop("upscorec", like="data"),
      d.Scale("score", factor=2.0),
    )

  layers = odd(3)
  assert geometry.crop_offsets(layers) == {"upscorec": 0}
  with pytest.raises(ValueError, match="64 pixels does not fit"):
    geometry.sizes(layers, 64)
  net = randomise(layers, seed=1)
  image = random_image(np.random.default_rng(0), 41, 33)
  result = predictor.Predictor(net, small_network.about())(image)
  alone = np.asarray(net(jnp.asarray(image[None])))[0]
  np.testing.assert_array_equal(result.labels, alone.argmax(-1))
