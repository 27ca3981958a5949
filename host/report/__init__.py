# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Runs as pages: a report of a plan that was measured, and the progress of work that takes long.

A page is one HTML file that needs nothing else: text, tables, and pictures that are SVG in the page
and take their colours from its style sheet, so that they suit light and dark, paper and any width.
"""
