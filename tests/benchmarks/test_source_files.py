"""The data folder: what is downloaded, unpacked or placed there is whole and safe, or refused with what to do."""

import os
import stat
import sys
import tarfile
import zipfile
from pathlib import Path

import image_files as made
import numpy as np
import pytest
from conftest import contents, python
from PIL import Image

from alkit import paths
from alkit.benchmarks.sources import catalogue, decode, downloads
from alkit.benchmarks.sources.files import can_write, read, write
from alkit.store import StoreError
from alkit.study import cli

GREY, COLOUR = (28, 28), (32, 32, 3)


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    """A data folder and a user's cache directory for this test alone; nothing is at the other end of the network."""
    monkeypatch.setenv("ALKIT_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(decode, "NOTMNIST_URLS", (made.NOWHERE,))
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.fixture
def server():
    with made.serving() as server:
        yield server


@pytest.fixture
def closed(data):
    """The data folder, closed to writing once the test asks for it."""
    yield lambda: data.chmod(0o555)
    data.chmod(0o755)


def raw_mnist(folder, monkeypatch):
    return made.put(folder / "MNIST" / "raw", made.mnist(monkeypatch))


# the folder


def test_folder_is_the_argument_then_the_environment_then_the_users_cache(tmp_path, monkeypatch):
    assert paths.data_folder(tmp_path / "mine") == tmp_path / "mine"
    assert paths.data_folder() == tmp_path / "data"
    monkeypatch.delenv("ALKIT_DATA")
    assert paths.data_folder() == tmp_path / "cache" / "alkit"


@pytest.mark.parametrize(
    ("platform", "expected"),
    [("linux", ".cache/alkit"), ("darwin", "Library/Caches/alkit"), ("win32", "AppData/Local/alkit")],
)
@pytest.mark.parametrize("xdg", [None, "relative/is/ignored"])
def test_users_cache_is_where_the_platform_has_it(platform, expected, xdg, monkeypatch):
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    if xdg:
        monkeypatch.setenv("XDG_CACHE_HOME", xdg)
    monkeypatch.setattr(sys, "platform", platform)
    assert paths.user_cache() == Path.home() / expected


def test_folder_closed_to_everybody_is_not_written_to_by_the_superuser_either(data, closed):
    assert can_write(data) and can_write(data / "new")
    closed()
    assert not can_write(data)


# normalised files


def test_normalised_file_comes_back_as_it_was_written_and_twice_the_same(tmp_path):
    arrays = {
        "images": made.noise(6, 28, 28),
        "labels": np.arange(6, dtype=np.uint8),
        "label_names": np.array(list("abcdef")),
    }
    first, second = (write(tmp_path / name, "x", **arrays) for name in ("one", "two"))
    assert contents(first.parent) == contents(second.parent) and sorted(contents(first.parent)) == ["x.npz", "x.sha256"]
    back = read(first)
    assert all(np.array_equal(back[name], array) for name, array in arrays.items())
    assert back["images"].dtype == np.uint8 and back["labels"].dtype == np.int64


def test_file_placed_by_hand_is_read_without_a_checksum_and_with_cifars_own_names(tmp_path):
    np.savez_compressed(
        tmp_path / "x.npz", images=made.noise(4, 32, 32, 3), fine_labels=np.arange(4), fine_label_names=list("abcd"),
        filenames=list("wxyz"),
    )  # fmt: skip
    arrays = read(tmp_path / "x.npz")
    assert sorted(arrays) == ["images", "label_names", "labels"] and arrays["labels"].tolist() == [0, 1, 2, 3]


GOOD = {"images": made.noise(4, 28, 28), "labels": np.arange(4), "label_names": np.array(list("abcd"))}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": GOOD["images"] / 255}, "uint8 .* got float64"),
        ({"images": GOOD["images"][0]}, "got uint8 of shape"),
        ({"images": GOOD["images"][..., None]}, r"got uint8 of shape \(4, 28, 28, 1\)"),
        ({"labels": np.arange(3)}, "one an image"),
        ({"labels": np.arange(4) / 2}, "whole numbers"),
        ({"labels": np.arange(1, 5)}, "from 0 up and have a name each, got 1 to 4"),
        ({"labels": np.arange(-1, 3)}, "from 0 up"),
        ({"images": np.array([{}, {}])}, "cannot be read"),  # pickled objects are never unpickled
        ({"images": None}, "no array `images`"),
        ({"images": GOOD["images"][:0], "labels": GOOD["labels"][:0]}, "it holds no image"),
        ({"images": made.noise(4, 0, 28)}, "it holds no image"),
    ],
)
def test_file_of_something_else_is_refused_with_what_it_holds(change, message, tmp_path):
    arrays = {name: array for name, array in {**GOOD, **change}.items() if array is not None}
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(StoreError, match=f"x.npz .*{message}.*delete it"):
        read(tmp_path / "x.npz")


