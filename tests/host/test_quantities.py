# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Numbers as meters and spreadsheets write them: read right, or refused."""

from __future__ import annotations

import codecs
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axynq.emulator.errors import DataError
from axynq.host.power.log import Record
from axynq.host.power.quantities import decimal_sign, number, power_in
from axynq.host.power.recorded import Layout, line_up, read_recording
from axynq.host.power.schedule import Slot
from axynq.host.power.sensor import SensorError, open_sensors

# --- a line of a meter ---------------------------------------------------------------------------


@st.composite
def written_numbers(draw: st.DrawFn) -> tuple[str, float]:
    """A number in any of the usual forms, and what it is."""
    whole = draw(st.sampled_from(["", "0", "1", "07", "42", "16384"]))
    fraction = draw(st.sampled_from(["", ".", ".0", ".5", ".523", ".000125"]))
    if not any(c.isdigit() for c in whole + fraction):
        whole = "3"
    sign = draw(st.sampled_from(["", "+", "-"]))
    exponent = draw(st.sampled_from(["", "e0", "e-1", "E+2", "e-03"]))
    text = sign + whole + fraction + exponent
    return text, float(text)


FACTORS = {"W": 1.0, "mW": 1e-3, "uW": 1e-6, "µW": 1e-6, "kW": 1e3, "watts": 1.0}


@given(
    written_numbers(),
    st.sampled_from(list(FACTORS)),
    st.sampled_from(["", " "]),
    st.sampled_from(["", "P = ", "CH1: ", "2026-11-26T12:00:01 ", "12:00:01.25 ", "T=25.3 C; "]),
    st.sampled_from(["", " ok", ", 50 Hz", "; 5.0 V"]),
    st.booleans(),
)
def test_powers_in_all_forms(written, unit, gap, before, behind, comma) -> None:
    text, value = written
    line = f"{before}{text}{gap}{unit}{behind}"
    if comma:
        line = line.replace(".", ",")
    assert power_in(line, "comma" if comma else "point") == pytest.approx(value * FACTORS[unit])


@pytest.mark.parametrize(
    ("line", "watts"),
    [
        (".523 W", 0.523),
        ("5.2e-1 W", 0.52),
        ("1. W", 1.0),
        ("\u22120.5 W", -0.5),
        ("1.625", 1.625),
        ("1.625 5.012 0.325", 1.625),
        ("1.625,5.012,0.325", 1.625),
        ("1.625; 5", 1.625),
        ("P[mW]=523", 0.523),
        ("P(W): 1.5, E(Wh): 3", 1.5),
        ("12.5 Wh 1.6 W", 1.6),
        ("5.0 V 300 mA", 1.5),
        ("V=5.0 A=.5", 2.5),
        ("U: 5000 mV, I: 300 mA, P: 1.4 W", 1.4),
        ("CH1 1.625", 1.625),
        ("2026-11-26 1.625", 1.625),
        ("60 Hz 1.2", 1.2),
        ("192.168.1.1 1.6", 1.6),
        # no power
        ("", None),
        ("hello", None),
        ("ready 1.2.3", None),
        ("5 V", None),
        ("12.5 Wh", None),
        ("25.3 °C", None),
        ("0x1F", None),
        ("1_000", None),
        ("5.2e W", None),
        ("12:00:01", None),
    ],
)
def test_lines(line: str, watts: float | None) -> None:
    assert power_in(line) == (None if watts is None else pytest.approx(watts))


@pytest.mark.parametrize(
    "line", ["1,625 W", "1,625", "12,5", "1,234,567 W", "1.234,5 W", "1.6 MW", "1e400 W", "nan W",
             "inf", "OL"],
)  # fmt: skip
def test_lines_that_are_refused(line: str) -> None:
    with pytest.raises(ValueError, match="."):
        power_in(line)


def test_what_the_user_says_of_lines() -> None:
    assert power_in("1,625 W", "comma") == 1.625
    assert power_in("1,625;5,0", "comma") == 1.625
    assert power_in("523", unit="mW") == pytest.approx(0.523)
    assert power_in("523 W", unit="mW") == 523
    assert power_in("1.0 2.0 3.0", place=2) == 2.0
    assert power_in("1.0 W 2.0 W", place=2) == 2.0
    assert power_in("1.0", place=2) is None
    with pytest.raises(ValueError, match="has a point, where the decimal sign is a comma"):
        power_in("1.625 W", "comma")


