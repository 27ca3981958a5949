# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Measured joules against waveforms whose integral is known."""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from axynq.emulator.errors import DataError, ToolError
from axynq.host.power import experiment as experiment_module
from axynq.host.power import sampler as sampler_module
from axynq.host.power.analysis import Result, analyse
from axynq.host.power.energy import Trace, figure, integral, trace
from axynq.host.power.experiment import Contender, Durations, run_experiment
from axynq.host.power.hwmon import open_hwmon
from axynq.host.power.log import Log, Record
from axynq.host.power.recorded import line_up, read_recording
from axynq.host.power.sampler import Sample, Sampler
from axynq.host.power.schedule import schedule
from axynq.host.power.sensor import Sensor, SensorError, open_sensors, readable, unique_names

IDLE_W = 1.5
DURATIONS = Durations(run=3.0, idle=2.0, warm_up=1.0)
IMAGES = 16
CALL_S = 0.0137
"""A call of a contender: 16 images."""


class World:
    """A board's rails in a fake sysfs tree, under a clock of its own.

    Takes the place of the ``time`` module. When it advances, it writes the files and lets the
    sampler take its readings on the way.
    """

    def __init__(
        self, folder: Path, seed: int = 0, rate: float = 10.0, noise: float = 0.02
    ) -> None:
        self.now = 1000.0
        self.wall_offset = 1.7e9
        self.rng = np.random.default_rng(seed)
        self.rate = rate
        self.noise = noise
        self.load: Callable[[float], float] = lambda t: 0.0
        self.drift = 0.0
        self.drop = 0.0
        self.events: list[tuple[float, Callable[[], None]]] = []
        self.sampler: Sampler | None = None
        self.next = self.now
        self.chip = folder / "hwmon0"
        self.chip.mkdir(parents=True, exist_ok=True)
        (self.chip / "name").write_text("ina260_u14\n")
        self.write: Callable[[float], None] = self.write_power
        self.update()

    # what it does instead of the module

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now + self.wall_offset

    def sleep(self, seconds: float) -> None:
        end = self.now + seconds
        while self.next <= end:
            self.now = max(self.now, self.next)
            while self.events and self.events[0][0] <= self.now:
                self.events.pop(0)[1]()
            self.next += self.rng.uniform(0.8, 1.2) / self.rate
            if self.sampler is not None and self.rng.random() >= self.drop:
                self.update()
                self.sampler.take()
        self.now = max(self.now, end)

    # what it is about

    def watts(self) -> float:
        steady = IDLE_W + self.drift * (self.now - 1000.0)
        return steady + self.load(self.now) + self.noise * self.rng.normal()

    def update(self) -> None:
        if self.chip.is_dir():
            self.write(self.watts())

    def write_power(self, watts: float) -> None:
        (self.chip / "power1_input").write_text(f"{watts * 1e6:.0f}\n")

    def write_milliwatts(self, watts: float) -> None:
        (self.chip / "power1_input").write_text(f"{watts * 1e3:.3f}\n")

    def write_current(self, watts: float) -> None:
        (self.chip / "in1_input").write_text("12000\n")
        (self.chip / "curr1_input").write_text(f"{watts / 12 * 1e3:.4f}\n")

    def contender(self, name: str, load: Callable[[float], float]) -> Contender:
        def infer() -> int:
            self.load = load
            self.sleep(CALL_S)
            self.load = lambda t: 0.0
            return IMAGES

        return Contender(name, infer)


class WorldSampler(Sampler):
    """Takes readings when the world's time comes, not in a thread."""

    def __init__(self, world: World, sensors: list[Sensor]) -> None:
        super().__init__(sensors, world.rate)
        self.world = world

    def start(self) -> None:
        self.world.sampler = self

    def stop(self) -> None:
        self.world.sampler = None


