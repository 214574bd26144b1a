"""Every shape of table, opened in a real browser: points are drawn, every colouring works, nothing goes wrong.

Skipped where no Chrome or Chromium, or no playwright, is found. ALKIT_LONG=1 adds a page of 100,000 images.
"""

import os

import numpy as np
import pytest
from explorer_browser import box, drawn, launched, rgb, watched
from explorer_page import on_screen, read

from alkit import explorer

stream = np.random.default_rng(3)
NUMBERS = stream.normal(size=400)
HOLES = np.where(np.arange(400) % 5, NUMBERS, np.nan)
TABLES = {
    "none": (60, None),
    "no columns": (60, {}),
    "only numbers": (60, {"loss": NUMBERS[:60], "margin": NUMBERS[60:120].tolist()}),
    "only texts": (60, {"class": [f"class {i % 4}" for i in range(60)]}),
    "one class": (60, {"class": ["cat"] * 60}),
    "200 classes": (400, {"class": [f"class {i % 200:03}" for i in range(400)]}),
    "254 classes": (400, {"class": [f"class {i % 254:03}" for i in range(400)]}),
    "a class for some": (60, {"class": ["cat", None, "dog"] * 20}),
    "a class for none": (60, {"class": [None] * 60}),
    "numbers for some": (60, {"loss": HOLES[:60], "margin": [None, *NUMBERS[:59].tolist()]}),
    "one number for all": (60, {"loss": np.full(60, 0.25)}),
    "huge and tiny numbers": (60, {"loss": NUMBERS[:60] * 1e300, "margin": NUMBERS[:60] * 1e-300}),
    "truth values, whole numbers": (60, {"seen": np.arange(60) % 2 == 0, "digit": np.arange(60) % 10}),
    "one image": (1, None),
    "one image with a class and a number": (1, {"class": ["cat"], "loss": [0.5]}),
    "two images": (2, {"loss": [0.5, 0.7]}),
}


@pytest.fixture(scope="module")
def browser():
    with launched() as browser:
        yield browser


def opened(browser, path, n):
    """Open a page with every colouring, as an address and from the menu; look at, pin and select images."""
    _, arrays = read(path)
    context, said = browser.new_context(viewport={"width": 1280, "height": 800}), []
    page = watched(context, said)
    page.goto(f"{path.as_uri()}#names=-1")  # a name on the map may cover a point
    page.wait_for_selector("body[data-ready], .trouble", timeout=20_000)
    assert said_wrong(said) == [] and drawn(page) == n
    at = on_screen(arrays["xy0"].reshape(n, 2) / 65535, box(page))[:: max(n // 400, 1)]
    page.mouse.move(1, 1)
    shot = rgb(page.screenshot()).astype(int)
    ground = shot[int(box(page)["y"] + box(page)["height"]) - 3, int(box(page)["x"]) + 3]
    columns, rows = np.floor(at).astype(int).T
    there = abs(shot[rows, columns] - ground).sum(1) > 20
    assert there.all(), f"{(~there).sum()} of {len(there)} points are not drawn"
    options = page.locator("#by option").evaluate_all("options => options.map(o => o.value)")
    for by in options:
        page.select_option("#by", by)
        page.goto("about:blank")
        page.goto(f"{path.as_uri()}#by={by}&pin=0")
        page.wait_for_selector("body[data-ready], .trouble", timeout=20_000)
        assert page.locator("#by").input_value() == by and drawn(page) == n
        assert page.locator("#legend h2").text_content()
    if not options:
        page.goto("about:blank")
        page.goto(f"{path.as_uri()}#pin=0&by=category:0")
        page.wait_for_selector("body[data-ready]", timeout=20_000)
    assert page.locator("#pinned h2").text_content().startswith("Image 0, pinned")
    page.keyboard.press("Escape")
    page.mouse.move(*at[-1])
    page.wait_for_selector("#card:visible")
    page.focus(".overlay >> nth=0")
    page.keyboard.press("v")
    assert page.locator("#selection h2").text_content().startswith(f"{n:,} selected")
    page.fill("#query", "no such thing")
    page.press("#query", "Enter")
    assert said_wrong(said) == []
    return page


def said_wrong(said):
    """What a page said, but for the requests for itself and for its own pictures."""
    return [line for line in said if not line.startswith(("request: file:", "request: blob:"))]


@pytest.mark.parametrize(("n", "table"), TABLES.values(), ids=TABLES)
def test_page_of_every_table_draws_its_points_and_has_no_error(n, table, browser, tmp_path):
    features = np.random.default_rng(0).normal(size=(n, 5))
    images = np.random.default_rng(1).integers(0, 256, (n, 8, 8), dtype=np.uint8)
    path = explorer.write(tmp_path / "page.html", features, images, table, projector="pca")
    opened(browser, path, n).context.close()


@pytest.mark.skipif(not os.environ.get("ALKIT_LONG"), reason="a page of 100,000 images takes minutes (ALKIT_LONG=1)")
def test_page_of_100_000_images_draws_its_points_and_has_no_error(browser, tmp_path):
    n, draw = 100_000, np.random.default_rng(2)
    table = {"class": draw.integers(0, 10, n), "loss": draw.random(n), "margin": draw.random(n)}
    at = {"features": draw.normal(size=(n, 2))}
    images = draw.integers(0, 256, (n, 8, 8), dtype=np.uint8)
    path = explorer.write(tmp_path / "page.html", at["features"], images, table, coordinates=at, neighbours=0)
    opened(browser, path, n).context.close()


def test_legend_of_200_classes_leaves_the_pinned_image_in_sight_and_stays_where_it_was_scrolled(browser, tmp_path):
    table, images = {"class": [f"class {i:03}" for i in range(200)]}, np.zeros((200, 8, 8), np.uint8)
    path = explorer.write(tmp_path / "page.html", np.eye(200)[:, :9], images, table, projector="pca")
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = watched(context, [])
    page.goto(f"{path.as_uri()}#pin=3")
    page.wait_for_selector("body[data-ready]")
    assert page.locator("#pinned").bounding_box()["y"] < 700
    styles = page.locator("#legend .entry path").evaluate_all("all => all.map(p => p.outerHTML)")
    assert len(styles) == 200 and len(set(styles)) == 120
    page.locator("#legend .entry").nth(90).click()
    assert drawn(page) == 199
    assert page.locator("#legend .rows").evaluate("rows => rows.scrollTop") > 100
    context.close()