@pytest.mark.parametrize("checksum", [True, False])
@pytest.mark.parametrize("how", ["csv", "empty", "truncated", "edited", "npy"])
def test_damaged_file_is_named_and_left_as_it_is(how, checksum, tmp_path):
    path = write(tmp_path, "x", **GOOD)
    content = bytearray(path.read_bytes())
    content[400] ^= 1
    damaged = {
        "csv": b"pixel,label\n0,1\n",
        "empty": b"",
        "truncated": content[:-50],
        "edited": content,
        "npy": b"\x93NUMPY\x01\x00v\x00",
    }
    path.write_bytes(damaged[how])
    if not checksum:
        path.with_suffix(".sha256").unlink()
    before = contents(tmp_path)
    with pytest.raises(StoreError, match="x.npz .*(delete it|delete x.sha256)"):
        read(path)
    assert contents(tmp_path) == before


# downloads and archives


def fetch(server, folder, content=b"the right bytes"):
    return downloads.download((server.url + "x.bin",), folder / "x.bin", size=len(content), md5=made.md5(content))


@pytest.mark.parametrize("trouble", ["truncated", "wrong checksum", "longer", "404", "no server"])
def test_download_that_went_wrong_leaves_nothing_and_a_second_try_works(trouble, server, data):
    right = b"the right bytes"
    server.files["x.bin"] = {"wrong checksum": b"the wrong bytes", "longer": right * 1000, "404": None}.get(
        trouble, right
    )
    server.cut = 5 if trouble == "truncated" else None
    urls = (made.NOWHERE if trouble == "no server" else server.url + "x.bin",)
    with pytest.raises(StoreError, match=f"could not download x.bin: {urls[0]}"):
        downloads.download(urls, data / "x.bin", size=len(right), md5=made.md5(right))
    assert contents(data) == {}
    server.files["x.bin"], server.cut = right, None
    assert fetch(server, data).read_bytes() == right
    assert list(contents(data)) == ["x.bin"]


def test_download_takes_the_next_address_where_the_first_has_something_else(server, data):
    server.files = {"a": b"moved away", "b": b"right"}
    urls = (server.url + "a", server.url + "b")
    assert downloads.download(urls, data / "x", size=5, md5=made.md5(b"right")).read_bytes() == b"right"


def member(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def zip_link():
    info = zipfile.ZipInfo("link.png")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


PIXEL = made.png(made.noise(1, 32, 32, 3)[0])
UNSAFE = {
    "absolute": made.tar({"ok.png": PIXEL, "/tmp/x.png": PIXEL}),
    "parent": made.tar({"ok.png": PIXEL, "../x.png": PIXEL}),
    "parent inside": made.tar({"a/../../x.png": PIXEL}),
    "symbolic link": made.tar({"ok.png": PIXEL}, member("link.png", tarfile.SYMTYPE, "/etc/passwd")),
    "hard link": made.tar({"ok.png": PIXEL}, member("link.png", tarfile.LNKTYPE, "ok.png")),
    "device": made.tar({}, member("null.png", tarfile.CHRTYPE)),
    "zip absolute": made.zipped({"/tmp/x.png": PIXEL}),
    "zip parent": made.zipped({"a/../../x.png": PIXEL}),
    "zip drive": made.zipped({"C:\\x.png": PIXEL}),
    "zip backslash": made.zipped({"..\\x.png": PIXEL}),
    "zip link": made.zipped({zip_link(): b"/etc/passwd"}),
}


@pytest.mark.parametrize("what", UNSAFE)
def test_archive_with_an_unsafe_name_or_a_link_is_refused_as_a_whole(what, data):
    (data / "x").write_bytes(UNSAFE[what])
    with pytest.raises(
        StoreError, match="x holds (an absolute path or one with '..'|a link or a device).*nothing of it was used"
    ):
        next(downloads.files_in(data / "x", bool))
    assert list(contents(data.parent)) == ["data/x"]


def test_archive_with_an_enormous_file_is_refused(data, monkeypatch):
    monkeypatch.setattr(downloads, "MEMBER_BYTES", 1000)
    (data / "x").write_bytes(made.zipped({"a.png": bytes(1001)}))
    with pytest.raises(StoreError, match="too large a file"):
        next(downloads.files_in(data / "x", bool))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (made.tar({"a.png": PIXEL * 9})[:-90], "x cannot be read, is only part of an archive, or locked"),
        (made.zipped({"a.png": PIXEL})[:-9], "x is only part of a zip archive, for its end is missing; get it again$"),
        (made.zipped({"a.png": PIXEL})[:100], "x is only part of a zip archive, for its end is missing; get it again$"),
        (b"a,csv\n", "x is neither a zip nor a tar archive, or only part of one; get it again$"),
        (b"", "x is neither a zip nor a tar archive, or only part of one; get it again$"),
    ],
    ids=[
        "tar",
        "zip without its end",
        "beginning of a zip",
        "text",
        "nothing",
    ],  # an archive holds the time it was made
)
def test_part_of_an_archive_is_refused_in_one_sentence(content, message, data):
    (data / "x").write_bytes(content)
    with pytest.raises(StoreError, match=message):
        list(downloads.files_in(data / "x", bool))


