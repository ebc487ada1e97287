"""FCN-AlexNet on PASCAL VOC 2012 and the Berkeley labels (SBD).

  python scripts/train.py --config=configs/voc_fcn_alexnet_sbd.py \
    --workdir=runs/voc_sbd --config.init.path=converted/bvlc_caffenet

voc-fcn-alexnet of Shelhamer, Long and Darrell (PAMI 2017) on the images that
they train on: sampling with replacement, 20 images an update, 100,000 updates.
They score 48.0 mean IoU on the 736 images of seg11valid.

Data      8498 train of SBD, 736 val (seg11valid), as the data set voc2012_sbd
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
  config.data.name = "voc2012_sbd"
  config.data.order = "with_replacement"
  config.batch_size = 20  # images whose gradients are added up
  config.duration = "100000 steps"
  config.weight_decay = 5e-4
  config.validate_every = "2000 steps"
  config.checkpoint_every = "2000 steps"
  return config
