"""FCN-AlexNet at a quarter of its width, on the made-up world of quickstart.

  python scripts/train.py --config=configs/shapes_fcn_alexnet.py \
    --workdir=runs/quickstart/fcn_alexnet \
    --config.init.path=runs/quickstart/converted

Batches are drawn from one canvas each, for speed.

Data      100 train, 60 val
Hardware  2 CPU cores
Time      2 minutes
Expected  mean IU 0.66 to 0.69 on val; 0.60 from random weights
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
  """A short fine-tuning with clipped gradients."""
  config = ConfigDict()
  config.seed = 0
  config.precision = "float32"  # float32, tf32 or bfloat16

  config.model = ConfigDict()
  config.model.name = "fcn_alexnet"
  config.model.width = 0.25  # share of the published features
  config.model.order = "pool_norm"  # or norm_pool, as in BVLC AlexNet
  config.model.mean_bgr = (116.0, 116.0, 116.0)

  config.init = ConfigDict()
  config.init.source = "checkpoint"  # caffemodel, checkpoint or random
  config.init.path = ""
  config.init.allow_missing = ()  # layers that may start from random weights
  config.init.allow_unknown = ()  # layers of the source that may be left out
  config.init.head = "zero"  # or gaussian
  config.init.keep_classes = False  # the head's rows of classes by that name

  config.data = ConfigDict()
  config.data.name = "shapes"
  config.data.data_dir = "runs/quickstart/data"  # empty: as tfds
  config.data.train_split = "train"
  config.data.val_split = "val"
  config.data.order = "shuffle"  # or sequential, with_replacement
  config.data.mirror = True  # flip half of the images left to right
  config.data.random_crop = 0  # most pixels cut off each side, at random
  config.data.batching = "by_canvas"  # or as_drawn, as Caffe does
  config.data.max_canvases = 3
  config.data.part_size = 4  # images per forward pass; results do not change
  config.data.num_threads = 2
  config.data.cache = "auto"  # decoded images: none, host or device memory

  config.batch_size = 4  # images whose gradients are added up
  config.accumulation_steps = 1  # so many batches in an update
  config.duration = "800 steps"
  config.loss = ConfigDict()
  config.loss.normalize = True  # by the valid pixels of each image

  config.base_lr = 5e-3
  config.lr_policy = "poly"  # fixed, step, multistep, exp, inv, poly, sigmoid
  config.lr_gamma = 0.1
  config.lr_gamma_per = "step"  # or percent of the run, as in DIGITS
  config.lr_stepsize = "33 %"
  config.lr_stepvalues = ()
  config.lr_power = 1.0
  config.momentum = 0.9
  config.weight_decay = 5e-4
  config.clip_gradients = 10.0  # largest L2 norm of their sum; 0: none

  config.validate_every = "400 steps"
  config.checkpoint_every = "400 steps"
  config.keep_latest = 1  # the best by mean IU is kept besides
  config.log_every = "20 steps"
  config.report = True  # report.html, drawn anew at every validation
  return config
