"""FCN-AlexNet on CamVid, 11 classes at 360 x 480.

  python scripts/train.py --config=configs/camvid_fcn_alexnet.py \
    --workdir=runs/camvid --config.init.path=converted/bvlc_alexnet

val is one stretch of film and does not track test: score on test with
scripts/evaluate.py --checkpoint=runs/camvid --split=test.

Data      367 train, 101 val, 233 test
Hardware
Time
Expected
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
  """A fine-tuning recipe with clipped gradients and mirrored images."""
  config = ConfigDict()
  config.seed = 0
  config.precision = "float32"  # float32, tf32 or bfloat16

  config.model = ConfigDict()
  config.model.name = "fcn_alexnet"
  config.model.width = 1.0  # share of the published features
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
  config.data.name = "camvid"
  config.data.data_dir = ""  # empty: the default of tensorflow_datasets
  config.data.train_split = "train"
  config.data.val_split = "val"
  config.data.order = "shuffle"  # or sequential, with_replacement
  config.data.mirror = True  # flip half of the images left to right
  config.data.random_crop = 0  # most pixels cut off each side, at random
  config.data.batching = "as_drawn"  # by_canvas: faster, another order
  config.data.max_canvases = 1
  config.data.part_size = 1  # images per forward pass; results do not change
  config.data.num_threads = 2
  config.data.cache = "auto"  # decoded images: none, host or device memory

  config.batch_size = 4  # images whose gradients are added up
  config.accumulation_steps = 1  # so many batches in an update
  config.duration = "60 epochs"
  config.loss = ConfigDict()
  config.loss.normalize = True  # by the valid pixels of each image

  config.base_lr = 1e-3
  config.lr_policy = "poly"  # fixed, step, multistep, exp, inv, poly, sigmoid
  config.lr_gamma = 0.1
  config.lr_gamma_per = "step"  # or percent of the run, as in DIGITS
  config.lr_stepsize = "33 %"
  config.lr_stepvalues = ()
  config.lr_power = 0.9
  config.momentum = 0.9
  config.weight_decay = 5e-4
  config.clip_gradients = 20.0  # largest L2 norm of their sum; 0: none

  config.validate_every = "1 epoch"
  config.checkpoint_every = "1 epoch"
  config.keep_latest = 2  # the best by mean IU is kept besides
  config.log_every = "20 steps"
  config.report = True  # report.html, drawn anew at every validation
  return config