@pytest.mark.parametrize("form", ["zip", "tar", "directory"])
def test_files_that_are_no_images_are_not_even_read(form, data, monkeypatch):
    """A zip of 40 large tables would else be unpacked, one after the other, to be thrown away."""
    files = {f"{i}.csv": bytes(9) for i in range(40)}
    if form == "directory":
        made.put(data / "x", files)
    else:
        (data / "x").write_bytes((made.zipped if form == "zip" else made.tar)(files))
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda *_: pytest.fail("unpacked"))
    monkeypatch.setattr(tarfile.TarFile, "extractfile", lambda *_: pytest.fail("unpacked"))
    monkeypatch.setattr(Path, "read_bytes", lambda *_: pytest.fail("read"))
    with pytest.raises(StoreError, match="x holds no images"):
        decode.decode(data / "x", shape=COLOUR, exact=False)


# sources


def test_notmnist_is_downloaded_once_and_read_offline_from_then_on(server, data, monkeypatch):
    server.files[decode.NOTMNIST] = made.notmnist(monkeypatch, url=server.url)
    first = catalogue.read("notmnist_small", shape=GREY)
    assert first["images"].shape == (20, 28, 28) and np.bincount(first["labels"]).tolist() == [2] * 10
    assert first["label_names"].tolist() == list("ABCDEFGHIJ")
    letter = made.noise(1, 28, 28, seed=13)[0]  # D, number 1
    assert first["labels"][[np.array_equal(image, letter) for image in first["images"]]].tolist() == [3]
    assert sorted(contents(data)) == ["notmnist_small.npz", "notmnist_small.sha256"]
    server.files.clear()
    again = catalogue.read("notmnist_small", shape=GREY)
    assert np.array_equal(first["images"], again["images"]) and server.asked == [decode.NOTMNIST]


def test_interrupted_download_of_notmnist_leaves_nothing_and_a_second_try_works(server, data, monkeypatch):
    server.files[decode.NOTMNIST], server.cut = made.notmnist(monkeypatch, url=server.url), 500
    with pytest.raises(StoreError, match="gave 500 bytes of MD5 .* put it there by hand as .*notMNIST_small.tar.gz"):
        catalogue.read("notmnist_small", shape=GREY)
    assert contents(data) == {}
    server.cut = None
    assert len(catalogue.read("notmnist_small", shape=GREY)["images"]) == 20


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"notMNIST_small/A/9.png": made.png(made.noise(1, 28, 28)[0])}, "holds 21 images, not 20"),
        (
            {"notMNIST_small/A/0.png": made.png(made.noise(1, 27, 28)[0])},
            "A/0.png is .* mode L and 28x27 pixels, not of mode L and 28x28",
        ),
        ({"notMNIST_small/A/0.png": made.png(made.noise(1, 28, 28, 3)[0])}, "A/0.png is .* mode RGB"),
        ({"notMNIST_small/A/0.png": made.png(made.noise(1, 28, 28)[0])[:300]}, "A/0.png is no image that can be read"),
        ({"../evil.png": PIXEL}, "an absolute path or one with '..'"),
    ],
)
def test_wrong_notmnist_archive_is_refused_with_the_image_that_is_wrong(change, message, data, monkeypatch):
    (data / decode.NOTMNIST).write_bytes(made.notmnist(monkeypatch, change=change))
    with pytest.raises(StoreError, match=message):
        catalogue.read("notmnist_small", shape=GREY)
    assert list(contents(data.parent)) == [f"data/{decode.NOTMNIST}"]


