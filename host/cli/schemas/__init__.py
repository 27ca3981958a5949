# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What commands print with ``--json``: a model for each kind of object.

The models say which fields there are, and what they mean; :mod:`~axynq.host.cli.schemas.documents`
makes JSON Schemas and a page of them. Commands build plain dictionaries: nothing here is imported
when they run.

A kind is called ``axynq/NAME/VERSION``. A version keeps its fields and their meanings and may get
new ones that may be absent; anything else is a new version.
"""