@pytest.fixture
def worlds(tmp_path: Path, monkeypatch):
    def make(**settings) -> World:
        world = World(tmp_path / "sys", **settings)
        monkeypatch.setattr(sampler_module, "time", world)
        monkeypatch.setattr(experiment_module, "time", world)
        return world

    return make


def measure(world: World, contenders: list[Contender], folder: Path, rounds: int = 10,
            where: str = "", log: Log | None = None) -> list[Result]:  # fmt: skip
    log = log or Log(folder, {})
    sampler = WorldSampler(world, list(open_hwmon(where or str(world.chip.parent))))
    run_experiment(contenders, rounds, DURATIONS, sampler, log)
    return analyse(log.records, log.samples)


def expected(load: float) -> float:
    """Joules per inference above idle."""
    return load * CALL_S / IMAGES


# --- the integral --------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 100), min_size=3, max_size=40), st.floats(0.5, 5))
def test_straight_lines_are_integrated_exactly(values: list[float], length: float) -> None:
    times = np.linspace(0.0, length, len(values))
    # by rectangles, fine enough
    fine = np.interp((np.arange(20000) + 0.5) / 20000 * length, times, values)
    got = integral(Trace(times, np.array(values)), 0.0, length)
    if len(values) < 5:  # readings a quarter of the stretch apart at most
        assert got is None
    elif len(values) > 5:
        assert got == pytest.approx(fine.mean() * length, rel=1e-3, abs=1e-3)


def test_readings_outside_do_not_count() -> None:
    samples = trace([0.9, *np.arange(1, 2.01, 0.1), 2.1], [99, *[3] * 11, 99])
    assert integral(samples, 1.0, 2.0) == pytest.approx(3.0)
    slow = trace(np.arange(1, 2.01, 0.05).tolist(), [9] * 5 + [3] * 16)
    assert integral(slow, 1.0, 2.0) > 3.5
    assert integral(slow, 1.0, 2.0, settle=0.25) == pytest.approx(3.0)


def test_readings_too_far_apart() -> None:
    assert integral(trace([1.0, 1.1, 1.9, 2.0], [1, 1, 1, 1]), 1.0, 2.0) is None
    assert integral(trace([], []), 1.0, 2.0) is None
    assert integral(trace([1.0, 1.5, 1.5, 2.0], [1, 1, 1, 1]), 2.0, 1.0) is None


def test_intervals_are_students() -> None:
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(0)
    for count in (2, 3, 10, 31, 40, 200):
        values = rng.normal(size=count)
        got = figure(values)
        low, high = stats.t.interval(0.95, count - 1, values.mean(), stats.sem(values))
        assert (got.low, got.high) == pytest.approx((low, high), rel=2e-3)
    assert math.isinf(figure([1.0]).half_width)


def test_schedule_is_balanced() -> None:
    slots = schedule(["a", "b", "c"], 4)
    assert [s.contender for s in slots if s.contender] == list("abccbaabccba")
    assert all((s.contender is None) == (s.number % 2 == 0) for s in slots)
    for name in "abc":  # a steady drift adds the same to each
        assert np.mean([s.number for s in slots if s.contender == name]) == 12


# --- known waveforms -----------------------------------------------------------------------------


def square(t: float) -> float:
    return 1.6 * (t % 0.173 < 0.0865)


def sine(t: float) -> float:
    return 0.8 + 0.5 * math.sin(2 * math.pi * t / 0.31)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    ("load", "watts"), [(lambda t: 0.8, 0.8), (sine, 0.8), (square, 0.8)],
    ids=["constant", "sine", "square"],
)  # fmt: skip
def test_waveforms(worlds, tmp_path: Path, load, watts: float, seed: int) -> None:
    world = worlds(seed=seed)
    (result,) = measure(world, [world.contender("a", load)], tmp_path / "log")
    assert result.net_joules.low <= expected(watts) <= result.net_joules.high
    assert result.net_joules.half_width < 0.15 * result.net_joules.mean
    assert result.idle_watts.mean == pytest.approx(IDLE_W, abs=0.01)
    assert result.seconds.mean == pytest.approx(CALL_S / IMAGES)
    assert result.joules.mean == pytest.approx(expected(watts + IDLE_W), rel=0.02)


