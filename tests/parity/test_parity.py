"""fcn_jax.parity: Caffe's figures, and a comparison that can fail.

What is compared with Caffe, here and by scripts/compare_caffe.py, is compared
by one and the same code.
"""

import json

import jax
import numpy as np
import pytest
from places import GOLDEN
from small_nets import random_image, randomise, reference_blobs

from fcn_jax import models, parity
from fcn_jax.models import layers as d
from fcn_jax.parity import comparison, golden

# Of tests/golden: how many comparisons of each kind, so that none is lost.
KINDS = {
  "layers": {
    "pooling": 43,
    "pooling, gradient": 43,
    "LRN": 3,
    "LRN, gradient": 3,
    "convolution": 4,
    "convolution, gradient of input": 4,
    "convolution, gradient of weight": 4,
    "convolution, gradient of bias": 4,
    "upscore and crop": 2,
    "upscore and crop, gradient": 2,
    "bilinear filler": 7,
    "ReLU": 1,
    "ReLU, gradient": 1,
    "softmax loss, valid": 21,
    "softmax loss": 20,
    "softmax loss, gradient": 21,
    "accuracy, valid": 4,
    "accuracy": 4,
  },
  "alexnet": {
    "classifier's blobs": 8,
    "blobs after surgery": 10,
    "labels": 2,
  },
  "caffemodels": {
    "weights read": 49,
    "weights exported and read": 33,
    "weights exported, read and copied": 32,
  },
  "fcn_alexnet": {
    "declared layers": 1,
    "blobs": 14,
    "scores": 6,
    "sums of scores": 3,
    "labels": 3,
    "scores in a batch": 3,
    "sums of scores in a batch": 3,
    "labels in a batch": 3,
  },
  "fcn_vgg": {
    "declared layers": 4,
    "blobs": 43,
    "scores": 16,
    "sums of scores": 12,
    "labels": 12,
    "scores in a batch": 4,
    "sums of scores in a batch": 12,
    "labels in a batch": 12,
  },
  "sgd": {
    "declared layers": 1,
    "gradients": 16,
    "learning rates": 14,
    "norms of weights": 14 * 6 * 16,
    "sums of weights": 14 * 6 * 16,
    "losses": 120,
    "weights at the end": 128,
    "history at the end": 96,
    "norms of weights, drawn as a batch": 4 * 6 * 16,
    "sums of weights, drawn as a batch": 4 * 6 * 16,
    "losses, drawn as a batch": 60,
    "weights at the end, drawn as a batch": 52,
    "history at the end, drawn as a batch": 48,
  },
  "metrics": {
    "confusion matrix": 6,
    "pixel accuracy": 6,
    "mean accuracy": 6,
    "mean IoU": 6,
    "frequency-weighted IoU": 6,
    "IoU of each class": 6,
  },
  "geometry": {
    "heights of blobs": 96,
    "blobs without counterpart": 4,
    "crop offsets": 7,
    "room beyond the crop": 7,
    "sizes of rectangles": 8,
  },
}
LEFT_OUT = {
  "deconv_k4_s2_g2": "not bilinear",
  "deconv_k4_s2_dense": "not bilinear",
  "deconv_k16_s8_crop31": "not bilinear",
  "softmax_loss_normalize_true_no_ignored_saturated": "caps a pixel's loss",
  "accuracy_random_top5": "only top 1",
  "accuracy_many_ties_top2": "only top 1",
}


def compare(folder, *groups) -> list[comparison.Comparison]:
  return list(parity.compare(folder, groups or tuple(parity.GROUPS)))


def check(found) -> None:
  beyond = [one for one in found if not one.left_out and not one.holds]
  assert not beyond, comparison.table(beyond)


def kinds(found) -> dict[str, int]:
  counts: dict[str, int] = {}
  for one in found:
    if not one.left_out:
      counts[one.what] = counts.get(one.what, 0) + 1
  return counts


@pytest.mark.parametrize("group", parity.GROUPS)
def test_ours_are_caffes(group):
  found = compare(GOLDEN, group)
  check(found)
  assert kinds(found) == KINDS[group]
  left_out = {one.case: one.left_out for one in found if one.left_out}
  expected = LEFT_OUT if group == "layers" else {}
  assert left_out.keys() == expected.keys()
  for case, reason in expected.items():
    assert reason in left_out[case]


@pytest.mark.parametrize(
  "backend", [pytest.param("cpu", marks=pytest.mark.exhaustive), "gpu"]
)
def test_both_forms_of_the_convolutions_are_caffes(backend, monkeypatch):
  """Computed on whatever there is; on a CPU its own are compared above."""
  monkeypatch.setattr(jax, "default_backend", lambda: backend)
  check(compare(GOLDEN, "layers"))


