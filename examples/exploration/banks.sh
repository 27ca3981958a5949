#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers

# Plans of the ResNet-8 with any number of ROUP multipliers, and with a bank of two or three: the
# whole family is searched. Rerun it to resume after an interruption.
#
#     examples/exploration/banks.sh DATA [FOLDER]
#
# DATA: CIFAR-10 as `axynq evaluate` takes it.
set -eu
data=$1 folder=${2:-build/banks}
model=$(dirname "$0")/../../models/resnet8_int8.tflite

search() {
    name=$1
    shift
    axynq explore "$model" --data "$data" --output "$folder/$name" --evaluations 320 --levels layer \
        --weights second-order --compensate --multipliers 'exact|roup:*' "$@"
}

search any
search three --designs 3
search two --designs 2