def synthetic(seed: int, contenders: dict[str, float]) -> list[Result]:
    """Ten rounds of contenders with so many watts each, of steady power and noisy readings."""
    rng = np.random.default_rng(seed)
    records, now = [], 0.0
    for slot in schedule(list(contenders), 10):
        length = 3.0 if slot.contender else 2.0
        records.append(Record(slot, 0, now, now + length, now, 3000 if slot.contender else 0))
        now += length
    times = np.cumsum(rng.uniform(0.8, 1.2, int(now * 20)) / 20)
    times = times[times < now]
    places = np.searchsorted([record.end for record in records], times)
    loads = np.array([contenders.get(record.slot.contender, 0.0) for record in records])
    watts = 1.5 + loads[places] + 0.02 * rng.normal(size=len(times))
    return analyse(records, {0: [Sample(t, "rail", w) for t, w in zip(times, watts)]})


def test_the_interval_holds_as_often_as_it_says() -> None:
    """Of the energy, and of the difference; runs share the idle stretches between them."""
    held, difference_held = 0, 0
    for seed in range(200):
        first, second = synthetic(seed, {"a": 0.8, "b": 0.7})
        held += first.net_joules.low <= 0.8 * 3 / 3000 <= first.net_joules.high
        held += second.net_joules.low <= 0.7 * 3 / 3000 <= second.net_joules.high
        found = second.against_first
        difference_held += found.low <= -0.1 * 3 / 3000 <= found.high
    assert 370 <= held <= 392  # 380 of 400 expected
    assert 182 <= difference_held <= 198  # 190 of 200 expected


def test_drift_cancels(worlds, tmp_path: Path) -> None:
    """Idle power rises by a tenth of a watt a minute; two contenders differ by 20 mW."""
    world = worlds(noise=0.003)
    world.drift = 0.1 / 60
    contenders = [world.contender("a", lambda t: 0.50), world.contender("b", lambda t: 0.48)]
    first, second = measure(world, contenders, tmp_path / "log", rounds=8)
    difference = second.against_first
    assert difference.low <= expected(-0.02) <= difference.high < 0
    assert first.against_first is None


@pytest.mark.parametrize("unit", ["power", "mW", "current"])
def test_units(worlds, tmp_path: Path, unit: str) -> None:
    world = worlds()
    where = ""
    if unit == "mW":
        world.write = world.write_milliwatts
        where = f"{world.chip / 'power1_input'}:mW"
    elif unit == "current":
        (world.chip / "power1_input").unlink()
        world.write = world.write_current
    world.update()
    contender = world.contender("a", lambda t: 0.8)
    (result,) = measure(world, [contender], tmp_path / "log", where=where)
    assert result.net_joules.low <= expected(0.8) <= result.net_joules.high


def test_dropped_readings(worlds, tmp_path: Path) -> None:
    world = worlds(seed=4)
    world.drop = 0.4
    (result,) = measure(world, [world.contender("a", lambda t: 0.8)], tmp_path / "log")
    assert result.net_joules.low <= expected(0.8) <= result.net_joules.high


def test_a_sensor_that_disappears_for_a_while(worlds, tmp_path: Path) -> None:
    world = worlds(seed=5)
    power = world.chip / "power1_input"

    def vanish() -> None:
        world.write = lambda watts: power.unlink(missing_ok=True)

    def come_back() -> None:
        world.write = world.write_power

    world.events = [(1014.0, vanish), (1016.0, come_back)]  # during the third run
    (result,) = measure(world, [world.contender("a", lambda t: 0.8)], tmp_path / "log")
    assert result.runs_left_out == 1
    assert result.net_joules.low <= expected(0.8) <= result.net_joules.high


