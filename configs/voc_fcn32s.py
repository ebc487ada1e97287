"""FCN-32s on PASCAL VOC 2012, by the FCN authors' recipe.

  python scripts/train.py --config=configs/voc_fcn32s.py \
    --workdir=runs/voc_fcn32s --config.init.path=converted/vgg16

voc-fcn32s of Shelhamer, Long and Darrell (PAMI 2017): one image an update, its
loss not normalised, momentum 0.99. They train on SBD's 8498 images and score
63.6 mean IoU on the 736 of seg11valid; this recipe trains on VOC's own 1464.

VGG-16 is converted by scripts/convert_weights.py --model=fcn32s
--download=vgg16 --output=converted/vgg16.

Data      1464 train, 1449 val
Hardware
Time
Expected
"""

from ml_collections import ConfigDict

from fcn_jax import default_recipe


def get_config() -> ConfigDict:
  """The heavy recipe: the learning rate 1e-10, fixed."""
  config = default_recipe("fcn32s")
  config.data.name = "voc2012"
  config.data.order = "with_replacement"
  config.duration = "100000 steps"
  config.loss.normalize = False  # a sum over pixels
  config.base_lr = 1e-10
  config.momentum = 0.99
  config.weight_decay = 5e-4
  config.validate_every = "4000 steps"
  config.checkpoint_every = "4000 steps"
  return config
