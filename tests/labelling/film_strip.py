"""Draws the film strip of the label widget: a session on MixDigits with scripted answers, in a browser without Jupyter.

    PYTHONPATH=tests/explorer python tests/labelling/film_strip.py [figures/labelling/film_strip.png] [--screens FOLDER]

`--screens` also keeps whole screens, at 1400 x 900 and on a phone, light and dark, to look at.
"""

import argparse
import io
import tempfile
from pathlib import Path

import numpy as np
from labelling_page import launched, opened, press, ready
from PIL import Image, ImageDraw, ImageFont

from alkit import benchmarks, labelling
from alkit.labelling.annotators import Scripted, run, write_folder
from alkit.paths import ROOT

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
IMAGES, BEFORE, BUDGET = 1200, 120, 300
WIDTH, GAP, CAPTION = 1600, 16, 30
CAPTIONS = (
    "1  One image at a time: answer by key or button",
    "2  What the classifier thinks, only when asked",
    "3  Junk has answers of its own: a ambiguous, o not mine",
    "4  Dark, with the notebook or the system",
    "5  On a phone",
)


def session_in(place: Path):
    """A session on images of MixDigits with `BEFORE` answers, and who answers the rest: a function of the path."""
    benchmark = benchmarks.load("mixdigits")
    images = labelling.scan(write_folder(benchmark, place / "images", IMAGES), keep=place / "session")
    rows = [int(Path(path).stem) for path in images.paths]
    features_ND = benchmark.pool.images_NCHW[rows].reshape(len(rows), -1).astype(np.float32)
    np.save(place / "features.npy", features_ND - features_ND.mean())
    features = str(place / "features.npy")
    session = labelling.Session(place / "session", images, WORDS, features=features, budget=BUDGET, alike=1)
    scripted = Scripted(benchmark)

    def answer(question):
        said = scripted(question)
        return WORDS[int(said)] if said.isdigit() else said

    run(session, answer, BEFORE)
    return session, answer


def shot(page):
    """The widget as a picture."""
    page.mouse.move(0, 0)
    page.wait_for_timeout(600)  # neighbours have come
    return Image.open(io.BytesIO(page.locator(".alkit-label-box").screenshot())).convert("RGB")


def label_until(page, session, answer, wanted):
    """Answer until the image on the screen has one of the answers `wanted`."""
    while True:
        ready(page)
        said = answer(session.question())
        if said in wanted:
            return
        page.locator(".answers button").nth((*WORDS, "ambiguous", "not mine").index(said)).click()
        page.wait_for_function("document.querySelector('.saved').textContent.startsWith('✓')")
        session.wait()


def frames(session, answer):
    """The five pictures of the strip."""
    made = []
    with launched() as browser:
        with opened(browser, session, 800, 640) as (page, *_):
            page.locator(".frame").click()
            label_until(page, session, answer, WORDS)
            made.append(shot(page))
            label_until(page, session, answer, ("ambiguous",))
            press(page, ".")
            made.append(shot(page))
            press(page, "a")
            label_until(page, session, answer, ("not mine",))
            made.append(shot(page))
        with opened(browser, session, 800, 640, color_scheme="dark") as (page, *_):
            page.locator(".frame").click()
            label_until(page, session, answer, WORDS)
            made.append(shot(page))
        with opened(browser, session, 390, 844, has_touch=True, is_mobile=True) as (page, *_):
            page.wait_for_timeout(600)
            made.append(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
    return made


def screens(session, folder: Path):
    """Whole screens to look at."""
    folder.mkdir(parents=True, exist_ok=True)
    phone = {"width": 390, "height": 844, "has_touch": True, "is_mobile": True}
    with launched() as browser:
        for scheme in ("light", "dark"):
            for name, size in (("desk", {"width": 1400, "height": 900}), ("phone", phone)):
                with opened(browser, session, color_scheme=scheme, **size) as (page, *_):
                    page.screenshot(path=folder / f"{name}-{scheme}-first.png")
                    page.locator(".frame").click()
                    press(page, "?.")
                    page.wait_for_timeout(600)
                    page.screenshot(path=folder / f"{name}-{scheme}-help.png", full_page=name == "phone")
                    page.keyboard.press("?")
                    page.screenshot(path=folder / f"{name}-{scheme}.png", full_page=name == "phone")


def strip(made):
    """Four pictures in two rows, the phone's beside them, each under its caption."""
    *wide, phone = made
    scale = (WIDTH - 4 * GAP - phone.width) / 2 / wide[0].width
    wide = [one.resize((round(one.width * scale), round(one.height * scale)), Image.Resampling.LANCZOS) for one in wide]
    across, down = wide[0].width + GAP, max(one.height for one in wide) + CAPTION + GAP
    places = [(GAP + across * column, GAP + down * row) for row in (0, 1) for column in (0, 1)]
    sheet = Image.new("RGB", (WIDTH, GAP + max(2 * down, phone.height + CAPTION + GAP)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(17)
    for picture, caption, (x, y) in zip([*wide, phone], CAPTIONS, [*places, (GAP + 2 * across, GAP)], strict=True):
        draw.text((x, y), caption, "#20242b", font=font)
        sheet.paste(picture, (x, y + CAPTION))
    return sheet.quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)  # keeps the few colours


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("picture", nargs="?", type=Path, default=ROOT / "figures/labelling/film_strip.png")
    parser.add_argument("--screens", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        session, answer = session_in(Path(place))
        with session:
            made = frames(session, answer)
            if arguments.screens:
                screens(session, arguments.screens)
    arguments.picture.parent.mkdir(parents=True, exist_ok=True)
    strip(made).save(arguments.picture, optimize=True)
    print(f"{arguments.picture}: {arguments.picture.stat().st_size / 1000:.0f} KB")


if __name__ == "__main__":
    main()