def test_a_sensor_that_disappears_for_good(worlds, tmp_path: Path) -> None:
    world = worlds(seed=6)
    power = world.chip / "power1_input"
    log = Log(tmp_path / "log", {})

    def vanish() -> None:
        world.write = lambda watts: power.unlink(missing_ok=True)

    world.events = [(1021.0, vanish)]
    contender = world.contender("a", lambda t: 0.8)
    with pytest.raises(SensorError, match=r"no power reading .*power1_input gives no"):
        measure(world, [contender], tmp_path / "log", log=log)
    (result,) = analyse(log.records, log.samples)
    assert result.net_joules.runs >= 3
    assert result.net_joules.low <= expected(0.8) <= result.net_joules.high
    # plugged in again, the same experiment goes on to its end
    world.write = world.write_power
    world.update()
    again = Log(tmp_path / "log", {})
    assert [r.slot for r in again.records] == [r.slot for r in log.records]
    (result,) = measure(world, [contender], tmp_path / "log", log=again)
    assert result.net_joules.runs + result.runs_left_out == 10
    assert result.net_joules.runs >= 8
    assert result.net_joules.low <= expected(0.8) <= result.net_joules.high


def test_one_rail_of_two_disappears(worlds, tmp_path: Path) -> None:
    world = worlds(seed=7)
    other = world.chip.parent / "hwmon1"
    other.mkdir()
    (other / "power2_input").write_text("250000\n")
    (other / "power2_label").write_text("VCCAUX\n")
    world.events = [(1021.0, (other / "power2_input").unlink)]
    found = measure(world, [world.contender("a", lambda t: 0.8)], tmp_path / "log")
    by_rail = {result.rail: result for result in found}
    assert set(by_rail) == {"ina260_u14 power1", "hwmon1 VCCAUX"}
    assert by_rail["ina260_u14 power1"].net_joules.runs == 10
    assert by_rail["hwmon1 VCCAUX"].net_joules.mean == pytest.approx(0.0, abs=1e-9)
    assert by_rail["hwmon1 VCCAUX"].runs_left_out >= 5


def test_a_wall_clock_that_is_set(worlds, tmp_path: Path) -> None:
    world = worlds(seed=8)
    world.events = [(1020.0, lambda: setattr(world, "wall_offset", 0.0))]
    (result,) = measure(world, [world.contender("a", lambda t: 0.8)], tmp_path / "log")
    assert result.net_joules.runs == 10
    assert result.net_joules.low <= expected(0.8) <= result.net_joules.high


def test_a_machine_that_was_suspended(worlds, tmp_path: Path) -> None:
    """The monotonic clock leaps: the run it happened in does not count."""
    world = worlds(seed=9)

    def leap() -> None:
        world.now += 100.0
        world.next = world.now

    world.events = [(1014.0, leap)]
    (result,) = measure(world, [world.contender("a", lambda t: 0.8)], tmp_path / "log")
    assert result.runs_left_out == 1
    assert result.net_joules.low <= expected(0.8) <= result.net_joules.high


# --- an external meter ---------------------------------------------------------------------------


