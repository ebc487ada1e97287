"""FCN-AlexNet on CamVid, 11 classes at 360 x 480.

  python scripts/train.py --config=configs/camvid_fcn_alexnet.py \
    --workdir=runs/camvid --config.init.path=converted/bvlc_alexnet

val is one stretch of film and does not track test: score on test with
scripts/evaluate.py --checkpoint=runs/camvid --split=test.

Not measured as it stands. With AdamW, 1024 features in fc6 and fc7, and images
mirrored, scaled and recoloured, 40 epochs reach 0.51 on test, in two minutes of
a shared NVIDIA H200 (docs/results.md).

Data      367 train, 101 val, 233 test
Hardware
Time
Expected
"""

from ml_collections import ConfigDict

from fcn_jax import default_recipe


def get_config() -> ConfigDict:
  """A fine-tuning recipe with clipped gradients and mirrored images."""
  config = default_recipe("fcn_alexnet", lr_policy="poly")
  config.data.name = "camvid"
  config.data.mirror = True  # flip half of the images left to right
  config.data.max_canvases = 1
  config.batch_size = 4  # images whose gradients are added up
  config.duration = "60 epochs"
  config.base_lr = 1e-3
  config.lr_power = 0.9
  config.weight_decay = 5e-4
  config.clip_gradients = 20.0  # largest L2 norm of the sum of gradients
  return config
