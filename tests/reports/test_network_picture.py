"""fcn_jax.reports.network_picture: lines and bars by hand."""

import re
import xml.etree.ElementTree as ElementTree

from fcn_jax import models
from fcn_jax.models import layers as d
from fcn_jax.models.describe import describe
from fcn_jax.reports import network_picture

SVG = "{http://www.w3.org/2000/svg}"


def describe_named(name: str):
  return describe(name, models.declare(name, 21), 375, 500)


def test_a_chain_has_no_lines_at_its_side():
  assert network_picture.lanes(describe_named("fcn_alexnet").rows) == []


def test_the_lines_of_fcn_8s():
  """What skips layers: pool3 and pool4 to their scores, upscores to sums.

  Lines from pool4 and of the first sum meet, as do those from pool3 with all
  others; the two short ones do not, and share the lane next to the layers.
  """
  rows = describe_named("fcn8s").rows
  names = [row.name for row in rows]
  found = [
    (names[begin], names[end], lane)
    for begin, end, lane in network_picture.lanes(rows)
  ]
  assert found == [
    ("pool3", "score_pool3", 2),
    ("pool4", "score_pool4", 1),
    ("upscore2", "fuse_pool4", 0),
    ("upscore_pool4", "fuse_pool3", 0),
  ]


def test_every_layer_is_there_with_its_size():
  description = describe_named("fcn8s")
  text = network_picture.picture(description)
  root = ElementTree.fromstring(text)
  boxes = [
    [t.text for t in g.findall(f"{SVG}text")] for g in root.findall(f"{SVG}g")
  ]
  assert [box[0] for box in boxes] == [row.name for row in description.rows]
  assert boxes[1] == ["conv1_1", "conv 3 × 3, pad 100", "573 × 698", "× 64"]
  assert boxes[-1] == ["score", "cut to data", "375 × 500", "× 21"]
  # An arrow for each pair that follows, and the four lines.
  arrows = root.findall(f"{SVG}path")
  assert len(arrows) == len(boxes) - 1 - 2 + 4


def test_bars_by_hand():
  """conv1 is half as wide as the image, with 7 channels: 2 + 2 * 3 thick."""
  layers = (
    d.Data("data", mean_bgr=(0.0, 0.0, 0.0)),
    d.Conv("conv1", features=7, kernel=2, stride=2),
  )
  text = network_picture.picture(describe("two", layers, 10, 20))
  bars = re.findall(r'width="([\d.]+)" height="([\d.]+)" rx="1.5"', text)
  assert bars == [("76.0", "6.0"), ("38.0", "8.0")]


def test_names_are_escaped():
  layers = (
    d.Data("<data>", mean_bgr=(0.0, 0.0, 0.0)),
    d.Conv("a&b", features=4, kernel=1),
  )
  root = ElementTree.fromstring(
    network_picture.picture(describe('"<net>"', layers, 8, 8))
  )
  names = [g.find(f"{SVG}text").text for g in root.findall(f"{SVG}g")]
  assert names == ["<data>", "a&b"]
  assert '"<net>"' in root.get("aria-label")
