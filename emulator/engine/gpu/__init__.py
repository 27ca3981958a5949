# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The engine for GPUs: int8 matrix products and look-ups in PyTorch and Triton.

``network`` runs a network operator by operator on one device: ``layer`` is a weighted layer, whose
multipliers ``signed_planes`` makes tables of, and ``operators`` is the rest. What costs time is in
``kernels``, in Triton's language, and once more in ``plain``, in PyTorch, for a device that Triton
does not compile for; ``device`` tells which of both computes.

All modules but ``signed_planes`` and ``geometry`` import torch.
"""
