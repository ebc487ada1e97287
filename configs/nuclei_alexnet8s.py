"""FCN-AlexNet with two skips on microscope images, nucleus or background.

  python scripts/train.py --config=configs/nuclei_alexnet8s.py \
    --workdir=runs/nuclei --config.init.path=converted/bvlc_alexnet8s

Any data set of small objects does: name it with --config.data.name=.

AlexNet is converted by scripts/convert_weights.py --model=fcn_alexnet8s
--download=bvlc_alexnet --output=converted/bvlc_alexnet8s.

Data      120 train, 40 val, 40 test
Hardware
Time
Expected
"""

from ml_collections import ConfigDict

from fcn_jax import default_recipe


def get_config() -> ConfigDict:
  """Turned, scaled and recoloured images: a microscope knows no up."""
  config = default_recipe(
    "fcn_alexnet8s",
    lr_policy="poly",
    augment=("random_scale", "affine", "fixed_crop", "photometric"),
  )
  config.data.name = "nuclei"
  config.data.mirror = True  # flip half of the images left to right
  config.data.max_canvases = 1
  config.augment.affine.degrees = 180.0
  config.augment.affine.probability = 1.0
  config.augment.fixed_crop.height = 256
  config.augment.fixed_crop.width = 256
  config.batch_size = 4  # images whose gradients are added up
  config.duration = "100 epochs"
  config.base_lr = 2e-3
  config.lr_power = 0.9
  config.weight_decay = 5e-4
  config.clip_gradients = 20.0  # largest L2 norm of the sum of gradients
  config.validate_every = "5 epochs"
  config.checkpoint_every = "5 epochs"
  return config
