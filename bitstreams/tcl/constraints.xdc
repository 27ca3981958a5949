# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers

# A smaller file, which loads faster.
set_property BITSTREAM.GENERAL.COMPRESS TRUE [current_design]