def test_archive_placed_by_hand_is_checked(data, monkeypatch):
    (data / decode.NOTMNIST).write_bytes(made.notmnist(monkeypatch)[:-1])
    with pytest.raises(StoreError, match="notMNIST_small.tar.gz is damaged: its MD5 is not .*; delete it"):
        catalogue.read("notmnist_small", shape=GREY)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("mnist_train", "MNIST/raw/train-images-idx3-ubyte.gz.*put what is missing there by hand, or try again"),
        ("cifar100_test", "cifar-100-python.tar.gz.*put what is missing"),
        ("svhn", "test_32x32.mat.*put what is missing"),
        ("notmnist_small", "put it there by hand as .*/data/notMNIST_small.tar.gz"),
        (
            "lsun_fix",
            "LSUN-FIX is not in .*/data,.* get LSUN_fix.zip through .*CSI.*put it there, or .* as .*/data/LSUN_fix",
        ),
        ("scenes", "scenes.npz is not in .*/data: .* that you put into the data folder"),
    ],
)
def test_offline_without_the_data_says_which_file_is_missing_and_how_to_get_it(name, hint, data, monkeypatch):
    from torchvision.datasets import SVHN

    made.mnist(monkeypatch), made.cifar100(monkeypatch)
    monkeypatch.setattr(SVHN, "split_list", {"test": [made.NOWHERE, "test_32x32.mat", "0"]})
    with pytest.raises(StoreError, match=hint):
        catalogue.read(name, shape=GREY)
    assert contents(data) == {}


def test_mnist_is_read_from_raw_files_in_torchvisions_layout(data, monkeypatch):
    raw_mnist(data, monkeypatch)
    train, test = (catalogue.read(name, shape=GREY) for name in ("mnist_train", "mnist_test"))
    assert (
        np.array_equal(train["images"], made.noise(20, 28, 28, seed=1)) and train["labels"].tolist() == [*range(10)] * 2
    )
    assert np.array_equal(test["images"], made.noise(10, 28, 28, seed=2))
    npz = {f"mnist_{split}.{kind}" for split in ("train", "test") for kind in ("npz", "sha256")}
    assert {name for name in contents(data) if "raw" not in name} == npz


@pytest.mark.parametrize("trouble", ["truncated", "wrong checksum"])
def test_interrupted_download_of_mnist_leaves_nothing_and_a_second_try_works(trouble, server, data, monkeypatch):
    server.files = files = made.mnist(monkeypatch, url=server.url)
    if trouble == "truncated":
        server.cut = 60
    else:
        server.files = {name: content + b"x" for name, content in files.items()}
    with pytest.raises(StoreError, match="could not get .*train-images"):
        catalogue.read("mnist_train", shape=GREY)
    assert contents(data) == {}
    server.cut, server.files = None, files
    assert len(catalogue.read("mnist_train", shape=GREY)["images"]) == 20


def test_raw_file_of_the_user_that_is_damaged_is_named_and_kept(data, monkeypatch):
    raw = raw_mnist(data, monkeypatch) / "train-labels-idx1-ubyte.gz"
    raw.write_bytes(b"not what it was")
    with pytest.raises(StoreError, match="train-labels-idx1-ubyte.gz is damaged: its MD5 is not"):
        catalogue.read("mnist_train", shape=GREY)
    assert raw.read_bytes() == b"not what it was" and not list(data.glob("*.npz"))


def test_cifar100_comes_with_its_superclasses(server, data, monkeypatch):
    server.files["cifar-100-python.tar.gz"] = made.cifar100(monkeypatch, url=server.url)
    train = catalogue.read("cifar100_train", shape=COLOUR)
    assert train["images"].shape == (20, 32, 32, 3) and train["labels"].tolist() == [*range(10)] * 2
    assert np.array_equal(train["images"][0, 0, 0], made.noise(20, 3072)[0].reshape(3, 1024)[:, 0])
    assert train["coarse_labels"].tolist() == ([0] * 5 + [1] * 5) * 2 and train["coarse_label_names"].tolist() == [
        "first",
        "second",
    ]
    server.files.clear()
    assert len(catalogue.read("cifar100_test", shape=COLOUR)["images"]) == 10


