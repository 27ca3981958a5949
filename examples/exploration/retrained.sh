#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers

# Search, tuning and retraining together, for the networks that ship with axynq. Rerun it to resume
# after an interruption.
#
#     examples/exploration/retrained.sh DATA [FOLDER [WORKERS]]
#
# DATA: CIFAR-10 as `axynq evaluate` takes it. WORKERS: processes; one where a GPU trains.
set -eu
data=$1 folder=${2:-build/exploration/retrained} workers=${3:-1}
models=$(dirname "$0")/../../models
library='exact|roup:2,0|roup:2,0-0-2-2|roup:2,0-0-4-4|roup:2,0-0-6-6'
library="$library|roup:3,0-0-0-2|roup:3,0-0-0-3|roup:3,0-0-0-4|roup:3,0-0-0-5|roup:3,0-0-0-6"
mkdir -p "$folder"

search() {
    name=$1
    shift
    axynq explore "$models/${name}_int8.tflite" --data "$data" --output "$folder/$name" \
        --levels layer --multipliers "$library" --augment --workers "$workers" "$@"
}

search resnet8 --evaluations 640 --retrain 24 --candidates 16 --teacher "$models/resnet14_int8.tflite"
search resnet14 --evaluations 640 --retrain 16 --candidates 12
search allcnn --evaluations 320 --retrain 6 --candidates 8
