#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers

# The noise-based search of docs/exploration.md for the ResNet-8, with ROUP multipliers and with those of EvoApproxLib. Rerun it to
# resume after an interruption.
#
#     examples/exploration/noise_search.sh DATA EVOAPPROX [FOLDER]
#
# DATA: CIFAR-10 as `axynq evaluate` takes it. EVOAPPROX: a .npz of 256 x 256 tables (table1.py). The environment variables EPOCHS
# and RETRAIN set the epochs of learning noise (1) and of retraining (0); the authors' software has 30 and 10.
set -eu
data=$1 evoapprox=$2 folder=${3:-build/noise-search}
here=$(dirname "$0")
model=$here/../../models/resnet8_int8.tflite
mkdir -p "$folder" "$here/results/resnet8"

roup='exact|roup:2,0|roup:2,0-0-2-2|roup:2,0-0-4-4|roup:3,0|roup:3,0-0-0-3|roup:3,0-0-0-4|roup:3,0-0-0-5'
tables=exact
for name in 2AC 2HH NGR ZFB 7C1; do
    tables="$tables|table:$evoapprox#mul8u_$name"
done

search() {
    name=$1
    shift
    axynq match "$model" --data "$data" --output "$folder/$name" --checkpoints "$folder/checkpoints" --augment \
        --strength 0.1,0.3,1,3 --epochs "${EPOCHS:-1}" --retrain "${RETRAIN:-0}" "$@"
    cp "$folder/$name/front.json" "$here/results/resnet8/$name.json"
}

search noise-roup --multipliers "$roup"
search noise-roup-residual --multipliers "$roup" --prediction residual
search noise-evoapprox --multipliers "$tables"
