"""FCN-AlexNet with two skips, at a quarter of its width, on the made-up world.

  python scripts/train.py --config=configs/shapes_fcn_alexnet8s.py \
    --workdir=runs/quickstart/fcn_alexnet8s \
    --config.init.path=runs/quickstart/fcn_alexnet

It starts from a trained FCN-AlexNet; the scores of pool2 and pool1 start at
zero, so that its first scores are that network's.

Data      100 train, 60 val
Hardware  2 CPU cores
Time      2 minutes
Expected  mean IoU 0.77 to 0.80 on val
"""

from ml_collections import ConfigDict

from fcn_jax import default_recipe


def get_config() -> ConfigDict:
  """A short fine-tuning with AdamW, the new scores ten times as fast."""
  config = default_recipe(
    "fcn_alexnet8s", lr_policy="cosine", optimizer="adamw", width=0.25
  )
  config.data.name = "shapes"
  config.data.data_dir = "runs/quickstart/data"
  config.data.mirror = True  # flip half of the images left to right
  config.data.max_canvases = 1  # compiling for more takes longer than padding
  config.data.part_size = 4  # images per forward pass; results do not change
  config.batch_size = 4  # images whose gradients are added up
  config.duration = "300 steps"
  config.base_lr = 5e-4
  config.lr_warmup = "20 steps"
  config.lr_mult = {"score_pool*": 10.0}
  config.weight_decay = 1e-2
  config.clip_gradients = 10.0  # largest L2 norm of the sum of gradients
  config.validate_every = "150 steps"
  config.checkpoint_every = "150 steps"
  config.keep_latest = 1  # the best by mean IoU is kept besides
  return config
