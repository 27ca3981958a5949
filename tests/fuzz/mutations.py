# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Changes to files that keep their form, so that what is behind the form is reached: fields of
flatbuffers, messages of protobuf, values of JSON, members of archives with their checksums."""

from __future__ import annotations

import hashlib
import io
import json
import math
import random
import re
import struct
import tarfile
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

Mutate = Callable[[bytes, random.Random], bytes]

INTEGERS = (
    0,
    1,
    2,
    3,
    4,
    7,
    8,
    9,
    16,
    127,
    128,
    255,
    256,
    32767,
    65535,
    2**24,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**63 - 1,
    2**64,
    -1,
    -2,
    -128,
    -129,
    -(2**31),
    -(2**63),
    10**30,
)
REALS = (0.0, -0.0, 1.0, -1.0, 0.5, 1e-45, 1e-300, 1e300, math.inf, -math.inf, math.nan)
TEXTS = (
    "",
    "a",
    "exact",
    "roup:1,4",
    "smapprox:9999",
    "table:x.npz",
    "\0",
    "é",
    "a" * 300,
    "/",
    "../x",
    "1",
    "nan",
    "\ud800",
)


def odd_value(dice: random.Random) -> Any:
    """Something that JSON can hold."""
    kind = dice.randrange(6)
    if kind == 0:
        return dice.choice(INTEGERS)
    if kind == 1:
        return dice.choice(REALS)
    if kind == 2:
        return dice.choice(TEXTS)
    if kind == 3:
        return dice.choice((None, True, False))
    if kind == 4:
        return dice.choice(([], {}, [[]], [0], [1, 2], {"": 0}))
    return [dice.choice(INTEGERS) for _ in range(dice.randrange(5))]


def change_value(content: Any, dice: random.Random) -> Any:
    """The same JSON with one value changed, somewhere."""
    if isinstance(content, dict) and content and dice.random() < 0.95:
        key = dice.choice(list(content))
        changed = dict(content)
        action = dice.random()
        if action < 0.05:
            del changed[key]
        elif action < 0.1:
            changed[dice.choice([*content, *TEXTS])] = content[key]
        else:
            changed[key] = change_value(content[key], dice)
        return changed
    if isinstance(content, list) and content and dice.random() < 0.9:
        place = dice.randrange(len(content))
        changed_list = list(content)
        action = dice.random()
        if action < 0.08:
            del changed_list[place]
        elif action < 0.16:
            changed_list.insert(place, content[place])
        else:
            changed_list[place] = change_value(content[place], dice)
        return changed_list
    if isinstance(content, int) and not isinstance(content, bool) and dice.random() < 0.5:
        return content + dice.choice((-1, 1, content, -2 * content))
    return odd_value(dice)


def json_text(content: bytes, dice: random.Random) -> bytes:
    """JSON with a value changed."""
    try:
        changed = change_value(json.loads(content), dice)
    except (ValueError, RecursionError):
        return content
    return json.dumps(changed).encode("utf-8", "replace")


def toml_text(content: bytes, dice: random.Random) -> bytes:
    """TOML with the value of a line changed, or a line gone or twice."""
    lines = content.split(b"\n")
    place = dice.randrange(len(lines))
    action = dice.random()
    key, equals, value = lines[place].partition(b"=")
    if equals and action < 0.8:
        text: object = odd_value(dice)
        if dice.random() < 0.3 and value.strip()[:1] == b"[":
            text = [odd_value(dice) for _ in range(dice.randrange(4))]
        written = json.dumps(text).replace("Infinity", "inf").replace("NaN", "nan")
        lines[place] = key + b"= " + written.encode("utf-8", "replace")
    elif action < 0.9:
        del lines[place]
    else:
        lines.insert(dice.randrange(len(lines)), lines[place])
    return b"\n".join(lines)


def flatbuffer(content: bytes, dice: random.Random) -> bytes:
    """A flatbuffer with one to three slots changed: fields of tables, entries of vectors, lengths.

    Slots are found without a schema: whatever can be followed as a table or a vector is one.
    """
    try:
        slots = _slots(content)
    except (struct.error, IndexError):
        return content
    if not slots:
        return content
    changed = bytearray(content)
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        place = dice.choice(slots)
        action = dice.randrange(5)
        if action == 0 and place + 1 <= len(changed):
            changed[place] = dice.choice((0, 1, 2, 3, 4, 5, 6, 7, 9, 127, 128, 255))
        elif action == 1 and place + 4 <= len(changed):
            other = dice.choice(slots)
            changed[place : place + 4] = content[other : other + 4].ljust(4, b"\0")
        elif action == 2 and place + 4 <= len(changed):
            struct.pack_into("<I", changed, place, dice.choice(INTEGERS) & 0xFFFFFFFF)
        elif action == 3 and place + 4 <= len(changed):
            value = struct.unpack_from("<i", changed, place)[0] + dice.choice((-4, -1, 1, 2, 4))
            struct.pack_into("<I", changed, place, value & 0xFFFFFFFF)
        elif place + 4 <= len(changed):
            value = dice.choice(REALS)
            number = value if abs(value) < 1e38 or not math.isfinite(value) else 0.0
            struct.pack_into("<f", changed, place, number)
    return bytes(changed)


def _slots(content: bytes) -> list[int]:
    """Places of what a flatbuffer says."""
    slots: list[int] = []
    todo, seen = [struct.unpack_from("<I", content)[0]], set[int]()
    while todo and len(slots) < 20_000:
        table = todo.pop()
        if table in seen or table + 4 > len(content):
            continue
        seen.add(table)
        where = table - struct.unpack_from("<i", content, table)[0]
        if not 0 <= where <= len(content) - 4:
            continue
        size, inline = struct.unpack_from("<HH", content, where)
        if size < 4 or size % 2 or where + size > len(content) or inline > 4096:
            continue
        for field in range(where + 4, where + size, 2):
            offset = struct.unpack_from("<H", content, field)[0]
            if not offset:
                continue
            slots.append(field)
            place = table + offset
            if place + 4 > len(content):
                continue
            slots.append(place)
            target = place + struct.unpack_from("<I", content, place)[0]
            if target % 4 or not place < target <= len(content) - 8:
                continue
            todo.append(target)
            count = struct.unpack_from("<I", content, target)[0]
            if 0 < count < 4096 and target + 4 + count <= len(content):
                slots.append(target)
                for entry in range(target + 4, min(target + 4 + 4 * count, len(content) - 4), 4):
                    slots.append(entry)
                    todo.append(entry + struct.unpack_from("<I", content, entry)[0])
    return slots


def onnx_network(content: bytes, dice: random.Random) -> bytes:
    """An ONNX file with a field of its graph changed."""
    import onnx

    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except Exception:  # protobuf's own kind of error
        return content
    try:
        _change_message(model, dice)
    except (ValueError, TypeError, OverflowError):
        return content  # a value that does not suit the field
    return model.SerializeToString()


def _change_message(message: Any, dice: random.Random) -> None:
    """One change in a message of protobuf or in one inside it."""
    fields = message.ListFields()
    if not fields:
        return
    field, value = dice.choice(fields)
    kind = field.cpp_type
    if field.label == field.LABEL_REPEATED:
        place = dice.randrange(len(value))
        action = dice.random()
        if action < 0.05:
            del value[place]
        elif action < 0.1 and kind == field.CPPTYPE_MESSAGE:
            value.add().CopyFrom(value[place])
        elif action < 0.1:
            value.append(value[place])
        elif kind == field.CPPTYPE_MESSAGE:
            _change_message(value[place], dice)
        else:
            value[place] = _scalar(field, value[place], dice)
    elif kind == field.CPPTYPE_MESSAGE and dice.random() < 0.97:
        _change_message(value, dice)
    elif kind == field.CPPTYPE_MESSAGE or dice.random() < 0.1:
        message.ClearField(field.name)
    else:
        setattr(message, field.name, _scalar(field, value, dice))


def _scalar(field: Any, value: Any, dice: random.Random) -> Any:
    if field.cpp_type == field.CPPTYPE_STRING:
        if field.type == field.TYPE_BYTES:
            return any_bytes(value, dice)
        names = (
            "Conv",
            "Add",
            "Relu",
            "Gemm",
            "MatMul",
            "QLinearConv",
            "QuantizeLinear",
            "DequantizeLinear",
            "Reshape",
            "Transpose",
            "Concat",
            "Clip",
            "Softmax",
            "Pad",
            "AveragePool",
            "Slice",
            "Split",
            "Gather",
            "Constant",
            "Loop",
            "If",
        )
        return dice.choice((*TEXTS[:-1], *names))
    if field.cpp_type in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE):
        return dice.choice(REALS)
    if dice.random() < 0.5:
        return value + dice.choice((-1, 1, 2))
    return dice.choice(INTEGERS)


def any_bytes(content: bytes, dice: random.Random) -> bytes:
    """A byte changed, or a part gone, or twice."""
    if not content:
        return b"\0"
    place = dice.randrange(len(content))
    action = dice.randrange(4)
    changed = bytearray(content)
    if action == 0:
        changed[place] = dice.randrange(256)
    elif action == 1:
        changed[place] ^= 1 << dice.randrange(8)
    elif action == 2:
        del changed[place : place + dice.randrange(1, 9)]
    else:
        changed[place:place] = changed[place : place + dice.randrange(1, 9)]
    return bytes(changed)


def zip_archive(member: Mutate) -> Mutate:
    """A zip with a member's content changed by ``member``, or its name; checksums are right."""

    def mutate(content: bytes, dice: random.Random) -> bytes:
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                if sum(info.file_size for info in archive.infolist()) > 1 << 20:
                    return content
                members = [(info.filename, archive.read(info)) for info in archive.infolist()]
        except Exception:  # whatever zipfile makes of damage
            return content
        if not members:
            return content
        members = _change_member(members, member, dice)
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w", dice.choice((0, 8))) as archive:
            for name, inside in members:
                archive.writestr(zipfile.ZipInfo(name), inside)
        return made.getvalue()

    return mutate


