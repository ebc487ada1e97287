"""FCN-AlexNet with two skips on microscope images, nucleus or background.

  python scripts/train.py --config=configs/nuclei_alexnet8s.py \
    --workdir=runs/nuclei --config.init.path=converted/alexnet8s_nuclei

Any data set of small objects does: name it with --config.data.name=.

fc6 and fc7 have 1024 features, which makes it four times as fast. AlexNet is
converted by scripts/convert_weights.py --model=fcn_alexnet8s
--download=bvlc_alexnet --allow_missing=fc6,fc7 --num_classes=2
--width=96,256,384,384,256,1024,1024 --output=converted/alexnet8s_nuclei.

Data      120 train, 40 val, 40 test
Hardware  2 CPU cores (AVX2)
Time      20 minutes
Expected  mean IoU 0.80 on val, 0.81 on test (docs/results.md)
"""

from ml_collections import ConfigDict

from fcn_jax import default_recipe


def get_config() -> ConfigDict:
  """Turned, scaled and recoloured images: a microscope knows no up."""
  config = default_recipe(
    "fcn_alexnet8s",
    lr_policy="cosine",
    optimizer="adamw",
    augment=("random_scale", "affine", "fixed_crop", "photometric"),
    width=(96, 256, 384, 384, 256, 1024, 1024),
  )
  config.data.name = "nuclei"
  config.data.mirror = True  # flip half of the images left to right
  config.data.max_canvases = 1
  config.data.part_size = 4  # images per forward pass; results do not change
  config.augment.random_scale.low = 0.7
  config.augment.random_scale.high = 1.5
  config.augment.affine.degrees = 180.0
  config.augment.affine.probability = 1.0
  config.augment.fixed_crop.height = 224
  config.augment.fixed_crop.width = 224
  config.batch_size = 8  # images whose gradients are added up
  config.duration = "500 steps"
  config.base_lr = 3e-4
  config.lr_warmup = "20 steps"
  config.weight_decay = 1e-2
  config.clip_gradients = 5.0  # largest L2 norm of the sum of gradients
  config.validate_every = "500 steps"
  config.checkpoint_every = "100 steps"
  return config
