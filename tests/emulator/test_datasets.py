# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Data sets in every form that is read."""

from __future__ import annotations

import io
import pickle
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from axynq.emulator.datasets import (
    Dataset,
    evenly_spread,
    handwritten_digits,
    load_dataset,
    quantise_examples,
)
from axynq.emulator.errors import DataError
from axynq.emulator.model.graph import Tensor
from tests.networks import tensor


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    """Two classes of three images in train and test; a pixel value tells which image it is."""
    for split, offset in (("train", 0), ("test", 100)):
        for c, name in enumerate(("cat", "ant")):
            folder = tmp_path / "images" / split / name
            folder.mkdir(parents=True)
            for k in range(3):
                pixels = np.full((4, 5, 3), offset + 10 * c + k, np.uint8)
                Image.fromarray(pixels).save(folder / f"{k}.png")
    return tmp_path / "images"


def check_image_data(path: Path) -> None:
    data = load_dataset(path, "test")
    assert data.classes == ("ant", "cat")
    assert data.x.shape == (6, 4, 5, 3)
    assert data.x.dtype == np.uint8
    assert data.x[:, 0, 0, 0].tolist() == [110, 111, 112, 100, 101, 102]
    assert data.y.tolist() == [0, 0, 0, 1, 1, 1]
    assert load_dataset(path, "train").x[:, 0, 0, 0].tolist() == [10, 11, 12, 0, 1, 2]


def test_class_named_folders(image_folder: Path) -> None:
    check_image_data(image_folder)


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tar.xz"])
def test_tar_archives(image_folder: Path, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"images{suffix}"
    mode = "w" if suffix == ".tar" else f"w:{suffix[5:]}"
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        archive.add(image_folder, arcname="set")
    check_image_data(path)


def test_zip_archive(image_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "images.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in image_folder.rglob("*.png"):
            archive.write(file, file.relative_to(image_folder))
    check_image_data(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("empty/", b"")  # a folder, as most archivers write them
    check_image_data(path)


def test_folders_without_a_split(image_folder: Path) -> None:
    data = load_dataset(image_folder / "test")
    assert len(data) == 6


def test_npz(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=np.arange(24).reshape(6, 4).astype(np.int8), y=np.arange(6))
    data = load_dataset(tmp_path / "d.npz")
    assert data.x.dtype == np.int8
    assert data.evenly(3).y.tolist() == [0, 2, 5]
    assert len(data.evenly(None)) == len(data.evenly(9)) == 6
    assert evenly_spread(6, 3).tolist() == [0, 2, 5]
    assert evenly_spread(6, 9).tolist() == list(range(6))
    assert data.evenly_besides(3, 2).y.tolist() == [1, 4]
    assert data.evenly_besides(3, 9).y.tolist() == [1, 3, 4]
    assert len(data.evenly_besides(6, 2)) == 0


@pytest.mark.parametrize(
    "labels",
    [
        np.array([2, 0, 1]),
        np.array([[2], [0], [1]], np.uint8),
        np.eye(3, dtype=np.int64)[[2, 0, 1]],
        np.eye(3, dtype=bool)[[2, 0, 1]],
        np.eye(3, dtype=np.float32)[[2, 0, 1]],
    ],
)
def test_labels_in_every_form(tmp_path: Path, labels: np.ndarray) -> None:
    np.savez(tmp_path / "d.npz", x=np.zeros((3, 4)), y=labels)
    data = load_dataset(tmp_path / "d.npz")
    assert data.y.tolist() == [2, 0, 1]
    assert data.y.dtype == np.int64


def test_labels_of_two_classes(tmp_path: Path) -> None:
    for labels in (np.array([True, False]), np.array([[True], [False]])):
        np.savez(tmp_path / "d.npz", x=np.zeros((2, 4)), y=labels)
        assert load_dataset(tmp_path / "d.npz").y.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([0.0, 1.0]), "it is float64"),
        (np.array(["cat", "dog"]), "it is <U3"),
        (np.array([[0, 1], [1, 1]]), "exactly one 1"),
        (np.array([[0, 1], [0, 0]]), "exactly one 1"),
        (np.array([[0, 2], [1, 0]]), "exactly one 1"),
        (np.array([[0.25, 0.75], [1, 0]]), "exactly one 1"),
        (np.array([0, 1, 2]), "for 2 examples"),
        (np.eye(3), "for 2 examples"),
        (np.zeros((2, 1, 1), int), "one integer for each x"),
        (np.array(3), "one integer for each x"),
    ],
)
def test_labels_that_are_ambiguous(tmp_path: Path, labels: np.ndarray, message: str) -> None:
    np.savez(tmp_path / "d.npz", x=np.zeros((2, 4)), y=labels)
    with pytest.raises(DataError, match=message):
        load_dataset(tmp_path / "d.npz")


