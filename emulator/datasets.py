# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Labelled images (or other inputs) for a model, from the forms people have them in.

- ``.npz`` with arrays ``x`` and ``y``: int8 ``x`` is taken as quantised, uint8 as images, floats as
  real inputs. ``y`` are class numbers, [examples] or [examples, 1], or one-hot rows
  [examples, classes].
- A folder of class-named image folders, ``CLASS/…`` or ``train/CLASS/…`` and ``test/CLASS/…``, or
  an archive (``.tar``, ``.tar.gz``, ``.tar.xz``, ``.zip``) of one.
- The original CIFAR-10: ``cifar-10-python.tar.gz``, or the folder it unpacks to.

Classes are numbered in alphabetical order of their names. Images come as 8 bits a channel, grey or
red, green, blue: 16-bit ones lose their lower bits, transparency is left out, palettes and CMYK are
resolved, and a rotation noted beside the pixels (EXIF) is not applied, all as image loaders of
training frameworks do. Grey images among coloured ones become coloured.
"""

from __future__ import annotations

import io
import lzma
import pickle
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from axynq.emulator import files
from axynq.emulator.arrays import open_arrays
from axynq.emulator.errors import DataError, ToolError
from axynq.emulator.model.batch import arranged
from axynq.emulator.model.graph import Int8Array, Tensor

Split = Literal["train", "test"]

_IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".ppm", ".pgm"}
_CIFAR_FILES: dict[Split, tuple[str, ...]] = {
    "train": tuple(f"data_batch_{k}" for k in range(1, 6)),
    "test": ("test_batch",),
}
_CIFAR_CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)


@dataclass(frozen=True)
class Dataset:
    """Inputs and labels."""

    x: npt.NDArray[np.generic]
    """[examples, ...]: int8 quantised, uint8 images, or floats."""
    y: npt.NDArray[np.int64]
    """[examples]: class numbers."""
    classes: tuple[str, ...] = ()
    """Class names; empty where the source has none."""

    def __len__(self) -> int:
        return len(self.y)

    def evenly(self: Some, count: int | None) -> Some:
        """``count`` examples spread over all of them (all, where there are fewer, and for None):
        sources are sorted by class, and this keeps the classes balanced."""
        if count is None or count >= len(self):
            return self
        return self._at(evenly_spread(len(self), count))

    def evenly_besides(self: Some, taken: int, count: int) -> Some:
        """``count`` of the examples that ``evenly(taken)`` leaves, spread over those (all of them,
        where there are fewer)."""
        places = np.arange(len(self), dtype=np.int64)
        left = np.setdiff1d(places, evenly_spread(len(self), taken))
        return self._at(left[evenly_spread(len(left), count)])

    def _at(self: Some, places: npt.NDArray[np.int64]) -> Some:
        return replace(self, x=self.x[places], y=self.y[places])

    first = evenly
    """Its name in version 0.1."""


Some = TypeVar("Some", bound=Dataset)


def evenly_spread(length: int, count: int) -> npt.NDArray[np.int64]:
    """``count`` places in something of that length, the first and the last among them, evenly
    spread (all places, where there are fewer)."""
    return np.linspace(0, length - 1, min(count, length)).round().astype(np.int64)


def load_dataset(path: str | Path, split: Split = "test") -> Dataset:
    """Read a data set; ``split`` chooses where it has both.

    Raises:
        DataError: the path does not exist, holds no images, or is of no known form.
        ToolError: it holds images and Pillow is not installed.
    """
    path = Path(path)
    try:
        path = path.expanduser()
        if not path.exists():
            raise DataError(f"data '{path}' does not exist")
        if path.is_dir():
            return _from_files(path, _folder_files(path), split)
        files.check_readable(path)
        if path.suffix == ".npz":
            return _from_npz(path)
        if zipfile.is_zipfile(path):
            return _from_files(path, _zip_files(path), split)
        if _is_tar(path):
            return _from_files(path, _tar_files(path), split)
    except _DAMAGE as error:
        raise DataError(f"data '{path}' cannot be read: {_reason(error)}") from error
    raise DataError(
        f"data '{path}' is of no known form: give a .npz with x and y, a folder or archive of "
        "class-named image folders, or the original CIFAR-10"
    )


def quantise_examples(tensor: Tensor, x: npt.NDArray[np.generic]) -> Int8Array:
    """Examples as a batch for a network's input tensor.

    Maps may be channels first, and those of one channel lack its axis. Images (uint8) are what a
    network takes whose file takes uint8. For others they are scaled to
    the range that the tensor represents: 0..255, 0..1 or -1..1, in float32 as frameworks scale
    them, and quantised.

    Raises:
        DataError: the shape does not fit, or the tensor's range is none of these.
    """
    x = arranged(x, tensor.shape)
    if x.dtype != np.uint8 or x.shape[1:] != tensor.shape or tensor.takes_uint8:
        return tensor.batch(x)
    low, high = tensor.dequantise([-128, 127])
    # 256 possible pixels: quantise those once.
    pixels = np.arange(256, dtype=np.float32)
    for real, bounds in ((pixels, (0, 255)), (pixels / 255, (0, 1)), (pixels / 127.5 - 1, (-1, 1))):
        if np.allclose((low, high), bounds, atol=0.02 * (bounds[1] - bounds[0])):
            return tensor.quantise(real)[x.astype(np.intp)]
    raise DataError(
        f"the network takes values from {low:.3g} to {high:.3g}: how pixels become those is not "
        "known. Give the examples quantised (int8) or as real inputs (float) in a .npz"
    )


_DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    RuntimeError,  # encrypted, or packed by a method that does not exist
    MemoryError,
    OverflowError,
    LookupError,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
)
"""What reading archives raises where they are damaged."""


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error or type(error).__name__)


# --- sources -------------------------------------------------------------------------------------


Files = Iterator[tuple[PurePosixPath, Callable[[], bytes]]]
"""Relative paths, and what reads each file."""


def _from_npz(path: Path) -> Dataset:
    try:
        with open_arrays(path) as arrays:
            missing = [name for name in ("x", "y") if name not in arrays]
            if missing:
                raise DataError(
                    f"data '{path}' has no array '{missing[0]}'; it has: {', '.join(arrays)}"
                )
            x, y = np.asarray(arrays["x"]), np.asarray(arrays["y"])
    except (OSError, ValueError) as error:
        raise DataError(f"data '{path}' cannot be read: {error}") from error
    if not (isinstance(x, np.ndarray) and isinstance(y, np.ndarray) and x.ndim > 0):
        raise DataError(
            f"data '{path}': x and y must be arrays, with examples along the first axis"
        )
    try:
        return Dataset(x, class_numbers(y, len(x)))
    except DataError as error:
        raise DataError(f"data '{path}': {error}") from error


def class_numbers(y: npt.NDArray[np.generic], examples: int) -> npt.NDArray[np.int64]:
    """Class numbers [examples] from labels: integers or booleans [examples] or [examples, 1], or
    one-hot rows [examples, classes] of any type, each of zeros and exactly one 1.

    Raises:
        DataError: labels are none of these.
    """
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim == 2 and len(y) == examples and y.dtype.kind in "iufb":
        ones = y == 1
        if not (ones | (y == 0)).all() or (ones.sum(axis=1, dtype=np.int64) != 1).any():
            raise DataError("y has rows, but they are not one-hot: zeros and exactly one 1 in each")
        return np.asarray(ones.argmax(axis=1), np.int64)
    if y.ndim != 1 or len(y) != examples or y.dtype.kind not in "iub":
        raise DataError(
            f"y must be one integer for each x (or a one-hot row); it is {y.dtype} "
            f"{list(y.shape)} for {examples} examples"
        )
    return y.astype(np.int64)


def _folder_files(folder: Path) -> Files:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            name = PurePosixPath(path.relative_to(folder).as_posix())
            yield name, _reader(name, path.stat().st_size, path.read_bytes)


def _reader(name: PurePosixPath, size: int, read: Callable[[], bytes]) -> Callable[[], bytes]:
    """Reads a file unless it is larger than any image."""

    def bounded() -> bytes:
        if size > files.LARGEST_MEMBER:
            raise ValueError(f"'{name}' has {size} bytes, too many for an image")
        return read()

    return bounded


def _zip_files(path: Path) -> Files:
    with zipfile.ZipFile(path) as archive:
        for member in sorted(archive.infolist(), key=lambda member: member.filename):
            if not member.filename.endswith("/"):  # is_dir() takes no empty name
                name = PurePosixPath(member.filename)
                yield name, _reader(name, member.file_size, partial(archive.read, member))


def _is_tar(path: Path) -> bool:
    """As ``tarfile.is_tarfile``, which reads a note of any length."""
    try:
        with tarfile.open(path, tarinfo=_Member):
            return True
    except tarfile.TarError:
        return False


def _tar_files(path: Path) -> Files:
    with tarfile.open(path, tarinfo=_Member) as archive:
        for member in archive:  # in the archive's order: seeking in a compressed one is slow
            if member.isfile():
                file = archive.extractfile(member)
                assert file is not None
                name = PurePosixPath(member.name)
                yield name, _reader(name, member.size, file.read)


class _Member(tarfile.TarInfo):
    """What describes a file in a tar: long names and other notes, which are read whole, are short
    in honest archives."""

    _NOTES = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE,
              tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)  # fmt: skip
    _LONGEST_NOTE = 2**20

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Member:
        """As :class:`tarfile.TarInfo` has it.

        Raises:
            ValueError: a note is too long.
        """
        member = super().frombuf(buf, encoding, errors)
        if member.type in cls._NOTES and member.size > cls._LONGEST_NOTE:
            raise ValueError(f"a name or another note in it has {member.size} bytes")
        return member


def _from_files(path: Path, files: Files, split: Split) -> Dataset:
    """Images by class folder, or CIFAR-10's batches, whichever the files are."""
    images: dict[str, dict[PurePosixPath, npt.NDArray[np.uint8]]] = {}
    batches: dict[str, bytes] = {}
    seen_splits = set()
    held = 0
    for name, read in files:
        if name.name in (*_CIFAR_FILES["train"], *_CIFAR_FILES["test"]):
            if name.name in _CIFAR_FILES[split]:
                batches[name.name] = read()
        elif name.suffix.lower() in _IMAGE_SUFFIXES and len(name.parts) >= 2:
            given = name.parts[-3] if len(name.parts) >= 3 else ""
            if given in ("train", "test"):
                seen_splits.add(given)
                if given != split:
                    continue
            image = _decode(read(), path, name)
            images.setdefault(name.parts[-2], {})[name] = image
            held += image.nbytes
            _check_memory(held, path)
    if batches:
        return _from_cifar(path, batches, split)
    if not images:
        if seen_splits:
            raise DataError(f"data '{path}' has no '{split}' images, only '{seen_splits.pop()}'")
        raise DataError(f"data '{path}' has no images in class-named folders")
    classes = tuple(sorted(images))
    x = [image for name in classes for _, image in sorted(images[name].items())]
    if len({image.shape[2] for image in x}) > 1:
        x = [np.broadcast_to(image, (*image.shape[:2], 3)) for image in x]  # grey ones repeated
    shapes = {image.shape for image in x}
    if len(shapes) > 1:
        raise DataError(f"data '{path}' has images of different sizes: {sorted(shapes)[:3]}")
    y = np.repeat(np.arange(len(classes), dtype=np.int64), [len(images[name]) for name in classes])
    return Dataset(np.stack(x), y.astype(np.int64), classes)


