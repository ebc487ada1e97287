"""FCN-32s on PASCAL VOC 2012, by the FCN authors' recipe.

  python scripts/train.py --config=configs/voc_fcn32s.py \
    --workdir=runs/voc_fcn32s --config.init.path=converted/vgg16

voc-fcn32s of Shelhamer, Long and Darrell (PAMI 2017): one image an update, its
loss not normalised, momentum 0.99. They train on SBD's 8498 images and score
63.6 mean IU on the 736 of seg11valid; this recipe trains on VOC's own 1464.

VGG-16 is converted by scripts/convert_weights.py --model=fcn32s
--download=vgg16 --output=converted/vgg16.

Data      1464 train, 1449 val
Hardware
Time
Expected
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
  """The heavy recipe: the learning rate 1e-10, fixed."""
  config = ConfigDict()
  config.seed = 0
  config.precision = "float32"  # float32, tf32 or bfloat16

  config.model = ConfigDict()
  config.model.name = "fcn32s"
  config.model.width = 1.0  # share of the published features
  config.model.mean_bgr = (104.00699, 116.66877, 122.67892)

  config.init = ConfigDict()
  config.init.source = "checkpoint"  # caffemodel, checkpoint or random
  config.init.path = ""
  config.init.allow_missing = ()  # layers that may start from random weights
  config.init.allow_unknown = ()  # layers of the source that may be left out
  config.init.head = "zero"  # or gaussian
  config.init.keep_classes = False  # the head's rows of classes by that name

  config.data = ConfigDict()
  config.data.name = "voc2012"
  config.data.data_dir = ""  # empty: the default of tensorflow_datasets
  config.data.train_split = "train"
  config.data.val_split = "val"
  config.data.order = "with_replacement"  # or sequential, shuffle
  config.data.mirror = False  # flip half of the images left to right
  config.data.random_crop = 0  # most pixels cut off each side, at random
  config.data.batching = "as_drawn"  # by_canvas: faster, another order
  config.data.max_canvases = 3
  config.data.part_size = 1  # images per forward pass; results do not change
  config.data.num_threads = 2
  config.data.cache = "auto"  # decoded images: none, host or device memory

  config.batch_size = 1  # images whose gradients are added up
  config.accumulation_steps = 1  # so many batches in an update
  config.duration = "100000 steps"
  config.loss = ConfigDict()
  config.loss.normalize = False  # True: by the valid pixels of each image

  config.base_lr = 1e-10  # for a sum over pixels
  config.lr_policy = "fixed"  # fixed, step, multistep, exp, inv, poly, sigmoid
  config.lr_gamma = 0.1
  config.lr_gamma_per = "step"  # or percent of the run, as in DIGITS
  config.lr_stepsize = "33 %"
  config.lr_stepvalues = ()
  config.lr_power = 1.0
  config.momentum = 0.99
  config.weight_decay = 5e-4
  config.clip_gradients = 0.0  # largest L2 norm of their sum; 0: none

  config.validate_every = "4000 steps"
  config.checkpoint_every = "4000 steps"
  config.keep_latest = 2  # the best by mean IU is kept besides
  config.log_every = "20 steps"
  config.report = True  # report.html, drawn anew at every validation
  return config
