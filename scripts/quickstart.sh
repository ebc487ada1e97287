#!/usr/bin/env bash
# From a fresh machine to a trained, evaluated FCN-AlexNet on a made-up world.
# Everything it makes lies under runs/quickstart. A step that is finished is
# not done again; to start anew, move runs/quickstart away.
#
# bash scripts/quickstart.sh --help says what it does.
set -euo pipefail

case ${1:-} in
"") ;;
-h | --help)
  cat <<'END'
bash scripts/quickstart.sh

Makes .venv, installs what is needed (once; this alone needs a network), then
goes the whole way on a small made-up world: draw it, prepare and look at the
data, pretrain a classifier, turn it into FCN-AlexNet, train that, add finer
scores, compare, predict new images, evaluate. All results lie in
runs/quickstart; runs/quickstart/index.html leads to the pages.

It can be interrupted (Ctrl-C) and started again: finished steps are not done
again, and a training goes on from its last checkpoint. To start anew, move
runs/quickstart away. It needs about 1 GB of memory and 1.5 GB of disk.

PYTHON=/path/to/python3.12 chooses the Python that .venv is made with.
END
  exit
  ;;
*)
  echo "quickstart.sh takes no argument but --help, not '$1'" >&2
  exit 2
  ;;
esac

source "$(dirname "${BASH_SOURCE[0]}")/setup_environment.sh"

setup_environment

began=$SECONDS
run=runs/quickstart
mkdir -p "$run/finished"

# step NAME ARTEFACT HEADING WHY COMMAND...: runs the command, unless it has
# been run to its end before and what it made is still there.
number=0
steps=$(grep -c '^step ' "$root/scripts/quickstart.sh")
step() {
  local name=$1 artefact=$2 heading=$3 why=$4 started=$SECONDS mark
  shift 4
  number=$((number + 1))
  mark=$run/finished/$name
  printf '\n== %d of %d, after %d:%02d min. %s\n' "$number" "$steps" \
    $(((SECONDS - began) / 60)) $(((SECONDS - began) % 60)) "$heading"
  fold -s -w 76 <<<"$why" | sed 's/^/   /; s/ *$//'
  if [ -e "$artefact" ] && [ "$(cat "$mark" 2>/dev/null)" = "$*" ]; then
    echo "   done before: $artefact"
    return
  fi
  echo "   python $*"
  "$python" "$@"
  echo "$*" >"$mark"
  echo "   took $((SECONDS - started)) s"
}

# about PAGE TEXT: a line of the page that leads to the others.
pages=
about() {
  pages+="$root/$run/$1"$'\t'"$2"$'\n'
}

step world "$run/shapes_voc.tar" \
  "Draw a small made-up world, packed as PASCAL VOC is" \
  "Photographs would have to be downloaded; this world of five kinds of \
objects is drawn in seconds, and has VOC's files, borders and image sizes." \
  -m fcn_jax.data.shapes --output="$run/shapes_voc.tar"

step prepare "$run/data" \
  "Check and prepare the data set" \
  "Every image and label is looked at once, so that mistakes are found before \
training; the objects are cut out besides, for the classifier." \
  scripts/prepare_dataset.py --dataset=voc --name=shapes \
  --archive="$run/shapes_voc.tar" --data_dir="$run/data" --overwrite \
  --export_crops="$run/crops" --crop_context=0.5

step explore "$run/data.html" \
  "Look at the data" \
  "The page shows images under their labels, how often each class occurs, and \
what the check has found." \
  scripts/explore_dataset.py --data=shapes --data_dir="$run/data" \
  --split=train,val --output="$run/data.html"
about data.html "The data set: images under their labels, sizes, classes."

step classifier "$run/classifier/classifier.caffemodel" \
  "Pretrain an AlexNet that names the object in a crop" \
  "It stands for the AlexNet of ImageNet: a name for an object is cheaper to \
come by than a label of each pixel, and what it learns carries over." \
  scripts/pretrain_classifier.py \
  --config=configs/shapes_alexnet_classifier.py --workdir="$run/classifier"

step convert "$run/converted" \
  "Turn the classifier into a fully convolutional network" \
  "Net surgery: fully connected layers become convolutions, so that any image \
size fits; the new scores begin at zero." \
  scripts/convert_weights.py \
  --source="$run/classifier/classifier.caffemodel" --output="$run/converted" \
  --num_classes=6 --width=0.25

step train "$run/fcn_alexnet" \
  "Fine-tune FCN-AlexNet on the few images that have a segmentation" \
  "Each pixel counts in the loss but the void ones. The page of the training \
grows while it runs: $run/fcn_alexnet/report.html" \
  scripts/train.py --config=configs/shapes_fcn_alexnet.py \
  --workdir="$run/fcn_alexnet" --config.init.path="$run/converted"
about fcn_alexnet/report.html \
  "The training of FCN-AlexNet: curves, scores, images as it learns them."

step skips "$run/fcn_alexnet8s" \
  "Add finer scores, and train a little more" \
  "FCN-AlexNet has one score for 32 x 32 pixels, so its masks are coarse. \
fcn_alexnet8s adds scores of pool2 and pool1, one for 8 x 8." \
  scripts/train.py --config=configs/shapes_fcn_alexnet8s.py \
  --workdir="$run/fcn_alexnet8s" --config.init.path="$run/fcn_alexnet"
about fcn_alexnet8s/report.html "The training with the finer scores."

step compare "$run/comparison.html" \
  "Lay both trainings side by side" \
  "Which classes gain from finer scores, and by how much." \
  scripts/compare_runs.py "$run/fcn_alexnet" "$run/fcn_alexnet8s" \
  --output="$run/comparison.html"
about comparison.html "Both trainings side by side, class by class."

step draw "$run/new_images" \
  "Draw twelve images that no network has seen" \
  "They come from another seed." \
  -m fcn_jax.data.shapes --images="$run/new_images" --seed=1

step predict "" \
  "Segment them" \
  "Masks are written as PNG files with the colours of the classes, and a page \
shows them over the images." \
  scripts/predict.py --checkpoint="$run/fcn_alexnet8s" \
  --images="$run/new_images" --output_dir="$run/predictions" \
  --report="$run/predictions.html"
about predictions.html \
  "New images and their masks, with what the network thinks of each pixel."

step evaluate "" \
  "Score the network on the validation images" \
  "Mean IoU with a confidence interval, the classes that are mixed up, and the \
worst images." \
  scripts/evaluate.py --checkpoint="$run/fcn_alexnet8s" --split=val \
  --output="$run/metrics.json" --report="$run/evaluation.html"
about evaluation.html "The scores, what is mixed up, and the worst images."

printf %s "$pages" | "$python" -m fcn_jax.reports.index \
  "$run/index.html" "Quickstart" >/dev/null

cat <<END

Done, in $((SECONDS - began)) s (installation not counted). Open this page, it
leads to the others:

  $root/$run/index.html

Masks of the new images lie in $run/predictions, the scores in
$run/metrics.json. Next: README.md, on your own images.
END
