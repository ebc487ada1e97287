"""FCN-AlexNet at a quarter of its width, on the made-up world of quickstart.

  python scripts/train.py --config=configs/shapes_fcn_alexnet.py \
    --workdir=runs/quickstart/fcn_alexnet \
    --config.init.path=runs/quickstart/converted

Data      100 train, 60 val
Hardware  2 CPU cores
Time      2 minutes
Expected  mean IoU 0.65 to 0.72 on val; 0.29 from random weights
"""

from ml_collections import ConfigDict

from fcn_jax import default_recipe


def get_config() -> ConfigDict:
  """A short fine-tuning with AdamW, which needs half of SGD's steps here."""
  config = default_recipe(
    "fcn_alexnet", lr_policy="cosine", optimizer="adamw", width=0.25
  )
  config.data.name = "shapes"
  config.data.data_dir = "runs/quickstart/data"
  config.data.mirror = True  # flip half of the images left to right
  config.data.max_canvases = 1  # compiling for more takes longer than padding
  config.data.part_size = 4  # images per forward pass; results do not change
  config.batch_size = 4  # images whose gradients are added up
  config.duration = "300 steps"
  config.base_lr = 1e-3
  config.lr_warmup = "20 steps"
  config.weight_decay = 1e-2
  config.clip_gradients = 10.0  # largest L2 norm of the sum of gradients
  config.validate_every = "150 steps"
  config.checkpoint_every = "150 steps"
  config.keep_latest = 1  # the best by mean IoU is kept besides
  return config