def test_svhn_is_channels_last_and_calls_a_nought_nought(data, monkeypatch):
    import scipy.io
    from torchvision.datasets import SVHN

    images = made.noise(12, 32, 32, 3)
    scipy.io.savemat(
        data / "test_32x32.mat", {"X": images.transpose(1, 2, 3, 0), "y": np.array([[1, 2, 10] * 4], np.uint8).T}
    )
    digest = made.md5((data / "test_32x32.mat").read_bytes())
    monkeypatch.setattr(SVHN, "split_list", {"test": [made.NOWHERE, "test_32x32.mat", digest]})
    arrays = catalogue.read("svhn", shape=COLOUR)
    assert np.array_equal(arrays["images"], images) and arrays["labels"].tolist() == [1, 2, 0] * 4


LSUN = {f"LSUN_fix/test/correct_resize_{i}.png": made.png(image) for i, image in enumerate(made.noise(5, 32, 32, 3))}
MAC = {
    "__MACOSX/LSUN_fix/._correct_resize_0.png": b"mac",
    "LSUN_fix/test/._correct_resize_0.png": b"mac",
    "LSUN_fix/.DS_Store": b"mac",
}


@pytest.mark.parametrize("form", ["zip", "directory"])
def test_lsun_fix_is_read_from_where_the_user_put_it(form, data, monkeypatch):
    monkeypatch.setattr(decode, "LSUN_IMAGES", 5)
    made.put(data, {"LSUN_fix.zip": made.zipped({**LSUN, **MAC})} if form == "zip" else {**LSUN, **MAC})
    arrays = catalogue.read("lsun_fix", shape=COLOUR)
    assert np.array_equal(arrays["images"], made.noise(5, 32, 32, 3))


def test_images_of_lsun_fix_must_be_as_published(data):
    made.put(data, {**LSUN, "LSUN_fix/test/x.png": made.png(made.noise(1, 64, 64, 3)[0])})
    with pytest.raises(StoreError, match="x.png is an image of mode RGB and 64x64 pixels, not of mode RGB and 32x32"):
        catalogue.read("lsun_fix", shape=COLOUR)


@pytest.mark.parametrize("count", [1, 4])
def test_lsun_fix_with_other_than_its_10000_images_is_refused(count, data):
    made.put(data, {"LSUN_fix.zip": made.zipped(dict(list(LSUN.items())[:count]))})
    with pytest.raises(StoreError, match=f"LSUN_fix.zip holds {count} images, not LSUN-FIX's 10000; get it again"):
        catalogue.read("lsun_fix", shape=COLOUR)
    assert not list(data.glob("*.npz"))


def test_directory_of_images_is_resized_by_the_shorter_side_and_cropped_in_the_middle(data):
    stripes = np.zeros((64, 192, 3), np.uint8)
    stripes[:, :64, 0] = stripes[:, 64:128, 1] = stripes[:, 128:, 2] = 255
    made.put(
        data / "mine",
        {
            "b/wide.png": made.png(stripes),
            "a/tall.png": made.png(stripes.transpose(1, 0, 2)),
            "readme.txt": b"no image",
        },
    )
    arrays = catalogue.read("mine", shape=COLOUR)
    assert (
        arrays["images"].shape == (2, 32, 32, 3)
        and arrays["labels"].tolist() == [0, 1]
        and arrays["label_names"].tolist() == ["a", "b"]
    )
    assert (arrays["images"][:, 2:-2, 2:-2] == [0, 255, 0]).all()  # the middle third


def test_resizing_is_antialiased(data):
    """A fine chequerboard becomes an even grey; picked pixels of it would stay black and white."""
    board = (np.indices((280, 280)).sum(0) % 2 * 255).astype(np.uint8)
    made.put(data / "mine", {"a.png": made.png(board)})
    image = catalogue.read("mine", shape=GREY)["images"][0, 1:-1, 1:-1].astype(int)
    assert np.abs(image - 128).max() <= 6


