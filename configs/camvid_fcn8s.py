"""FCN-8s at once on CamVid, 11 classes at 360 x 480.

  python scripts/train.py --config=configs/camvid_fcn8s.py \
    --workdir=runs/camvid_fcn8s --config.init.path=converted/vgg16_camvid

A pretrained FCN-8 is published with 57.0 mean IoU on test. val is one stretch
of film and does not track test: score on test with scripts/evaluate.py
--checkpoint=runs/camvid_fcn8s --split=test.

VGG-16 is converted by scripts/convert_weights.py --model=fcn8s_atonce
--download=vgg16 --output=converted/vgg16_camvid.

Data      367 train, 101 val, 233 test
Hardware
Time
Expected
"""

from ml_collections import ConfigDict

from fcn_jax import default_recipe


def get_config() -> ConfigDict:
  """Crops of scaled images, rare classes by weight, AdamW."""
  config = default_recipe(
    "fcn8s_atonce",
    lr_policy="poly",
    optimizer="adamw",
    augment=("random_scale", "fixed_crop", "photometric"),
  )
  config.data.name = "camvid"
  config.data.mirror = True  # flip half of the images left to right
  config.data.max_canvases = 1
  config.augment.fixed_crop.height = 352
  config.augment.fixed_crop.width = 352
  config.loss.class_weights = "median_frequency"
  config.batch_size = 4  # images whose gradients are added up
  config.duration = "150 epochs"
  config.base_lr = 3e-5
  config.lr_power = 0.9
  config.lr_mult = {"score*": 10.0}  # zero scores learn faster
  config.validate_every = "5 epochs"
  config.checkpoint_every = "5 epochs"
  return config
