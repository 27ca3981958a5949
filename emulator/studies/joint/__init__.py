# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Search, tuning and retraining together: plans are judged by what retrained networks make of them.

A search finds plans that are good without retraining; one set of weights is trained under many of
them at once; from these weights plans are searched again; those near the front are retrained in
rounds, each twice as long as the one before, and dropped as soon as another is better with
confidence.

Stages leave files in the output folder: whoever starts the same again goes on where it ended.
"""