def test_images_of_a_directory_are_brought_to_the_mode_and_turned_as_the_camera_was(data):
    upright = made.noise(1, 28, 28)[0]
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    (data / "mine").mkdir()
    Image.fromarray(np.rot90(upright)).save(data / "mine" / "a.png", exif=exif)
    Image.fromarray(upright).convert("RGBA").save(data / "mine" / "b.png")
    images = catalogue.read("mine", shape=GREY)["images"]
    assert np.array_equal(images[0], upright) and np.array_equal(images[1], upright)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"a.png": b"no image", "b.png": PIXEL},
            r"a.png is no image that can be read \(its format is not known\); del",
        ),
        ({"a.png": PIXEL, "b.png": b""}, "b.png is an empty file; delete it or get it again"),
        ({"readme.txt": b"text"}, "mine holds no images"),
        ({"deep.png": made.png(np.full((32, 32), 40000, np.uint16))}, "deep.png has more than 8 bits a channel"),
    ],
)
def test_directory_with_an_image_that_cannot_be_used_is_refused_with_its_name(files, message, data):
    made.put(data / "mine", files)
    with pytest.raises(StoreError, match=message):
        catalogue.read("mine", shape=COLOUR)
    assert not list(data.glob("*.npz"))


def test_images_beside_directories_leave_all_without_a_class_and_a_warning_says_so(data):
    made.put(data / "mine", {"a/x.png": PIXEL, "b/x.png": PIXEL, "y.png": PIXEL})
    with pytest.warns(UserWarning, match=r"mine has a label, because 1 of 3 lie in no subdirectory \(such as y.png\)"):
        assert sorted(catalogue.read("mine", shape=COLOUR)) == ["images"]
    with pytest.raises(StoreError, match="mine.npz holds no labels .*every image into the subdirectory of its class"):
        catalogue.read_labelled("mine", data, COLOUR)


def test_images_in_no_directories_have_no_class_and_nothing_is_said(data, recwarn):
    made.put(data / "mine", {"x.png": PIXEL, "y.png": PIXEL})
    assert sorted(catalogue.read("mine", shape=COLOUR)) == ["images"] and not recwarn.list


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_pixels_are_white_whatever_colour_they_hide(mode, data):
    """An icon on nothing is drawn on nothing of any colour; a plain conversion would show that one."""
    red = np.zeros((32, 32, 4), np.uint8)
    red[..., 0], red[:, 16:, 3] = 255, 255  # the left half is transparent
    (data / "mine").mkdir()
    Image.fromarray(red).convert(mode).save(data / "mine" / "a.png")
    image = catalogue.read("mine", shape=COLOUR)["images"][0]
    assert (image[:, :16] == 255).all() and (image[:, 16:] < 255).any(axis=2).all()


def test_half_transparent_pixels_are_blended_with_white(data):
    (data / "mine").mkdir()
    Image.new("RGBA", (32, 32), (255, 0, 0, 127)).save(data / "mine" / "a.png")
    assert np.abs(catalogue.read("mine", shape=COLOUR)["images"].astype(int) - [255, 128, 128]).max() <= 1


def test_file_of_another_shape_is_refused(data):
    write(data, "scenes", images=made.noise(4, 64, 64, 3))
    with pytest.raises(StoreError, match="scenes.npz holds images of 64x64x3, not 32x32x3"):
        catalogue.read("scenes", shape=COLOUR)


@pytest.mark.parametrize("name", ["..", ".", "", "../data", "a/b", ".git"])
def test_source_named_with_a_path_is_refused_and_nothing_outside_the_folder_is_read(name, data):
    made.put(data.parent, {"outside.png": PIXEL})
    before = contents(data.parent)
    with pytest.raises(ValueError, match="named without a path and without a leading dot, got "):
        catalogue.read(name, shape=COLOUR)
    assert contents(data.parent) == before


def test_unknown_source_is_refused_with_what_is_near_and_how_to_add_one(data):
    with pytest.raises(
        ValueError,
        match=r"unknown source of images 'sceens' \(did you mean 'scenes'\?\).*nor a directory|directory of images",
    ):
        catalogue.read("sceens", shape=COLOUR)


# where files are made


