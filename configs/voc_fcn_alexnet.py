"""FCN-AlexNet on PASCAL VOC 2012, by the FCN authors' recipe.

  python scripts/train.py --config=configs/voc_fcn_alexnet.py \
    --workdir=runs/voc --config.init.path=converted/bvlc_caffenet

voc-fcn-alexnet of Shelhamer, Long and Darrell (PAMI 2017): sampling with
replacement, 20 images an update, 100,000 updates.  They train on SBD's 8498
images and score 48.0 mean IoU on the 736 of seg11valid; this recipe trains on
VOC's own 1464.

Data      1464 train, 1449 val
Hardware
Time
Expected
"""

from ml_collections import ConfigDict

from fcn_jax import default_recipe


def get_config() -> ConfigDict:
  """The reference recipe: learning rate 1e-4, fixed."""
  config = default_recipe(
    "fcn_alexnet", mean_bgr=(104.00699, 116.66877, 122.67892)
  )
  config.data.name = "voc2012"
  config.data.order = "with_replacement"
  config.batch_size = 20  # images whose gradients are added up
  config.duration = "100000 steps"
  config.weight_decay = 5e-4
  config.validate_every = "2000 steps"
  config.checkpoint_every = "2000 steps"
  return config
