# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Energy of an inference: sensors, sampling, interleaved runs, and what follows from them.

Sensors (:mod:`sensor` opens those of :mod:`hwmon`, :mod:`rails` and :mod:`meter`) give watts. A
:mod:`sampler` reads them in a thread of its own while an :mod:`experiment` runs contenders by
:mod:`schedule` and keeps a :mod:`log`. :mod:`energy` integrates, subtracts idle power and gives
intervals. :mod:`recorded` brings in what an external meter wrote; :mod:`estimate` needs no meter
and is no measurement.
"""
