# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What the documents say is so: links, paths, names, commands, snippets, tables, examples."""