def test_a_meters_record(worlds, tmp_path: Path) -> None:
    """The meter's clock is 3600.5 s behind; the board's clock is set meanwhile."""
    world = worlds(seed=10)
    rows = ["time,V,A"]

    class Meter:
        name = "meter"

        def read(self) -> float:
            watts = world.watts()
            rows.append(f"{world.now + 1.7e9 - 3600.5:.4f},5.0,{watts / 5:.6f}")
            return watts

        def close(self) -> None: ...

    log = Log(tmp_path / "log", {})
    run_experiment([world.contender("a", lambda t: 0.8)], 10, DURATIONS,
                   WorldSampler(world, [Meter()]), log)  # fmt: skip
    record = tmp_path / "meter.csv"
    record.write_text("\n".join(rows) + "\n")
    times, watts = read_recording(record, "time", "V*A")
    samples = line_up(times, watts, log.records, 3600.5, "meter")
    (result,) = analyse(log.records, samples)
    assert result.net_joules.runs == 10
    assert result.net_joules.low <= expected(0.8) <= result.net_joules.high
    with pytest.raises(DataError, match="no time in common: check --meter-offset"):
        line_up(times, watts, log.records, 0.0, "meter")
    with pytest.raises(DataError, match="has no column 'W'; it has time, V, A"):
        read_recording(record, "time", "W")
    record.write_text("time,W\n2024-05-01T12:00:00Z,1.5\n2024-05-01T12:00:01+00:00,1.5\n")
    assert read_recording(record, "time", "W")[0] == [1714564800.0, 1714564801.0]
    record.write_text("time,W\n12:00,1.5\n13:00,1\n")
    with pytest.raises(DataError, match="line 2"):
        read_recording(record, "time", "W")


def test_a_serial_meter() -> None:
    pytest.importorskip("serial")
    ours, theirs = os.openpty()
    try:
        (sensor,) = open_sensors(f"serial:{os.ttyname(theirs)}:9600")
        with pytest.raises(SensorError, match="has said nothing for 2 s"):
            sensor.read()
        os.write(ours, b"99 W\nP = 1.62")  # the first line may have begun before
        os.write(ours, b"5 W\nP = ")
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                assert sensor.read() == 1.625
                break
            except SensorError:
                continue
        else:
            pytest.fail("no reading")
        sensor.close()
    finally:
        os.close(ours)
        os.close(theirs)
    with pytest.raises(SensorError, match="cannot be opened"):
        open_sensors("serial:/dev/nowhere")


def test_a_serial_meter_without_pyserial(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "serial", None)
    with pytest.raises(ToolError, match=r"pip install 'axynq\[serial\]'"):
        open_sensors("serial:/dev/ttyUSB0")


def test_a_function_as_meter(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "my_meter.py").write_text(
        "def watts():\n    return 2\ndef bad():\n    return 1/0\n"
    )
    monkeypatch.chdir(tmp_path)
    (sensor,) = open_sensors("my_meter:watts")
    assert sensor.read() == 2.0
    with pytest.raises(SensorError, match="failed: division by zero"):
        open_sensors("my_meter:bad")[0].read()
    for wrong in ("my_meter:nothing", "no_such_module:f"):
        with pytest.raises(SensorError, match="is no function"):
            open_sensors(wrong)


def test_sensors_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(SensorError, match="unknown power sensor 'volts'"):
        open_sensors("volts")
    with pytest.raises(SensorError, match="has no power sensor. PYNQ-Z1 and Z2 have none"):
        open_sensors(f"hwmon:{tmp_path}")
    path = tmp_path / "power1_input"
    path.write_text("none\n")
    with pytest.raises(SensorError, match="gives no number"):
        open_sensors(f"hwmon:{path}")[0].read()
    with pytest.raises(SensorError, match="unknown unit 'kW'"):
        open_sensors(f"hwmon:{path}:kW")
    with pytest.raises(SensorError, match="pynq finds no power rail"):
        open_sensors("pynq")


def test_rails_that_pynq_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By power, or by voltage and current; pynq's own rails and sensors, of files here."""
    pynq = pytest.importorskip("pynq")
    from pynq.pmbus import Rail, SysFSSensor

    def rail(name: str, **readings: float) -> Rail:
        made = Rail(name)
        for kind, reading in readings.items():
            path = tmp_path / f"{name}_{kind}"
            path.write_text(f"{reading}\n")
            setattr(made, kind, SysFSSensor(str(path), "", kind, 0.001))
        return made

    rails = {
        "b": rail("b", voltage=12_000, current=500),
        "a": rail("a", power=2_500, voltage=5_000),
        "c": rail("c", voltage=5_000),
    }
    monkeypatch.setattr(pynq, "get_rails", lambda: rails)
    sensors = open_sensors("pynq")
    assert [sensor.name for sensor in sensors] == ["a", "b"]
    assert [sensor.read() for sensor in sensors] == [2.5, 6.0]
    (tmp_path / "b_current").write_text("none\n")
    with pytest.raises(SensorError, match="rail 'b' gives no reading: could not convert"):
        sensors[1].read()


