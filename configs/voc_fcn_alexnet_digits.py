"""FCN-AlexNet on PASCAL VOC 2012, as the NVIDIA DIGITS tutorial trains it.

  python scripts/train.py --config=configs/voc_fcn_alexnet_digits.py \
    --workdir=runs/voc_digits --config.init.path=converted/bvlc_alexnet

Data      1464 train, 1449 val; images in file-name order, batch 1, no seed
Hardware
Time
Expected
"""

from ml_collections import ConfigDict

from fcn_jax import default_recipe


def get_config() -> ConfigDict:
  """DIGITS' recipe: 30 epochs, learning rate 1e-4 stepped at 33 %."""
  config = default_recipe("fcn_alexnet", lr_policy="step")
  config.data.name = "voc2012"
  config.data.order = "sequential"
  config.weight_decay = 1e-6
  return config
