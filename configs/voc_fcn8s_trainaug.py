"""FCN-8s at once on trainaug (PASCAL VOC 2012 and SBD), by a recipe of today.

  python scripts/train.py --config=configs/voc_fcn8s_trainaug.py \
    --workdir=runs/voc_fcn8s_trainaug \
    --config.init.path=converted/vgg16_atonce

Random scales, crops, mirrors and colours; a poly schedule. The best public
FCN-8s found is trained so, with Adam at 1e-5, and scores 68.5 mean IoU on VOC
2012 val.

VGG-16 is converted by scripts/convert_weights.py --model=fcn8s_atonce
--download=vgg16 --output=converted/vgg16_atonce.

Data      10582 train (trainaug), 1449 val, as the data set voc2012_trainaug
Hardware
Time
Expected
"""

from ml_collections import ConfigDict

from fcn_jax import default_recipe


def get_config() -> ConfigDict:
  """SGD with a normalised loss, from VGG-16 in one stage."""
  config = default_recipe(
    "fcn8s_atonce",
    lr_policy="poly",
    optimizer="sgd",
    augment=("random_scale", "fixed_crop", "photometric"),
  )
  config.data.name = "voc2012_trainaug"
  config.data.mirror = True  # flip half of the images left to right
  config.data.max_canvases = 1
  config.augment.fixed_crop.cat_max_ratio = 0.75
  config.batch_size = 16  # images whose gradients are added up
  config.duration = "50 epochs"
  config.base_lr = 1e-3
  config.lr_power = 0.9
  config.lr_mult = {"score*": 10.0}  # zero scores learn faster
  config.weight_decay = 5e-4
  config.clip_gradients = 160.0  # largest L2 norm of the sum of gradients
  return config
