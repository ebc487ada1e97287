"""AlexNet at a quarter of its width, on crops of the made-up objects.

  python scripts/pretrain_classifier.py --workdir=runs/quickstart/classifier \
    --config=configs/shapes_alexnet_classifier.py

Any other folder with train/CLASS/*.jpg and val/CLASS/*.jpg does, too: give it
with --config.data.directory=.

Data      1891 train, 140 val crops in 5 classes
Hardware  2 CPU cores
Time      2 1/2 minutes
Expected  accuracy 0.96 to 0.99 on val
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
  """A short training with AdamW."""
  config = ConfigDict()
  config.seed = 0
  config.precision = "float32"  # float32, tf32 or bfloat16

  config.model = ConfigDict()
  config.model.width = 0.25  # share of the published features
  config.model.order = "pool_norm"  # norm_pool, as in BVLC AlexNet
  config.model.mean_bgr = (116.0, 116.0, 116.0)

  config.data = ConfigDict()
  config.data.directory = "runs/quickstart/crops"
  config.data.resize = 0  # pixels of the shorter side; 0: not scaled
  config.data.num_threads = 2

  config.batch_size = 16
  config.duration = "1200 steps"

  config.learning_rate = 6e-4  # of AdamW, after warm-up
  config.warmup_steps = 50
  config.weight_decay = 1e-2
  config.clip_gradients = 1.0  # largest L2 norm of the mean gradient
  return config
