"""Images of a folder: what is found, how it is decoded, and that nothing is written there."""

import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from alkit import labelling
from alkit.labelling import images as pictures
from alkit.store import StoreError

COLOUR = np.zeros((40, 60, 3), np.uint8)
COLOUR[:, :30] = (200, 30, 60)


def scanned(folder, keep=None):
    return labelling.scan(folder, keep=keep or folder.parent / "keep")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "photos").mkdir()
    return tmp_path / "photos"


def only(folder):
    """The one image of the folder as it is shown: an RGB array."""
    images = scanned(folder)
    assert len(images) == 1 and images.unreadable == ()
    return shown(images)


def shown(images, position=0):
    from io import BytesIO

    return np.asarray(Image.open(BytesIO(images.picture(position))).convert("RGB")).astype(int)


def reason(folder):
    images = scanned(folder)
    ((_, why),) = images.unreadable
    assert len(images) == 0
    return why


def png(width, height, *, data=b"", depth=8, colour=0):
    """The bytes of a grey PNG that says it has this size, whatever it holds."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("width", "height"), [(9000, 9000), (50_000, 50_000)])
def test_decompression_bomb_is_listed_and_never_decoded(folder, width, height):
    (folder / "bomb.png").write_bytes(png(width, height))
    why = reason(folder)
    assert str(width) in why or "bomb" in why or "pixels" in why


def test_sixteen_bits_are_scaled_to_eight(folder):
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None].repeat(32, 0)
    Image.fromarray(ramp).save(folder / "deep.png")
    assert np.abs(only(folder)[0, :, 0] - np.arange(256)).max() <= 1


def test_floating_point_values_are_scaled_too(folder):
    Image.fromarray(np.linspace(0, 1, 256, dtype=np.float32)[None].repeat(32, 0)).save(folder / "float.tif")
    assert np.abs(only(folder)[0, :, 0] - np.arange(256)).max() <= 1


def test_cmyk_is_shown_in_its_colours(folder):
    Image.fromarray(COLOUR).convert("CMYK").save(folder / "print.jpg", quality=95)
    assert np.abs(only(folder)[20, 15] - COLOUR[20, 15]).max() < 12


def test_transparent_pixels_are_white(folder):
    rgba = np.dstack([COLOUR, np.full((40, 60), 255, np.uint8)])
    rgba[:, 30:] = (0, 255, 0, 0)
    Image.fromarray(rgba).save(folder / "cut.png")
    image = only(folder)
    assert (image[20, 45] == 255).all() and (image[20, 15] == COLOUR[20, 15]).all()


def test_palette_with_a_transparent_colour(folder):
    image = Image.fromarray(np.uint8([[0, 1]]).repeat(8, 0).repeat(4, 1), "P")
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.save(folder / "few.png", transparency=1)
    assert only(folder)[0, 0].tolist() == [10, 20, 30] and only(folder)[0, 7].tolist() == [255] * 3


def test_exif_orientation_is_followed_in_picture_and_in_pixels(folder):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    Image.fromarray(COLOUR).save(folder / "turned.jpg", exif=exif, quality=95)
    image = only(folder)
    assert image.shape[:2] == (60, 40) and image[5, 20, 0] > 150 > 50 > image[55, 20, 0]
    assert scanned(folder).pixels(8)[0, 0, 0, 4] > 150


def test_first_picture_of_an_animation_is_taken(folder):
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    frames[0].save(folder / "moving.gif", save_all=True, append_images=frames[1:])
    assert only(folder)[8, 8].tolist() == [255, 0, 0]


def test_file_without_a_byte_is_listed(folder):
    (folder / "nothing.png").touch()
    assert reason(folder) == "it is empty"


def test_wrong_suffix_is_no_matter_and_text_is_no_image(folder):
    Image.fromarray(COLOUR).save(folder / "really.jpg", "PNG")
    (folder / "notes.jpg").write_text("buy milk")
    images = scanned(folder)
    assert images.paths == ("really.jpg",) and images.unreadable == (("notes.jpg", "its format is not known"),)


def test_postscript_is_no_image_for_a_program_would_be_run_for_it(folder):
    (folder / "page.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n%%EOF\n")
    assert reason(folder) == "its format is not known"


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_truncated_file_is_listed(folder, suffix):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / f"cut.{suffix}")
    (folder / f"cut.{suffix}").write_bytes((folder / f"cut.{suffix}").read_bytes()[:600])
    assert "runcated" in reason(folder) or "decoded" in reason(folder)


def test_large_file_is_not_read_whole(folder, monkeypatch):
    monkeypatch.setattr(pictures, "MOST_BYTES", 1000)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)).save(folder / "large.png")
    assert "larger than" in reason(folder)


def test_names_with_markup_are_names(folder):
    name = "<img src=x onerror=alert(1)>&'.png"
    Image.fromarray(COLOUR).save(folder / name)
    assert scanned(folder).paths == (name,)


def test_name_that_is_no_text_is_listed_and_odd_files_are_passed_over(folder):
    Image.fromarray(COLOUR).save(folder / "good.png")
    (folder / os.fsdecode(b"bad\xff.png")).write_bytes((folder / "good.png").read_bytes())
    os.mkfifo(folder / "pipe.png")
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "a.png").write_bytes((folder / "good.png").read_bytes())
    images = scanned(folder)
    assert images.paths == ("good.png",) and [why for _, why in images.unreadable] == [
        "its name is no valid text; rename it"
    ]


def test_copies_are_one_image_and_a_second_scan_reads_nothing_again(folder, monkeypatch):
    Image.fromarray(COLOUR).save(folder / "b.png")
    (folder / "sub").mkdir()
    (folder / "sub" / "a.png").write_bytes((folder / "b.png").read_bytes())
    first = scanned(folder)
    assert first.paths == ("b.png",) and first.copies == {first.ids[0]: ("sub/a.png",)}
    assert first.sizes_N2.tolist() == [[60, 40]]
    monkeypatch.setattr(pictures, "look_at", None)
    assert scanned(folder).ids == first.ids
    (folder / "b.png").unlink()
    assert scanned(folder).paths == ("sub/a.png",) and scanned(folder).ids == first.ids


def test_file_that_changed_after_the_scan_is_not_taken_for_what_it_was(folder):
    Image.fromarray(COLOUR).save(folder / "a.png")
    images = scanned(folder)
    Image.fromarray(255 - COLOUR).save(folder / "a.png")
    for read in (lambda: images.picture(0), lambda: images.pixels(8)):
        with pytest.raises(StoreError, match="removed or changed"):
            read()
    assert scanned(folder).ids != images.ids


def test_small_pictures_survive_a_kill_in_the_middle_of_a_write(folder):
    for i in range(3):
        Image.fromarray(np.roll(COLOUR, i, 1)).save(folder / f"{i}.png")
    keep = folder.parent / "keep"
    before = np.array(scanned(folder).pixels(pictures.SMALL))
    for name in ("small.bin", "files.json"):
        assert (keep / name).exists()
    with open(keep / "small.bin", "r+b") as file:
        file.truncate(2 * pictures.small_pictures(keep).record.itemsize + 7)
    Image.fromarray(255 - COLOUR).save(folder / "3.png")
    again = scanned(folder)
    assert len(again) == 4 and (again.pixels(pictures.SMALL)[:3] == before).all()


def test_nothing_is_kept_in_the_folder(folder):
    Image.fromarray(COLOUR).save(folder / "a.png")
    with pytest.raises(ValueError, match="never written to"):
        labelling.scan(folder, keep=folder / "keep")
    with pytest.raises(ValueError, match="there is no folder"):
        labelling.scan(folder / "nowhere")
    assert [path.name for path in folder.iterdir()] == ["a.png"]


def test_pixels_are_the_middle_of_the_image_whatever_the_side(folder):
    Image.fromarray(COLOUR).save(folder / "a.png")
    for side in (8, 32, 33):
        pixels = scanned(folder).pixels(side)
        assert pixels.shape == (1, 3, side, side) and pixels[0, 0, side // 2, 0] > 150 and pixels[0, 0, 0, -1] == 0


def test_near_duplicates_are_those_of_a_search_through_all_pairs():
    stream = np.random.default_rng(0)
    features = stream.normal(size=(300, 40)).astype(np.float32)
    features[100:110] = 3 * features[:10] + 1e-3 * stream.normal(size=(10, 40))
    features[200] = features[0]
    features[5] = features[105] = 0
    groups = [group.tolist() for group in labelling.near_duplicates(features)]
    assert groups[0] == [0, 100, 200] and sorted(map(tuple, groups[1:])) == [
        (i, 100 + i) for i in range(1, 10) if i != 5
    ]


def test_a_picture_saved_again_is_a_near_duplicate_and_another_one_is_none(folder):
    """Smaller, lighter, as a JPEG: still the same. The same scene a little later is not."""
    small = np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    scene = Image.fromarray(small).resize((200, 200), Image.Resampling.BICUBIC)
    scene.save(folder / "scene.png")
    scene.resize((90, 90)).point(lambda value: 0.8 * value + 40).save(folder / "saved again.jpg", quality=80)
    later = Image.fromarray(small)
    later.paste((255, 255, 255), (5, 5, 6, 6))
    later.resize((200, 200), Image.Resampling.BICUBIC).save(folder / "later.png")
    images = scanned(folder)
    (group,) = labelling.near_duplicates(pictures.likeness(images.pixels(pictures.SMALL)))
    assert [images.paths[i] for i in group] == ["saved again.jpg", "scene.png"]
