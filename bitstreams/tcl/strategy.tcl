# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers

# How Vivado synthesises and implements: all of it, and why.

# One synthesis of the whole design, instead of one for each piece of IP: the core is by far the
# largest, and only so do the settings below hold for it, and does unused logic around it go.
set axynq(synthesis_checkpoints) None

# Not Flow_PerfOptimized_high: it keeps LUTs from being combined, and LUTs are what is scarce.
set axynq(synthesis_strategy) {Vivado Synthesis Defaults}

# Placement and routing try several ways, and improve on what is routed: the array fills most of the
# smaller parts, where the default, which ends as soon as it can, would miss the clock by little.
set axynq(implementation_strategy) Performance_ExplorePostRoutePhysOpt
