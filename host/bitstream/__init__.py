# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Bitstreams: how they are built, what their manifests say, and where they are found."""
