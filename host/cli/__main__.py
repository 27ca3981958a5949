# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""``python -m axynq.host.cli``: the command line where its script is not on the path."""

from axynq.host.cli import main

main()