def test_our_networks_stand_in_the_figures():
  """VGG-16 is the trunk of the four; its own numbers: see test_proof."""
  compared = {"fcn_alexnet", "alexnet"}
  compared |= json.loads((GOLDEN / "fcn_vgg.json").read_text())["nets"].keys()
  ours = {"fcn_alexnet", "fcn32s", "fcn16s", "fcn8s", "fcn8s_atonce"}
  assert compared == ours | {"alexnet"}
  assert ours | {"alexnet", "vgg16"} <= models.NETWORKS.keys()


# Figures of another source than Caffe: numpy, float64, other seeds and sizes.


def dump(folder, name: str, described: dict, arrays: dict) -> None:
  (folder / f"{name}.json").write_text(json.dumps(described))
  np.savez(folder / f"{name}.npz", **arrays)


def stored_net(net: models.Network) -> dict[str, np.ndarray]:
  """Its weights by Caffe's names, in Caffe's shapes."""
  arrays = {}
  for layer in net.layers:
    if isinstance(layer, d.Conv):
      weights = getattr(net, layer.name)
      kernel = np.asarray(weights.kernel[...]).transpose(3, 2, 0, 1)
      arrays[f"w/{layer.name}_0"] = kernel
      arrays[f"w/{layer.name}_1"] = np.asarray(weights.bias[...])
  return arrays


def computed(net, image, size: str, prefix: str = "") -> dict:
  """Scores of one image by the plain reference, as a folder has them."""
  blobs = reference_blobs(net, image)
  score = blobs["score"]
  sums = [score.sum((0, 1)), np.abs(score).sum((0, 1))]
  cells = blobs["score_fr"].transpose(2, 0, 1)[None]
  return {
    f"{prefix}score_fr/{size}": cells.astype(np.float32),
    f"{prefix}score/{size}": score.transpose(2, 0, 1)[None].astype(np.float32),
    f"{prefix}argmax/{size}": score.argmax(-1).astype(np.uint8),
    f"{prefix}score_sums/{size}": np.array(sums),
  }


def described_anew(name: str, net: list[dict], width, classes: int):
  """(the description, the declaration) of a net of other widths."""
  declared = models.declare(name, classes, width=width)
  features = {x.name: x.features for x in declared if isinstance(x, d.Conv)}
  features |= dict.fromkeys(
    (x.name for x in declared if isinstance(x, d.Upscore)), classes
  )
  changed = [
    layer | {"num_output": features[layer["name"]]}
    if "num_output" in layer
    else layer
    for layer in net
  ]
  return changed, declared


def test_another_folder_of_other_seeds_sizes_and_widths(tmp_path):
  """Without a batch of the files, and with numbers of numpy's in float64."""
  rng = np.random.default_rng(11)
  sizes = [(23, 34), (40, 17)]
  names = [golden.size_name(size) for size in sizes]
  images = [random_image(rng, *size) for size in sizes]
  cases = [{"size": size, "score_stride": 1} for size in sizes]
  pictures = {f"image/{n}": x for n, x in zip(names, images, strict=True)}

  described = json.loads((GOLDEN / "fcn_alexnet.json").read_text())
  width, classes = (8, 6, 10, 14, 4, 18, 10), 4
  changed, declared = described_anew(
    "fcn_alexnet", described["net"], width, classes
  )
  net = randomise(declared, seed=3)
  arrays = stored_net(net) | pictures
  for image, name in zip(images, names, strict=True):
    arrays |= computed(net, image, name)
  described |= {"net": changed, "cases": cases, "blobs_case": ""}
  dump(tmp_path, "fcn_alexnet", described, arrays)

  described = json.loads((GOLDEN / "fcn_vgg.json").read_text())
  width, classes = (4, 4, 6, 6, 8, 10, 12), 3
  arrays, about = dict(pictures), {}
  for seed, name in enumerate(("fcn16s", "fcn8s_atonce")):
    changed, declared = described_anew(
      name, described["nets"][name]["net"], width, classes
    )
    about[name] = {"net": changed, "cases": cases}
    net = randomise(declared, seed)
    for key, value in stored_net(net).items():
      arrays[key.replace("w/", f"w/{name}/")] = value
    for image, size in zip(images, names, strict=True):
      arrays |= computed(net, image, size, f"{name}/")
  described |= {"nets": about, "blobs_case": ""}
  dump(tmp_path, "fcn_vgg", described, arrays)

  found = compare(tmp_path)
  check(found)
  assert {one.group for one in found} == {"fcn_alexnet", "fcn_vgg"}
  counts = {
    "declared layers": 3,
    "scores": 12,
    "sums of scores": 6,
    "labels": 6,
    "scores in a batch": 6,
    "sums of scores in a batch": 6,
    "labels in a batch": 6,
  }
  assert kinds(found) == counts
