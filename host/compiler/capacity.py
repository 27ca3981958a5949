# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""How many filters of a layer may use a multiplier while the lanes take no longer for the layer."""

from __future__ import annotations

from axynq.emulator.model.graph import DepthwiseConvolution, Model
from axynq.host.overlay import Overlay


def most_filters(model: Model, overlay: Overlay) -> dict[str, dict[str, int]]:
    """For each layer of a network the most filters that may use each multiplier of an overlay.

    A layer takes as many groups of filters as all lanes together need for it; a lane computes one
    filter of each. So a multiplier has room for as many filters as there are lanes that hold it, in
    each group. More filters make the layer take longer, as the other lanes have nothing to do then.
    It can be fewer where many filters of a kind have their channels on the same byte of a word: a
    byte is written once in each round of a group. Where filters are spread evenly it is not.

    Returns:
        Numbers of filters by the specification of each multiplier, by the name of each layer.
    """
    found = {}
    for layer in model.layers:
        depthwise = isinstance(layer, DepthwiseConvolution)
        lanes = [
            bank
            for lane, bank in enumerate(overlay.banks)
            if not depthwise or overlay.takes_windows(lane)
        ]
        filters = len(layer.kernel)
        groups = -(-filters // max(len(lanes), 1))
        specs = dict.fromkeys(m.spec for bank in overlay.banks for m in bank)
        found[layer.name] = {
            spec: min(filters, groups * sum(any(m.spec == spec for m in bank) for bank in lanes))
            for spec in specs
        }
    return found
