"""FCN-8s at once on CamVid, 11 classes at 360 x 480.

  python scripts/train.py --config=configs/camvid_fcn8s.py \
    --workdir=runs/camvid_fcn8s --config.init.path=converted/vgg16_camvid

A pretrained FCN-8 is published with 57.0 mean IoU on test. val is one stretch
of film and does not track test: score on test with scripts/evaluate.py
--checkpoint=runs/camvid_fcn8s --split=test.

VGG-16 is converted by scripts/convert_weights.py --model=fcn8s_atonce
--download=vgg16 --output=converted/vgg16_camvid and --class_names=FILE, of
CamVid's 11 classes.

Data      367 train, 101 val, 233 test
Hardware  one NVIDIA H200 that six more trainings shared, precision bfloat16
Time      2 minutes for the 10 epochs that were measured
Expected  mean IoU 0.60 on test after 10 of the 30 epochs, with fc6 and fc7 of
          1024 features from random weights (docs/results.md)
"""

from ml_collections import ConfigDict

from fcn_jax import default_recipe


def get_config() -> ConfigDict:
  """AdamW on nearly whole images."""
  config = default_recipe(
    "fcn8s_atonce",
    lr_policy="cosine",
    optimizer="adamw",
    augment=("fixed_crop",),
  )
  config.data.name = "camvid"
  config.data.max_canvases = 1
  config.data.part_size = 4  # images per forward pass; results do not change
  config.augment.fixed_crop.height = 352
  config.augment.fixed_crop.width = 480
  config.batch_size = 4  # images whose gradients are added up
  config.lr_warmup = "50 steps"
  config.lr_mult = {"score*": 10.0}  # zero scores learn faster
  config.validate_every = "5 epochs"
  config.checkpoint_every = "5 epochs"
  return config
