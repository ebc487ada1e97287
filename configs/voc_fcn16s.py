"""FCN-16s on PASCAL VOC 2012, by the FCN authors' recipe.

  python scripts/train.py --config=configs/voc_fcn16s.py \
    --workdir=runs/voc_fcn16s --config.init.path=runs/voc_fcn32s

voc-fcn16s of Shelhamer, Long and Darrell (PAMI 2017): one image an update, its
loss not normalised, momentum 0.99. They train on SBD's 8498 images and score
65.0 mean IoU on the 736 of seg11valid; this recipe trains on VOC's own 1464.

It starts from a trained FCN-32s; the scores of pool4 start at zero.

Data      1464 train, 1449 val
Hardware
Time
Expected
"""

from ml_collections import ConfigDict

from fcn_jax import default_recipe


def get_config() -> ConfigDict:
  """The heavy recipe: a hundredth of FCN-32s' learning rate, fixed."""
  config = default_recipe("fcn16s")
  config.data.name = "voc2012"
  config.data.order = "with_replacement"
  config.duration = "100000 steps"
  config.loss.normalize = False  # a sum over pixels
  config.base_lr = 1e-12
  config.momentum = 0.99
  config.weight_decay = 5e-4
  config.validate_every = "4000 steps"
  config.checkpoint_every = "4000 steps"
  return config