def test_folder_that_cannot_be_written_to_is_read_and_the_users_cache_holds_what_was_made(data, closed, monkeypatch):
    raw_mnist(data, monkeypatch)
    closed()
    before = contents(data)
    train = catalogue.read("mnist_train", shape=GREY)
    assert contents(data) == before
    cached = data.parent / "cache" / "alkit" / "mnist_train.npz"
    assert np.array_equal(read(cached)["images"], train["images"])
    monkeypatch.setattr(decode, "_torchvision", None)  # a second time, nothing is decoded
    assert np.array_equal(catalogue.read("mnist_train", shape=GREY)["images"], train["images"])


def test_where_nothing_can_be_written_at_all_images_are_decoded_in_memory(data, closed, monkeypatch):
    raw_mnist(data, monkeypatch)
    closed()
    made.put(data.parent, {"cache/alkit": b"a file in the way"})
    assert len(catalogue.read("mnist_train", shape=GREY)["images"]) == 20


def test_images_of_the_users_own_never_turn_up_in_another_data_folder(data, closed, tmp_path):
    made.put(data / "mine", {"a.png": PIXEL})
    closed()
    catalogue.read("mine", shape=COLOUR)
    assert not (data.parent / "cache").exists()
    other = made.put(tmp_path / "other" / "mine", {"a.png": made.png(made.noise(1, 32, 32, 3, seed=9)[0])}).parent
    assert np.array_equal(catalogue.read("mine", other, shape=COLOUR)["images"], made.noise(1, 32, 32, 3, seed=9))


def test_what_a_killed_process_left_is_cleared_away(data, monkeypatch):
    raw_mnist(data, monkeypatch)
    made.put(data, {".mnist_train.abc.part/MNIST/raw/half.gz": b"half", ".mnist_train.npz.77.part": b"half"})
    catalogue.read("mnist_train", shape=GREY)
    assert not list(data.glob(".*.part"))


def test_full_disk_leaves_nothing_half_written_and_a_second_try_works(data):
    """A limit on the size of a file stands in for the disk: it is met while the normalised file is written."""
    made.put(data / "mine", {f"{i}.png": made.png(image) for i, image in enumerate(made.noise(40, 32, 32, 3))})
    code = """
import resource
from alkit.benchmarks.sources import catalogue as sources
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))
sources.read("mine", shape=(32, 32, 3))
"""
    before = contents(data)
    full = python(code)
    assert full.returncode == 1 and "StoreError: could not write" in full.stderr and "free some space" in full.stderr
    assert contents(data) == before
    assert len(catalogue.read("mine", shape=COLOUR)["images"]) == 40


def test_full_disk_during_a_download_leaves_nothing(data, server, monkeypatch):
    import resource

    content = b"x" * 100_000
    server.files["x.bin"] = content
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(StoreError, match="File too large"):
            fetch(server, data, content)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert contents(data) == {}
    assert fetch(server, data, content).read_bytes() == content


# the list


def test_data_command_lists_every_source_with_its_state_size_licence_and_citation(data, capsys, monkeypatch):
    raw_mnist(data, monkeypatch)
    write(data, "scenes", images=made.noise(400, 32, 32, 3))
    assert cli.main(["data"]) == 0
    text = capsys.readouterr().out
    assert str(data) in text
    blocks = {block.split(":")[0]: block for block in text.split("\n") if block and not block.startswith(" ")}
    assert set(catalogue.SOURCES) <= set(blocks)
    for source in catalogue.SOURCES.values():
        assert all(line in text for line in (source.title, source.licence, source.citation, source.origin))
    states = {row["name"]: row["state"] for row in catalogue.inventory()}
    assert (states["digits"], states["scenes"], states["mnist"], states["svhn"]) == (
        "bundled",
        "present",
        "raw files present",
        "missing",
    )
    assert f"here: present, 1.2 MB in {data}" in text


def test_every_source_but_the_functions_names_its_files_once():
    files = [file for source in catalogue.SOURCES.values() for file in source.files]
    assert len(files) == len(set(files))


def test_data_command_refuses_to_build_what_has_no_builder(capsys):
    assert cli.main(["data", "--rebuild", "mixcifar60"]) == 2
    assert "mixdigits and mixmnist" in capsys.readouterr().err


def test_importing_the_sources_needs_neither_torchvision_nor_matplotlib():
    absent = "import sys; sys.modules['matplotlib'] = sys.modules['torchvision'] = None"
    result = python(
        f"{absent}; from alkit.benchmarks.sources import catalogue; catalogue.inventory()",
        ALKIT_DATA=os.environ["ALKIT_DATA"],
    )
    assert result.returncode == 0, result.stderr