def two_rails(tmp_path: Path) -> Path:
    """The file of the second of two rails."""
    chip = tmp_path / "sys" / "hwmon0"
    chip.mkdir(parents=True)
    (chip / "name").write_bytes(b"ina\xff260\n")
    for number, watts in ((1, 1500000), (2, 250000)):
        (chip / f"power{number}_input").write_text(f"{watts}\n")
    return chip / "power2_input"


@pytest.mark.parametrize("content", ["N/A\n", "", "nan\n", "inf\n", "\0\0", "\xff", "0x10"])
def test_a_rail_without_a_reading_at_the_start(tmp_path: Path, content: str) -> None:
    path = two_rails(tmp_path)
    path.write_text(content, encoding="latin-1")
    said: list[str] = []
    (sensor,) = readable(open_sensors(f"hwmon:{tmp_path / 'sys'}"), said.append)
    assert sensor.read() == 1.5
    (line,) = said
    assert line.startswith("going on without rail 'ina\ufffd260 power2': ")
    with pytest.raises(SensorError, match="power2_input gives no number"):
        readable(open_sensors(f"hwmon:{path}"), said.append)
    path.with_name("power1_input").write_text(content, encoding="latin-1")
    with pytest.raises(SensorError, match="power1_input gives .*power2_input gives"):
        readable(open_sensors(f"hwmon:{tmp_path / 'sys'}"), said.append)
    assert len(said) == 1


def test_a_rail_that_the_kernel_cannot_read(tmp_path: Path) -> None:
    path = two_rails(tmp_path)
    path.unlink()
    path.symlink_to("/proc/self/mem")  # reading its beginning is an error like a chip's
    said: list[str] = []
    assert len(readable(open_sensors(f"hwmon:{tmp_path / 'sys'}"), said.append)) == 1
    assert "power2_input gives no reading: Input/output error" in said[0]


def test_negative_power_is_power(tmp_path: Path) -> None:
    path = two_rails(tmp_path)
    path.write_text("-250000\n")
    assert readable(open_sensors(f"hwmon:{path}"))[0].read() == -0.25


def test_colons_in_the_paths_of_sysfs(tmp_path: Path) -> None:
    folder = tmp_path / "pci0000:00" / "0000:00:1f.0"
    folder.mkdir(parents=True)
    (folder / "power1_input").write_text("1500\n")
    assert open_sensors(f"hwmon:{folder}/power1_input:mW")[0].read() == 1.5
    assert open_sensors(f"hwmon:{folder}/power1_input")[0].read() == 0.0015
    with pytest.raises(SensorError, match="0000:00:1f.0/gone has no power sensor"):
        open_sensors(f"hwmon:{folder}/gone")


def test_readings_that_are_no_numbers(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "odd_meter.py").write_text("watts = lambda: float('nan')\nraise_ = 1\n")
    (tmp_path / "broken_meter.py").write_text("raise RuntimeError('no bus')\n")
    monkeypatch.chdir(tmp_path)
    sampler = Sampler(open_sensors("odd_meter:watts"), 10)
    sampler.take()
    assert sampler.drain() == []
    assert "gives no number: nan" in sampler.reasons["odd_meter:watts"]
    with pytest.raises(SensorError, match="is no function: no bus"):
        open_sensors("broken_meter:watts")