def tar_archive(member: Mutate) -> Mutate:
    """The same for a tar."""

    def mutate(content: bytes, dice: random.Random) -> bytes:
        try:
            with tarfile.open(fileobj=io.BytesIO(content)) as archive:
                members = [
                    (each.name, file.read(1 << 20))
                    for each in archive
                    if (file := archive.extractfile(each)) is not None
                ]
        except Exception:  # whatever tarfile makes of damage
            return content
        if not members:
            return content
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode="w") as archive:
            for name, inside in _change_member(members, member, dice):
                info = tarfile.TarInfo(name)
                info.size = len(inside)
                info.type = dice.choice((tarfile.REGTYPE,) * 9 + (tarfile.SYMTYPE,))
                archive.addfile(info, io.BytesIO(inside))
        return made.getvalue()

    return mutate


def _change_member(
    members: list[tuple[str, bytes]], member: Mutate, dice: random.Random
) -> list[tuple[str, bytes]]:
    place = dice.randrange(len(members))
    name, inside = members[place]
    changed = list(members)
    action = dice.random()
    if action < 0.05:
        del changed[place]
    elif action < 0.15:
        names = (*TEXTS[1:-1], "a/b.png", "test/c/d.png", name + "x")
        changed[place] = (dice.choice(names).replace("\0", "0"), inside)
    else:
        changed[place] = (name, member(inside, dice))
    return changed


