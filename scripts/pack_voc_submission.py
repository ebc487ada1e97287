"""Packs predictions for PASCAL VOC's evaluation server, after checking them.

  python scripts/pack_voc_submission.py --predictions=predictions \
    --ids=VOC2012/ImageSets/Segmentation/test.txt \
    --images=VOC2012/JPEGImages --output=results.tar.gz

Every id must have a prediction and nothing else may be there; sizes must be
those of the images, and pixels class ids 0..20. All that is wrong is listed at
once, and nothing is written then.
"""

from absl import flags

from fcn_jax import cli, data
from fcn_jax.data.formats import voc
from fcn_jax.prediction import voc_submission

_PREDICTIONS = flags.DEFINE_string(
  "predictions", None, "Folder that predict.py wrote, or its masks/."
)
_IDS = flags.DEFINE_string(
  "ids", None, "List of image ids, ImageSets/Segmentation/test.txt."
)
_IMAGES = flags.DEFINE_string(
  "images", None, "Folder of the images, to check sizes; with --ids."
)
_DATA = flags.DEFINE_string(
  "data", None, "Instead of --ids: a prepared data set."
)
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Where data sets lie.")
_SPLIT = flags.DEFINE_string("split", "val", "Of the data set.")
_LEAVE_OUT_OTHERS = flags.DEFINE_boolean(
  "leave_out_others", False, "Leave out predictions of images not listed."
)
_OUTPUT = flags.DEFINE_string(
  "output", None, "New file: .tar.gz, .tgz or .tar."
)
_COMPETITION = flags.DEFINE_enum(
  "competition",
  "comp6",
  list(voc_submission.COMPETITIONS),
  "; ".join(f"{k}: {v}" for k, v in voc_submission.COMPETITIONS.items()),
)
_YEAR = flags.DEFINE_integer(
  "year", 2012, "Of the challenge.", min(voc.YEARS), max(voc.YEARS)
)
flags.mark_flags_as_required(["predictions", "output"])
flags.mark_flags_as_mutual_exclusive(["ids", "data"], required=True)


def main() -> None:
  if _DATA.value:
    dataset = data.load_dataset(_DATA.value, _DATA_DIR.value)
    images = voc_submission.image_set_of(dataset, _SPLIT.value)
  else:
    images = voc_submission.read_image_set(_IDS.value, _IMAGES.value)
  submission = voc_submission.Submission(
    images,
    voc_submission.find_predictions(_PREDICTIONS.value, images),
    _COMPETITION.value,
    _YEAR.value,
    _LEAVE_OUT_OTHERS.value,
  )
  output = submission.write(_OUTPUT.value)
  print(
    f"{output}: {len(images.ids)} predictions, the first is "
    f"{submission.member(min(images.ids))}"
  )
  if not images.sizes:
    print("their sizes were not checked; --images=JPEGImages does")


if __name__ == "__main__":
  cli.start(main)
