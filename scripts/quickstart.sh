#!/usr/bin/env bash
# From a fresh machine to a trained, evaluated FCN-AlexNet on a made-up world.
# Everything it makes lies under runs/quickstart. A step that is finished is
# not done again; to start anew, move runs/quickstart away.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup_environment.sh"

setup_environment

began=$SECONDS
run=runs/quickstart
mkdir -p "$run/finished"

# step NAME ARTEFACT HEADING COMMAND...: runs the command, unless it has been
# run to its end before and what it made is still there.
number=0
step() {
  local name=$1 artefact=$2 heading=$3 started=$SECONDS mark
  shift 3
  number=$((number + 1))
  mark=$run/finished/$name
  printf '\n== %d. %s\n' "$number" "$heading"
  if [ -e "$artefact" ] && [ "$(cat "$mark" 2>/dev/null)" = "$*" ]; then
    echo "   done before: $artefact"
    return
  fi
  echo "   python $*"
  "$python" "$@"
  echo "$*" >"$mark"
  echo "   took $((SECONDS - started)) s"
}

step world "$run/shapes_voc.tar" \
  "Draw a small made-up world, packed as PASCAL VOC is" \
  -m fcn_jax.data.shapes --output="$run/shapes_voc.tar"

step prepare "$run/data" \
  "Check and prepare the data set; cut out the objects for the classifier" \
  scripts/prepare_dataset.py --dataset=voc --name=shapes \
  --archive="$run/shapes_voc.tar" --data_dir="$run/data" --overwrite \
  --export_crops="$run/crops" --crop_context=0.5

step explore "$run/data.html" \
  "Look at the data" \
  scripts/explore_dataset.py --data=shapes --data_dir="$run/data" \
  --split=train,val --output="$run/data.html"

step classifier "$run/classifier/classifier.caffemodel" \
  "Pretrain an AlexNet that names the object in a crop" \
  scripts/pretrain_classifier.py \
  --config=configs/shapes_alexnet_classifier.py --workdir="$run/classifier"

step convert "$run/converted" \
  "Turn the classifier into a fully convolutional network (net surgery)" \
  scripts/convert_weights.py \
  --source="$run/classifier/classifier.caffemodel" --output="$run/converted" \
  --num_classes=6 --width=0.25

step train "$run/fcn_alexnet" \
  "Fine-tune FCN-AlexNet on the few images that have a segmentation" \
  scripts/train.py --config=configs/shapes_fcn_alexnet.py \
  --workdir="$run/fcn_alexnet" --config.init.path="$run/converted"

step skips "$run/fcn_alexnet8s" \
  "Add finer scores (skips from pool2 and pool1), and train a little more" \
  scripts/train.py --config=configs/shapes_fcn_alexnet8s.py \
  --workdir="$run/fcn_alexnet8s" --config.init.path="$run/fcn_alexnet"

step compare "$run/comparison.html" \
  "Lay both trainings side by side" \
  scripts/compare_runs.py "$run/fcn_alexnet" "$run/fcn_alexnet8s" \
  --output="$run/comparison.html"

step draw "$run/new_images" \
  "Draw twelve images that no network has seen" \
  -m fcn_jax.data.shapes --images="$run/new_images" --seed=1

step predict "" \
  "Segment them" \
  scripts/predict.py --checkpoint="$run/fcn_alexnet8s" \
  --images="$run/new_images" --output_dir="$run/predictions" \
  --report="$run/predictions.html"

step evaluate "" \
  "Score the network on the validation images" \
  scripts/evaluate.py --checkpoint="$run/fcn_alexnet8s" --split=val \
  --output="$run/metrics.json" --report="$run/evaluation.html"

cat <<END

Pages to look at, in $root/$run:
  data.html                 the data set
  fcn_alexnet/report.html   the training of FCN-AlexNet
  comparison.html           the same with finer scores, side by side
  predictions.html          the new images
  evaluation.html           the scores, and the worst images
The pictures alone lie in predictions, the scores in metrics.json.
All steps together took $((SECONDS - began)) s (installation not counted)
END
