#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers

# Every figure about the ResNet-8 in docs/exploration.md. Rerun it to resume after an interruption.
#
#     examples/exploration/resnet8.sh DATA EVOAPPROX [FOLDER]
#
# DATA: CIFAR-10 as `axynq evaluate` takes it. EVOAPPROX: a .npz of 256 x 256 tables (table1.py).
set -eu
data=$1 evoapprox=$2 folder=${3:-build/exploration}
here=$(dirname "$0")
model=$here/../../models/resnet8_int8.tflite
mkdir -p "$folder" "$here/results/resnet8"

search() {
    name=$1
    shift
    axynq explore "$model" --data "$data" --output "$folder/$name" --evaluations 400 "$@"
    cp "$folder/$name/front.json" "$here/results/resnet8/$name.json"
}

search untuned
search untuned-glitches --energy characterised-glitches
search tuned --weights second-order --compensate
python "$here/recost.py" "$model" "$folder/tuned" --output "$here/results/resnet8/tuned-glitches.json"
python "$here/table1.py" "$model" --data "$data" --evoapprox "$evoapprox" \
    --front "$folder/untuned/front.json" --front "$folder/untuned-glitches/front.json" --front "$folder/tuned/front.json" \
    --weights second-order --output "$folder/table1.json"
cp "$folder/table1.json" "$here/results/resnet8/table1.json"
