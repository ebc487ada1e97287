"""An evaluation of small images, for tests of what shows one."""

import numpy as np
from stored_data import StoredDataset

from fcn_jax.data.augment import Sample
from fcn_jax.evaluation.per_image import PerImage
from fcn_jax.evaluation.scores import Evaluation

NAMES = ("background", "cat & <dog>", "tree", "never")
IMAGES = 9


def made_up() -> tuple[StoredDataset, Evaluation]:
  """Images that are right in blocks, ever less so; one of void alone.

  Image 1 has two wrong pixels, of two classes that are not there: its mean IoU
  is near 1/3.
  """
  rng = np.random.default_rng(0)
  samples, predictions, confusions = [], {}, []
  for i in range(IMAGES):
    height, width = 16 + i, 24
    label = rng.integers(0, 3, (height // 8 + 1, 3)).repeat(8, 0).repeat(8, 1)
    label = label[:height].astype(np.uint8)
    label[0, :3] = 255
    prediction = label.copy()
    prediction[label == 255] = 0
    prediction[: 2 * i] = rng.integers(0, 3, (2 * i, width))
    prediction[-1, width - 2 * i :] = 1
    if i == 1:
      label[:] = prediction[:] = 0
      prediction[0, :2] = 1, 2
    if i == 5:
      label[:] = 255
    valid = label != 255
    histogram = np.zeros((4, 4), np.int32)
    np.add.at(histogram, (label[valid], prediction[valid]), 1)
    confusions.append(histogram)
    image = rng.integers(0, 256, (height, width, 3), np.uint8)
    samples.append(Sample(image, label))
    predictions[f"id{i}"] = prediction
  dataset = StoredDataset(samples, NAMES)
  dataset.palette[:4] = [(0, 0, 0), (200, 0, 0), (0, 160, 80), (9, 9, 200)]
  confusions = np.array(confusions)
  valid = confusions.sum((1, 2))
  return dataset, Evaluation(
    class_names=NAMES,
    image_ids=dataset.ids("train"),
    confusions=PerImage.of(confusions),
    losses=np.full(len(valid), 0.5),
    valid=valid,
    right=np.trace(confusions, axis1=1, axis2=2),
    pixels=dataset.sizes("train").astype(np.int64).prod(1),
    predictions=predictions,
  )
