"""AlexNet at a quarter of its width, on crops of the made-up objects.

  python scripts/pretrain_classifier.py --workdir=runs/quickstart/classifier \
    --config=configs/shapes_alexnet_classifier.py

Any other folder with train/CLASS/*.jpg and val/CLASS/*.jpg does, too: give it
with --config.data.directory=.

Data      1891 train, 140 val crops in 5 classes
Hardware  2 CPU cores
Time      3 minutes
Expected  accuracy 0.95 to 0.99 on val
"""

from ml_collections import ConfigDict

from fcn_jax import default_recipe


def get_config() -> ConfigDict:
  """A short training with AdamW, from random weights."""
  config = default_recipe(
    "alexnet",
    lr_policy="cosine",
    optimizer="adamw",
    width=0.25,
    order="pool_norm",
    mean_bgr=(116.0, 116.0, 116.0),
  )
  config.init.source = "random"
  config.init.head = "gaussian"
  config.data.directory = "runs/quickstart/crops"
  config.data.mirror = True  # flip half of the images left to right
  config.data.part_size = 16  # images per forward pass; results do not change
  config.batch_size = 16  # images whose gradients are added up
  config.data.batching = "by_canvas"  # there is one canvas
  config.duration = "700 steps"
  config.base_lr = 6e-4
  config.lr_warmup = "50 steps"
  config.weight_decay = 1e-2
  config.clip_gradients = 16.0  # largest L2 norm of the sum of gradients
  config.validate_every = "350 steps"
  config.checkpoint_every = "350 steps"
  config.keep_latest = 1  # the best by accuracy is kept besides
  config.log_every = "50 steps"
  return config