@pytest.mark.parametrize(
    ("texts", "sign"),
    [
        (["1", "2"], "point"),
        (["1.234", "2"], "point"),
        (["1,5", "1,234"], "comma"),
        (["0,234"], "comma"),
        (["1732600000,123"], "comma"),
        (["1.234,5"], "comma"),
        (["1.234.567"], "comma"),
        (["1,234.5", "1,234"], "point"),
        (["1,234,567"], "point"),
    ],
)
def test_decimal_signs(texts: list[str], sign: str) -> None:
    assert decimal_sign(texts) == sign


def test_decimal_signs_that_cannot_be_told() -> None:
    with pytest.raises(ValueError, match=r"'1,234' may be 1.234 or 1234"):
        decimal_sign(["5", "1,234"])
    with pytest.raises(ValueError, match="'0,5' has a decimal comma, '0.5' a decimal point"):
        decimal_sign(["0,5", "0.5"])


def test_numbers() -> None:
    assert number("1,234.5") == 1234.5
    assert number("1.234,5", "comma") == 1234.5
    for wrong in ("", ".", "1e", "nan", "inf", "1e400", "1_0", "１", "0x1", "12,34", "1,2345"):
        with pytest.raises(ValueError, match="is"):
            number(wrong)


# --- a serial line -------------------------------------------------------------------------------


@pytest.fixture
def serial_line() -> Iterator[Callable[[str], tuple[int, str]]]:
    """Our end of a line, and the specification of a meter at the other."""
    pytest.importorskip("serial")
    opened: list[int] = []

    def make(options: str = "") -> tuple[int, str]:
        ours, theirs = os.openpty()
        opened.extend((ours, theirs))
        return ours, f"serial:{os.ttyname(theirs)}:9600{options}"

    yield make
    for descriptor in opened:
        os.close(descriptor)


def last_reading(sensor, expected: float) -> None:
    """Waits for it: lines come in their own time."""
    deadline = time.monotonic() + 20
    reading: float | str = "nothing"
    while time.monotonic() < deadline:
        try:
            reading = sensor.read()
            if reading == pytest.approx(expected):
                return
        except SensorError as error:
            reading = str(error)
        time.sleep(0.01)
    pytest.fail(f"{reading}, not {expected}")


def test_what_a_serial_meter_may_write(serial_line) -> None:
    ours, specification = serial_line()
    (sensor,) = open_sensors(specification)
    os.write(ours, b"25 W\n")  # the end of a line that began before
    for text, watts in [
        (b"1.625 W\r\n", 1.625),
        (b"\r\n.523 W\r", 0.523),
        (b"\x00\x005.2e-1 W\n", 0.52),
        (b"340 \xb5W\n", 340e-6),
        (b"350 \xc2\xb5W\n", 350e-6),
        (b"junk\n\x07\x01 9 W\n1.7 W\n5.0 V\n1.", 1.7),
        (b"8 W\n", 1.8),
        (b"5.0 V 300 mA\n", 1.5),
    ]:
        os.write(ours, text)
        last_reading(sensor, watts)
    for text, reason in [
        (b"1,625 W\n", "may be one number or several"),
        (b"nan W\n", "it says 'nan W'"),
        (b"1e400 W\n", "too large"),
    ]:
        os.write(ours, text)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                sensor.read()
            except SensorError as error:
                if reason in str(error):
                    break
            time.sleep(0.01)
        else:
            pytest.fail(reason)
        os.write(ours, b"1 W\n")
        last_reading(sensor, 1.0)
    sensor.close()


def test_what_the_user_says_of_a_serial_meter(serial_line) -> None:
    ours, specification = serial_line(":comma:mW:#2")
    (sensor,) = open_sensors(specification)
    os.write(ours, b"\n1,5 523,5\n")
    last_reading(sensor, 0.5235)
    sensor.close()
    with pytest.raises(SensorError, match="writes no power"):
        open_sensors(f"{specification}:mV")


def test_a_serial_meter_that_tells_no_power(serial_line, monkeypatch) -> None:
    monkeypatch.setattr("axynq.host.power.meter.SILENCE_S", 0.3)
    ours, specification = serial_line()
    (sensor,) = open_sensors(specification)
    os.write(ours, b"\nhello\n")
    deadline = time.monotonic() + 20
    reason = ""
    while "told no power" not in reason and time.monotonic() < deadline:
        with pytest.raises(SensorError) as error:
            sensor.read()
        reason = str(error.value)
    assert reason.endswith("has told no power for 0.3 s, but 'hello'")
    sensor.close()


# --- a record ------------------------------------------------------------------------------------