def numpy_array(content: bytes, dice: random.Random) -> bytes:
    """A ``.npy`` of another type or shape, or with its header or values changed."""
    action = dice.random()
    if action < 0.4:
        return any_bytes(content[:128], dice) + content[128:]
    if action < 0.5:
        return any_bytes(content, dice)
    kinds = (
        "b",
        "i1",
        "u1",
        "<i2",
        ">i4",
        "<u8",
        "<f2",
        "<f4",
        "<f8",
        "<c8",
        "S3",
        "U3",
        "<M8[s]",
        "V4",
    )
    shape = tuple(dice.choice((0, 1, 2, 3, 4, 256)) for _ in range(dice.randrange(5)))
    if math.prod(shape) > 1 << 17:
        shape = (2, 3)
    made = io.BytesIO()
    values = np.zeros(shape, np.dtype(dice.choice(kinds)))
    if values.dtype.kind == "f":
        values[...] = dice.choice(REALS)
    np.save(made, values)
    return made.getvalue()


def program(content: bytes, dice: random.Random) -> bytes:
    """A compiled program with a value of its description changed; the checksum is right."""
    head = struct.Struct("<6sH32sI")
    if len(content) < head.size:
        return content
    magic, version, _, length = head.unpack_from(content)
    body = content[head.size :]
    text, rest = body[:length], body[length:]
    text = json_text(text, dice) if dice.random() < 0.9 else any_bytes(text, dice)
    if dice.random() < 0.1:
        rest = any_bytes(rest, dice)
    digest = hashlib.sha256(struct.pack("<I", len(text)) + text + rest).digest()
    return head.pack(magic, version, digest, len(text)) + text + rest


def words(choices: tuple[str, ...]) -> Mutate:
    """Texts of such words: one is put in, or takes the place of another."""

    def mutate(content: bytes, dice: random.Random) -> bytes:
        text = content.decode("utf-8", "replace")
        pieces = re.split(r"([|+=,:#\s;]+)", text)
        place = dice.randrange(len(pieces))
        if dice.random() < 0.5:
            pieces[place] = dice.choice(choices)
        else:
            pieces.insert(place, dice.choice(choices))
        return "".join(pieces).encode("utf-8", "replace")

    return mutate