def test_rails_of_one_name(tmp_path: Path) -> None:
    for chip in ("hwmon0", "hwmon1"):
        (tmp_path / chip).mkdir()
        (tmp_path / chip / "name").write_text("irps5401\n")
        (tmp_path / chip / "power1_input").write_text("1\n")
    sensors = unique_names(open_sensors(f"hwmon:{tmp_path}"))
    assert [sensor.name for sensor in sensors] == ["irps5401 power1", "irps5401 power1 2"]


# --- sampling and logging for real ---------------------------------------------------------------


def test_the_samplers_thread(tmp_path: Path) -> None:
    path = tmp_path / "power1_input"
    path.write_text("1250000\n")
    sampler = Sampler(open_sensors(f"hwmon:{path}"), 200)
    before = time.monotonic()
    sampler.start()
    samples = []
    while len(samples) < 20:
        samples += sampler.drain()
        time.sleep(0.01)
    path.unlink()
    while not sampler.missed:
        time.sleep(0.01)
    sampler.close()
    times = [sample.time for sample in samples]
    assert times == sorted(times)
    assert before <= times[0]
    assert times[-1] <= time.monotonic()
    assert {sample.watts for sample in samples} == {1.25}
    assert "gives no reading" in next(iter(sampler.reasons.values()))
    assert not [t for t in threading.enumerate() if t.name == "power sampler"]


def test_a_full_disk(worlds, tmp_path: Path) -> None:
    world = worlds()
    log = Log(tmp_path / "log", {})
    (tmp_path / "log" / "samples.csv").symlink_to("/dev/full")
    with pytest.raises(DataError, match=r"cannot be written: No space left .* to resume"):
        measure(world, [world.contender("a", lambda t: 0.8)], tmp_path, log=log)
    assert len(log.records) == 1  # still in memory
    (tmp_path / "log" / "samples.csv").unlink()
    again = Log(tmp_path / "log", {})
    assert again.records == []
    (result,) = measure(world, [world.contender("a", lambda t: 0.8)], tmp_path, log=again)
    assert result.net_joules.runs == 10


def test_a_row_cut_short(worlds, tmp_path: Path) -> None:
    world = worlds()
    contender = world.contender("a", lambda t: 0.8)
    measure(world, [contender], tmp_path / "log", rounds=2)
    for name in ("slots.csv", "samples.csv"):
        path = tmp_path / "log" / name
        path.write_bytes(path.read_bytes()[:-3])
    log = Log(tmp_path / "log", {})
    assert len(log.records) == 4
    (result,) = measure(world, [contender], tmp_path / "log", rounds=3, log=log)
    assert result.net_joules.runs == 3


def test_another_experiments_folder(tmp_path: Path) -> None:
    Log(tmp_path / "log", {"rate": 20})
    with pytest.raises(DataError, match="another setting of rate: 20, not 10"):
        Log(tmp_path / "log", {"rate": 10})
    (tmp_path / "log" / "experiment.json").write_text("[")
    with pytest.raises(DataError, match="does not hold an experiment"):
        Log(tmp_path / "log", {"rate": 20})
    with pytest.raises(DataError, match="cannot be written"):
        Log(Path("/proc/nowhere"), {})


def test_interrupted_and_resumed(worlds, tmp_path: Path) -> None:
    world = worlds()
    contender = world.contender("a", lambda t: 0.8)
    world.events = [(1030.0, lambda: signal.raise_signal(signal.SIGINT))]
    with pytest.raises(KeyboardInterrupt):
        measure(world, [contender], tmp_path / "log")
    assert world.sampler is None  # stopped
    log = Log(tmp_path / "log", {})
    assert 0 < len(log.records) < 21
    (result,) = measure(world, [contender], tmp_path / "log", log=log)
    assert {record.session for record in log.records} == {0, 1}
    assert result.net_joules.runs == 10
    assert result.net_joules.low <= expected(0.8) <= result.net_joules.high
    content = json.loads((tmp_path / "log" / "experiment.json").read_text())
    assert content == {}