READINGS = ([1.5, 2.5, 3.5], [1.62, 0.7, 1.25])


@pytest.mark.parametrize(
    ("content", "layout"),
    [
        ("t,W\n1.5,1.62\n2.5,.7\n3.5,1.25\n", {}),
        ("t;W\n1,5;1,62\n2,5;,7\n3,5;1,25\n", {}),
        ("t\tW\r\n1,5\t1,62\r\n2,5\t0,7\r\n3,5\t1,25\r\n", {}),
        ('"t","W"\n"1,5","1,62"\n"2,5","0,7"\n"3,5","1,25"\n', {}),
        ("sep=;\nMeter 7, made 2024;x\n\nt;n;W\n1.5;0;1.62\n2.5;0;0.7\n3.5;0;1.25\n", {}),
        ("t;W\n1,500;1,620\n2,500;0,700\n3,500;1,250\n", {"decimal": "comma"}),
        ("t W\n1.5  1.62\n2.5 0.7\n3.5 1.25\n", {"delimiter": "space"}),
        ("x,y\nt,W\n1.5,1.62\n2.5,.7\n3.5,1.25\n", {"skip": 1}),
        ("t,W\n1.5,1.62\n2.5,.7\nt,W\n3.5,1.25\n4.5", {}),
        ("t,W\n1.5,1.62\n2.5,.7\n3,nan\n3.2,\n3.5,1.25\n", {}),
        ("t,W\n3.5,1.25\n2.5,.7\n1.5,1.62\n", {}),
        ("t,W\n2.5,.7\n1.5,1.62\n3.5,1.25\n", {}),
        ("t,W\n1.5,1620\n2.5,700\n3.5,1250\n", {"unit": "mW"}),
        ("t,W\n1.5,1.62 W\n2.5,700mW\n3.5,1.25\n", {}),
        ("t,W\n1500,1.62\n2500,.7\n3500,1.25\n", {"time_unit": "ms"}),
        ("t,W,\n1.5,1.62,\n2.5,.7,\n3.5,1.25,\n", {}),
    ],
)
def test_records_in_all_forms(tmp_path: Path, content: str, layout: dict) -> None:
    path = tmp_path / "meter.csv"
    for encode in (str.encode, lambda text: text.encode("utf-16"),
                   lambda text: codecs.BOM_UTF8 + text.encode()):  # fmt: skip
        path.write_bytes(encode(content))
        times, watts = read_recording(path, "t", "W", Layout(**layout))
        assert times == pytest.approx(READINGS[0])
        assert watts == pytest.approx(READINGS[1])


@pytest.mark.parametrize(
    ("head", "time_column", "power_column"),
    [
        ("t;P [mW]", "t", "P [mW]"),
        ("t_ms;P_mW", "#1", "#2"),
        ("", "#1", "#2"),
        ("time [s];U (V);I (mA)", "time [s]", "U (V)*I (mA)"),
        ("time;V;mA", "time", "V*mA"),
    ],
)
def test_units_of_columns(tmp_path: Path, head: str, time_column: str, power_column: str) -> None:
    path = tmp_path / "meter.csv"
    body = "1000;1500\n2000;1700\n" if "*" not in power_column else "1000;5;300\n2000;5;340\n"
    path.write_text(f"{head}\n{body}")
    times, watts = read_recording(path, time_column, power_column)
    assert times == ([1.0, 2.0] if "ms" in head else [1000.0, 2000.0])
    assert watts == pytest.approx([1.5, 1.7] if head else [1500, 1700])


def test_encodings(tmp_path: Path) -> None:
    path = tmp_path / "meter.csv"
    path.write_bytes("t;P (µW)\n1;1.5\n2;1.7\n".encode("latin-1"))
    with pytest.raises(DataError, match="not text in utf-8: .* --meter-encoding names another"):
        read_recording(path, "t", "P (µW)")
    watts = read_recording(path, "t", "P (µW)", Layout(encoding="latin-1"))[1]
    assert watts == pytest.approx([1.5e-6, 1.7e-6])
    path.write_bytes("t;W\n1;1.5\n2;1.7\n".encode("utf-16-be"))
    with pytest.raises(DataError, match="is no text, or its encoding is another"):
        read_recording(path, "t", "W")
    assert read_recording(path, "t", "W", Layout(encoding="utf-16-be"))[1] == [1.5, 1.7]