def test_arrays_that_hold_no_examples(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=np.zeros((0, 4)), y=np.zeros((0, 3)))
    assert len(load_dataset(tmp_path / "d.npz")) == 0
    np.savez(tmp_path / "d.npz", x=np.array(1.0), y=np.zeros(1, int))
    with pytest.raises(DataError, match="must be arrays"):
        load_dataset(tmp_path / "d.npz")


def cifar_batches(folder: Path) -> None:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]:
        planes = rng.integers(0, 256, (2, 3072)).astype(np.uint8)
        content = {b"data": planes, b"labels": [1, 9]}
        (folder / name).write_bytes(pickle.dumps(content, protocol=2))


def test_original_cifar10(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    cifar_batches(folder)
    data = load_dataset(folder)
    raw = pickle.loads((folder / "test_batch").read_bytes())
    assert data.x.shape == (2, 32, 32, 3)
    assert data.x[0, 0, 1].tolist() == [raw[b"data"][0, plane * 1024 + 1] for plane in range(3)]
    assert data.y.tolist() == [1, 9]
    assert data.classes[9] == "truck"
    assert len(load_dataset(folder, "train")) == 10
    with tarfile.open(tmp_path / "cifar-10-python.tar.gz", "w:gz") as archive:
        archive.add(folder, arcname="cifar-10-batches-py")
    assert np.array_equal(load_dataset(tmp_path / "cifar-10-python.tar.gz").x, data.x)
    (folder / "data_batch_3").unlink()
    assert len(load_dataset(folder)) == 2
    with pytest.raises(DataError, match="lacks CIFAR-10's data_batch_3"):
        load_dataset(folder, "train")


def test_a_pickle_that_runs_code_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return (print, ("ran",))

    folder = tmp_path / "c"
    folder.mkdir()
    (folder / "test_batch").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(DataError, match="not allowed"):
        load_dataset(folder)


@pytest.mark.slow
def test_cifar10_as_images(cifar10: Dataset) -> None:
    data = cifar10
    assert data.x.shape == (10_000, 32, 32, 3)
    assert np.bincount(data.y).tolist() == [1000] * 10
    assert data.classes[0] == "airplane"
    assert data.classes[9] == "truck"


def test_handwritten_digits_are_split_reproducibly() -> None:
    train, test = handwritten_digits("train"), handwritten_digits("test")
    assert (len(train), len(test)) == (1437, 360)
    assert np.array_equal(handwritten_digits("test").y, test.y)


# --- images of other kinds than 8 bits -----------------------------------------------------------


def png(width: int, depth: int, colour: int, row: bytes) -> bytes:
    """A PNG of one row, which Pillow cannot write in every form."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    head = struct.pack(">IIBBBBB", width, 1, depth, colour, 0, 0, 0)
    chunks = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" + row))
    return b"\x89PNG\r\n\x1a\n" + chunks + chunk(b"IEND", b"")


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


SIXTEEN = np.array([[0, 255, 256, 32768, 65279, 65535]], ">u2")
CLEAR = np.array([[[10, 20, 30, 0], [40, 50, 60, 255]]], np.uint8)


def palette() -> bytes:
    image = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    image.putpalette([1, 2, 3, 200, 100, 50])
    return saved(image, "PNG", transparency=0)


def turned() -> bytes:
    image = Image.fromarray(np.array([[9, 9, 200, 200]] * 8, np.uint8).repeat(4, axis=1))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees
    return saved(image, "PNG", exif=exif)


@pytest.mark.parametrize(
    ("content", "pixels"),
    [
        (png(6, 16, 0, SIXTEEN.tobytes()), [[0], [0], [1], [128], [254], [255]]),
        (png(2, 16, 2, SIXTEEN.tobytes()), [[0, 0, 1], [128, 254, 255]]),
        (b"P5 6 1 65535\n" + SIXTEEN.tobytes(), [[0], [0], [1], [128], [254], [255]]),
        (png(8, 1, 0, b"\x05"), [[0]] * 5 + [[255], [0], [255]]),
        (saved(Image.fromarray(CLEAR, "RGBA"), "PNG"), [[10, 20, 30], [40, 50, 60]]),
        (saved(Image.fromarray(CLEAR[..., 2:], "LA"), "PNG"), [[30], [60]]),
        (palette(), [[1, 2, 3], [200, 100, 50]]),
        (saved(Image.fromarray(CLEAR, "CMYK"), "TIFF"), [[245, 235, 225], [0, 0, 0]]),
    ],
)
def test_images_become_eight_bits(tmp_path: Path, content: bytes, pixels: list) -> None:
    folder = tmp_path / "images" / "class"
    folder.mkdir(parents=True)
    (folder / "a.png").write_bytes(content)  # Pillow goes by the content
    x = load_dataset(tmp_path / "images").x
    assert x.dtype == np.uint8
    assert x[0, 0].tolist() == pixels


def test_rotations_beside_the_pixels_are_not_applied(tmp_path: Path) -> None:
    (tmp_path / "class").mkdir()
    (tmp_path / "class" / "a.png").write_bytes(turned())
    assert load_dataset(tmp_path).x.shape == (1, 8, 16, 1)


def test_images_of_more_bits(tmp_path: Path) -> None:
    (tmp_path / "class").mkdir()
    for pixels, text in (
        (np.array([[5, 200_000]], np.int32), "more than 16 bits"),
        (np.array([[0.5, 2]], np.float32), "floats"),
    ):
        (tmp_path / "class" / "a.png").write_bytes(saved(Image.fromarray(pixels), "TIFF"))
        with pytest.raises(DataError, match=f"image 'class/a.png' cannot be read: .*{text}"):
            load_dataset(tmp_path)


def test_grey_images_among_coloured_ones(image_folder: Path) -> None:
    grey = Image.fromarray(np.full((4, 5), 77, np.uint8))
    grey.save(image_folder / "test" / "cat" / "1.png")
    x = load_dataset(image_folder).x
    assert x.shape == (6, 4, 5, 3)
    assert x[4, 0, 0].tolist() == [77, 77, 77]


# --- what cannot be read -------------------------------------------------------------------------


def test_a_folder_without_images(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no images here")
    with pytest.raises(DataError, match="has no images in class-named folders"):
        load_dataset(tmp_path)


def test_files_that_git_lfs_has_not_fetched(image_folder: Path, tmp_path: Path) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n"
    (tmp_path / "d.npz").write_bytes(pointer)
    with pytest.raises(
        DataError, match=r"d.npz' cannot be read: it is a Git LFS pointer.*git lfs pull"
    ):
        load_dataset(tmp_path / "d.npz")
    (image_folder / "test" / "cat" / "1.png").write_bytes(pointer)
    with pytest.raises(DataError, match=r"image 'test/cat/1.png' is a Git LFS pointer"):
        load_dataset(image_folder)


def test_a_split_that_is_not_there(image_folder: Path) -> None:
    import shutil

    shutil.rmtree(image_folder / "test")
    with pytest.raises(DataError, match="has no 'test' images, only 'train'"):
        load_dataset(image_folder)


def test_damaged_image(image_folder: Path) -> None:
    (image_folder / "test" / "cat" / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n damaged")
    with pytest.raises(DataError, match=r"image 'test/cat/1.png' cannot be read"):
        load_dataset(image_folder)


def test_images_of_different_sizes(image_folder: Path) -> None:
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(image_folder / "test" / "cat" / "9.png")
    with pytest.raises(DataError, match="different sizes"):
        load_dataset(image_folder)


def test_other_sources_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        load_dataset(tmp_path / "nowhere")
    (tmp_path / "d.txt").write_text("what is this")
    with pytest.raises(DataError, match="no known form"):
        load_dataset(tmp_path / "d.txt")
    (tmp_path / "d.npz").write_bytes(b"PK damaged")
    with pytest.raises(DataError, match="cannot be read"):
        load_dataset(tmp_path / "d.npz")
    np.savez(tmp_path / "x.npz", x=np.zeros(3))
    with pytest.raises(DataError, match="no array 'y'"):
        load_dataset(tmp_path / "x.npz")
    np.savez(tmp_path / "l.npz", x=np.zeros(3), y=np.zeros(2, int))
    with pytest.raises(DataError, match="one integer for each x"):
        load_dataset(tmp_path / "l.npz")


def test_truncated_archive(image_folder: Path, tmp_path: Path) -> None:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:gz") as archive:
        archive.add(image_folder, arcname="set")
    (tmp_path / "cut.tar.gz").write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    with pytest.raises(DataError):
        load_dataset(tmp_path / "cut.tar.gz")


# --- pixels to inputs ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "first", "last"),
    [
        (tensor("x", (1,), 1.0, -128), -128, 127),  # 0..255
        (tensor("x", (1,), 1 / 255, -128), -128, 127),  # 0..1
        (tensor("x", (1,), 2 / 255, -1), -128, 127),  # -1..1
    ],
)
def test_pixels_follow_the_range_of_the_input(source: Tensor, first: int, last: int) -> None:
    x = quantise_examples(source, np.array([[0], [255]], np.uint8))
    assert abs(int(x[0, 0]) - first) <= 1
    assert abs(int(x[1, 0]) - last) <= 1


def test_pixels_for_an_input_of_another_range() -> None:
    with pytest.raises(DataError, match="how pixels become those is not known"):
        quantise_examples(tensor("x", (1,), 0.58, 83), np.zeros((1, 1), np.uint8))


@pytest.mark.parametrize(
    ("given", "wanted", "hint"),
    [
        ((5, 8, 8, 1), (8, 8, 3), "the images are grey, the network takes colours"),
        ((5, 8, 8, 3), (8, 8, 1), "the images have colours, the network takes grey ones"),
        ((5, 8, 8), (8, 8, 1), r"add the axis of channels, x\[..., None\]"),
        ((5, 3, 8, 8), (8, 8, 3), "channels come last"),
        ((8, 8, 3), (8, 8, 3), r"a batch of one, x\[None\]"),
        ((5, 9, 9, 3), (8, 8, 3), r"\[images, 8, 8, 3\] is expected$"),
        ((), (4,), r"\[images, 4\] is expected$"),
    ],
)
def test_shapes_that_do_not_fit(given: tuple, wanted: tuple, hint: str) -> None:
    for dtype in (np.uint8, np.int8, np.float32):
        with pytest.raises(DataError, match=hint):
            tensor("x", wanted, 1.0, -128).batch(np.zeros(given, dtype))


def test_maps_channels_first_and_without_their_only_channel_are_arranged() -> None:
    rng = np.random.default_rng(0)
    for dtype in (np.uint8, np.int8, np.float32):
        x = rng.integers(0, 100, (5, 8, 6, 3)).astype(dtype)
        colours = tensor("x", (8, 6, 3), 1.0, -128)
        np.testing.assert_array_equal(
            quantise_examples(colours, x.transpose(0, 3, 1, 2)), quantise_examples(colours, x)
        )
        grey = tensor("x", (8, 6, 1), 1.0, -128)
        np.testing.assert_array_equal(
            quantise_examples(grey, x[..., 0]), quantise_examples(grey, x[..., :1])
        )


def test_rows_of_different_lengths() -> None:
    with pytest.raises(DataError, match="is no array"):
        tensor("x", (2,), 1.0, 0).batch([[1.0, 2.0], [1.0]])