def _check_memory(held: int, path: Path) -> None:
    """Images are held one by one, and put together at last."""
    if held > files.memory() // 2:
        raise DataError(f"data '{path}' has more images than this machine's memory holds")


def _decode(content: bytes, path: Path, name: PurePosixPath) -> npt.NDArray[np.uint8]:
    """An image as uint8 [rows, columns, channels]; one channel where it is grey."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ToolError("reading images needs Pillow: pip install 'axynq[images]'") from error
    if content.startswith(files.LFS_POINTER):
        raise DataError(
            f"data '{path}': image '{name}' is a Git LFS pointer, not the image itself: fetch it "
            "with `git lfs pull`"
        )
    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.mode == "I" or image.mode.startswith("I;16"):
                return _eight_bits(np.asarray(image))[..., None]
            if image.mode == "F":
                raise ValueError("its pixels are floats")
            grey = image.mode in ("1", "L", "LA", "La")
            pixels = np.asarray(image.convert("L" if grey else "RGB"))
    except (OSError, ValueError, SyntaxError, EOFError, struct.error, zlib.error, IndexError,
            KeyError, TypeError, OverflowError, Image.DecompressionBombError) as error:  # fmt: skip
        raise DataError(f"data '{path}': image '{name}' cannot be read: {error}") from error
    return pixels[..., None] if grey else pixels


def _eight_bits(pixels: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.uint8]:
    """The upper 8 of 16 bits, which is also what Pillow leaves of 16-bit colours.

    Raises:
        ValueError: there are more bits.
    """
    if pixels.size and (pixels.min() < 0 or pixels.max() > 65535):
        raise ValueError("its pixels have more than 16 bits")
    return (pixels >> 8).astype(np.uint8)


class _CifarUnpickler(pickle.Unpickler):
    """CIFAR-10 ships pickles: nothing but numpy arrays may come out of them."""

    _ALLOWED = (
        ("numpy.core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        ("_codecs", "encode"),
    )

    def find_class(self, module: str, name: str) -> object:
        if (module, name) not in self._ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed")
        return super().find_class(module, name)


def _from_cifar(path: Path, batches: dict[str, bytes], split: Split) -> Dataset:
    missing = [name for name in _CIFAR_FILES[split] if name not in batches]
    if missing:
        raise DataError(f"data '{path}' lacks CIFAR-10's {missing[0]}")
    x, y = [], []
    for name in _CIFAR_FILES[split]:
        try:
            batch = _CifarUnpickler(io.BytesIO(batches[name]), encoding="bytes").load()
            data, labels = np.asarray(batch[b"data"], np.uint8), batch[b"labels"]
            x.append(data.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
            y.append(np.asarray(labels, np.int64).reshape(len(data)))
        except Exception as error:  # no end of kinds: pickle documents none
            raise DataError(f"data '{path}': {name} is not a CIFAR-10 batch ({error})") from error
    return Dataset(np.concatenate(x), np.concatenate(y), _CIFAR_CLASSES)


def handwritten_digits(split: Split = "test") -> Dataset:
    """scikit-learn's handwritten digits: floats 0..16, [examples, 8, 8, 1]; a fifth is held out.

    Raises:
        ToolError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split
    except ImportError as error:
        raise ToolError("the digits come with scikit-learn: pip install 'axynq[demo]'") from error
    digits = load_digits()
    images = digits.images.astype(np.float32)[..., None]
    x_train, x_test, y_train, y_test = train_test_split(
        images, digits.target, test_size=0.2, random_state=0, stratify=digits.target
    )
    x, y = (x_test, y_test) if split == "test" else (x_train, y_train)
    return Dataset(x, y.astype(np.int64), tuple("0123456789"))