@pytest.mark.parametrize(
    ("content", "layout", "reason"),
    [
        ("t;W\n1;1,625\n2;1,700\n", {}, "'1,700' may be 1.700 or 1700: --meter-decimal says"),
        ("t;W\n1;0,5\n2;0.5\n", {}, "'0,5' has a decimal comma, '0.5' a decimal point"),
        ("t,W\n1,5,1,625\n2,5,1,700\n", {}, "line 2 has 4 columns, not 2"),
        ("t,W\n1,2\n2\n3,3\n", {}, "line 3 has 1 columns, not 2"),
        ("t,W\n1,2\n2,inf\n", {}, "line 3: 'inf' is not a number"),
        ("t,W\n1,2\n2,OL\n", {}, "line 3: 'OL' is not a number"),
        ("t,W\n1,2\n2,1e400\n", {}, "line 3: '1e400' is too large"),
        ("t,W\n1,2\n2,3 V\n", {}, "line 3: '3 V' is no power"),
        ("t,W\nnan,2\n2,3\n", {}, "line 2: time 'nan' is neither"),
        ("t,W\n5,1\n3,1\n6,1\n", {}, "time goes back by 2 s, to 3.000"),
        ("t,W\n1,1\n", {}, "it holds 1 readings"),
        ("t,W,W\n1,1,1\n", {}, "several columns 'W'"),
        ("x;y\n1;2\n", {}, "it has no column 't'; it has x, y"),
        ("", {}, "it has no column 't'; it has nothing"),
        ("t;W\n1;2\n", {"delimiter": ";;"}, "a delimiter is one character or one of"),
        ("t;W\n1;2\n", {"unit": "V"}, "the meter's unit is one of W"),
        ("t;W\n1;2\n", {"time_unit": "h"}, "the unit of times is one of"),
        ("t;W\n1;2\n", {"encoding": "nonsense"}, "'nonsense' is no encoding of text"),
        ("t;W\n1;2\n", {"encoding": "rot13"}, "'rot13' is no encoding of text"),
        ("t;W\n1;2\n", {"skip": 9}, "it has nothing"),
        ("t;W\n\"1;2\n" + "x" * 200_000, {}, "field larger than field limit"),
    ],
)  # fmt: skip
def test_records_that_are_refused(tmp_path: Path, content: str, layout: dict, reason: str) -> None:
    path = tmp_path / "meter.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=re.escape(reason)):
        read_recording(path, "t", "W", Layout(**layout))


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        ("I_mA", "I_mA is no power by its units"),
        ("W*I_mA", "W times I_mA is no power by its units"),
        ("P (dBm)", "'dBm' is not a unit of power"),
    ],
)
def test_columns_that_are_no_power(tmp_path: Path, column: str, reason: str) -> None:
    path = tmp_path / "meter.csv"
    path.write_text("t;W;I_mA;P (dBm)\n1;1;2;3\n2;1;2;3\n")
    with pytest.raises(DataError, match=f"{re.escape(reason)}.*--meter-unit"):
        read_recording(path, "t", column)
    assert read_recording(path, "t", "P (dBm)", Layout(unit="W"))[1] == [3, 3]


def test_times_of_iso_8601(tmp_path: Path) -> None:
    path = tmp_path / "meter.csv"
    path.write_text(
        "t;W\n2024-05-01T12:00:00,5Z;1\n2024-05-01 14:00:01.25+02:00;2\n"
        "2024-05-01T13:00:02+0100;3\n"
    )
    assert read_recording(path, "t", "W")[0] == [1714564800.5, 1714564801.25, 1714564802.0]
    path.write_text("t;W\n2024-05-01T12:00:00;1\n2024-05-01T12:00:01;2\n")
    with pytest.raises(DataError, match="line 2: time '2024-05-01T12:00:00' has no time zone"):
        read_recording(path, "t", "W")


def test_a_wall_clock_that_was_set_back() -> None:
    """Two slots at one time: a reading could belong to either."""
    slots = [Record(Slot(0, 0, None), 0, 0.0, 2.0, 100.0, 0),
             Record(Slot(1, 0, "a"), 0, 2.0, 5.0, 101.0, 10)]  # fmt: skip
    with pytest.raises(DataError, match="slot 0 was not over when slot 1 began"):
        line_up([100.5, 101.5], [1.0, 1.0], slots, 0.0, "meter")
    slots[1] = slots[1]._replace(wall=102.0)
    lined = line_up([99.0, 100.5, 102.5, 105.5], [1.0, 2.0, 3.0, 4.0], slots, 0.0, "meter")
    assert [(s.time, s.watts) for s in lined[0]] == [(0.5, 2.0), (2.5, 3.0)]
