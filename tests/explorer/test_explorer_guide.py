"""What leads a reader through the explorer's page: finding, names, brushes, the tour, the card, colours of a theme.

In a real browser, on a made-up pool whose classes are digits. Skipped where no Chrome or Chromium, or no playwright, is
found.
"""

import itertools
import json
import re
from pathlib import Path

import explorer_page
import numpy as np
import pytest
from explorer_browser import box, drawn, launched, rgb, watched
from explorer_page import N, neighbours, on_screen, pool, square

from alkit.explorer import Purchases, palette

COMMITTED = Path(__file__).resolve().parents[2] / "figures" / "mixdigits" / "laptop-explorer.html"
DIGITS = ("0", "1", "2")
TOUR = [("Where are they?", "names=0"), ("Who buys them?", "pair=1&stage=2&by-whom=0,2"), ("Why?", "stage=2&pin=7")]


@pytest.fixture(scope="module")
def browser():
    with launched() as browser:
        yield browser


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    data, names = pool(), list(palette.METHOD_STYLE)[:4]
    table = {
        "category": (data["category"], palette.CATEGORIES),
        "class": (data["class"], DIGITS),
        "cluster": (np.arange(N) % 3, DIGITS),
        "score": data["score"],
    }
    picks = data["picks"]
    bought = [
        Purchases("Random", picks["Random"], [0.5, 0.6, 0.7]),
        Purchases("Distance(CL)", picks["Distance(CL)"], [0.5, 0.65, 0.75], {2: explorer_page.circles(2)}),
        *(Purchases(name, picks["Random"], [0.4, 0.5, 0.6], style=palette.METHOD_STYLE[name]) for name in names[1:]),
    ]
    path = tmp_path_factory.mktemp("explorer") / "page.html"
    return explorer_page.write(path, table=table, purchases=bought, tour=TOUR, title="Digits").as_uri()


@pytest.fixture
def opened(browser, address):
    """Open the page at a state, in a window of a size and theme; nothing may go wrong on it."""
    contexts, said = [], []

    def at(state="", width=1400, height=900, theme="light", phone=False, where=address):
        kind = {"has_touch": True, "is_mobile": True} if phone else {}
        size = {"width": width, "height": height}
        contexts.append(browser.new_context(viewport=size, color_scheme=theme, reduced_motion="reduce", **kind))
        page = watched(contexts[-1], said)
        page.goto(f"{where}#{state}")
        page.wait_for_selector("body[data-ready]")
        return page

    yield at
    for context in contexts:
        context.close()
    assert [line for line in said if not line.startswith("request: file:")] == []


def search(page, text):
    page.fill("#query", text)
    page.press("#query", "Enter")
    return page.locator("#found").text_content()


def apart(a, b):
    """Whether two boxes do not meet."""
    sides = a["x"] + a["width"] <= b["x"] or b["x"] + b["width"] <= a["x"]
    return sides or a["y"] + a["height"] <= b["y"] or b["y"] + b["height"] <= a["y"]


def test_find_takes_a_digit_for_the_class_of_that_name_and_says_so_beside_the_box(opened):
    page = opened()
    before = page.locator("#panes").bounding_box()
    said, number = search(page, "2"), int((pool()["class"] == 2).sum())
    assert drawn(page) == number and said.startswith(f"{number} images of class 2 (image 2: #2).")
    assert page.locator("#pinned").is_hidden() and page.locator("#legend h2").text_content().startswith("class")
    near, text = page.locator("#query").bounding_box(), page.locator("#found").bounding_box()
    assert 0 <= near["x"] - (text["x"] + text["width"]) < 20 and not apart(near, {**text, "width": 2000})
    assert page.locator("#panes").bounding_box() == before  # the map does not jump
    assert "cluster 2" in search(page, "cluster 2") and drawn(page) == int((np.arange(N) % 3 == 2).sum())
    assert "ambiguous" in search(page, "ambig") and drawn(page) == int((pool()["category"] == 1).sum())
    page.click("#found button")
    assert drawn(page) == N and page.locator("#found").is_hidden()
    assert "image 2:" in search(page, "#2") and page.locator("#pinned h2").text_content().startswith("Image 2,")
    assert "image 41:" in search(page, "41")  # no class is called so
    said = search(page, "nought")
    assert "Nothing is called “nought”" in said and "iD, ambiguous, OoD, 0, 1, 2" in said and "2,299" in said
    assert page.locator("#found").evaluate("e => e.scrollHeight <= e.clientHeight")


def test_find_says_what_it_found_below_the_box_of_a_phone(opened):
    page = opened("", 390, 800, phone=True)
    search(page, "1")
    near, text = page.locator("#query").bounding_box(), page.locator("#found").bounding_box()
    assert 0 <= text["y"] - (near["y"] + near["height"]) < 12 and text["x"] >= 0 and text["x"] + text["width"] <= 390


def test_side_by_side_shows_the_same_map_until_one_is_changed(opened):
    page = opened()
    space = page.locator("select.space")
    page.click("#pair")
    assert [space.nth(p).input_value() for p in (0, 1)] == ["0", "0"]
    page.click("#pair")
    space.first.select_option("1")
    page.click("#pair")
    assert [space.nth(p).input_value() for p in (0, 1)] == ["1", "1"]
    space.nth(1).select_option("0")
    assert [space.nth(p).input_value() for p in (0, 1)] == ["1", "0"]


def card_at(page, i, pane=0):
    at = on_screen(square(pool()["coordinates"]["learned"]), box(page, pane))
    page.mouse.move(*at[i])
    page.wait_for_selector("#card:visible")
    return page.locator("#card").bounding_box(), at


def test_card_is_small_and_stays_on_its_map_clear_of_menus_details_and_neighbours(opened):
    page = opened("pair=1&stage=2&pin=123")
    at = on_screen(square(pool()["coordinates"]["learned"]), box(page))
    ends = [int(at[:, axis].argmin() if low else at[:, axis].argmax()) for axis in (0, 1) for low in (True, False)]
    near = neighbours(pool()["features"]["learned"], 123, 6)
    for pane, i in itertools.product((0, 1), (*ends, near[0])):
        card, places = card_at(page, i, pane)
        assert card["width"] <= 210 and card["height"] <= 130
        assert not apart(card, box(page, pane))
        frame = box(page, pane)
        assert frame["x"] <= card["x"] and card["x"] + card["width"] <= frame["x"] + frame["width"]
        for other in ("aside", "#stages", "#toolbar", f".menus >> nth={pane}"):
            assert apart(card, page.locator(other).bounding_box()), (other, i)
        dots = [dict(zip("xy", places[j] - 4, strict=True), width=8, height=8) for j in (i, 123, *near)]
        hidden = sum(not apart(card, dot) for dot in dots[1:])
        assert apart(card, dots[0]) and hidden <= 2, (i, hidden)


def test_card_of_a_phone_stays_on_the_map_between_the_controls(opened):
    page = opened("stage=1", 390, 800, phone=True)
    at, frame = on_screen(square(pool()["coordinates"]["learned"]), box(page)), box(page)
    top, bottom = int(at[:, 1].argmin()), int(at[:, 1].argmax())
    for i in (top, bottom):
        page.touchscreen.tap(*at[i])
        page.wait_for_selector(f"#card.touch[data-index='{i}']")
        card = page.locator("#card").bounding_box()
        assert card["x"] >= 0 and card["x"] + card["width"] <= 390 and card["height"] <= 180
        assert card["y"] >= frame["y"] and card["y"] + card["height"] <= min(800, frame["y"] + frame["height"])
        for other in ("#toolbar", "#stages", ".menus >> nth=0", "#search"):
            assert apart(card, page.locator(other).bounding_box()), other


@pytest.mark.parametrize("width", [390, 900, 1400])
def test_labels_of_bars_are_whole_and_their_colours_have_a_key(width, opened):
    page = opened("pair=1&stage=2", width)
    for k in range(3):
        page.fill("#stage", str(k))
        clipped = page.locator(".piece").evaluate_all(
            "all => all.filter(e => e.scrollWidth > e.clientWidth || e.firstChild.offsetWidth > e.clientWidth).length"
        )
        assert clipped == 0
    pieces = page.locator(".piece").evaluate_all("all => all.map(e => [e.textContent, e.dataset.text])")
    assert len(pieces) == 6 and all(shown in (text, text.split()[0], "") for shown, text in pieces)
    assert any(shown for shown, _ in pieces)
    assert page.locator("#bars-key .name").all_text_contents() == ["iD", "ambiguous", "OoD"]
    page.select_option("#by", "category:1")  # bars follow the colours of the map
    assert page.locator("#bars-key .name").all_text_contents() == [*DIGITS, "none"]
    bar = page.locator(".bar").first
    said = [int(text) for text in re.findall(r": (\d+)", " ".join(bar.locator(".piece").evaluate_all(
        "all => all.map(e => e.title)")))]  # fmt: skip
    assert sum(said) == int(bar.get_attribute("data-cost"))  # what has no class is a piece, too


def test_names_of_groups_stand_on_the_map_where_most_of_the_group_is(opened):
    page = opened()
    labels = page.locator(".labels >> nth=0").locator("span:visible")
    assert sorted(labels.all_text_contents()) == list(DIGITS)  # classes, whatever the colours
    page.select_option("#names", "0")
    assert {"iD"} <= set(labels.all_text_contents()) <= set(palette.CATEGORIES)  # the largest, and what has room
    page.click("#legend .only >> nth=2")
    assert labels.all_text_contents() == ["OoD"]
    at = on_screen(square(pool()["coordinates"]["learned"]), box(page))[pool()["category"] == 2]
    where = labels.first.bounding_box()
    middle = np.array([where["x"] + where["width"] / 2, where["y"] + where["height"] / 2])
    crowd = [int((np.linalg.norm(at - place, axis=1) < 30).sum()) for place in (middle, *at[:200])]
    assert crowd[0] > 0.6 * max(crowd)
    page.select_option("#names", "-1")
    assert labels.count() == 0
    page.wait_for_function("() => location.hash.includes('names=-1')")


def brush(page, low, high):
    canvas = page.locator(".histogram").first
    canvas.scroll_into_view_if_needed()
    where = canvas.bounding_box()
    page.mouse.move(where["x"] + low * where["width"], where["y"] + 8)
    page.mouse.down()
    page.mouse.move(where["x"] + high * where["width"], where["y"] + 8, steps=3)
    page.mouse.up()


def test_histogram_is_brushed_by_pointer_and_keys_and_the_address_keeps_it(opened):
    page = opened()
    brush(page, 0.25, 0.75)
    page.wait_for_function("() => location.hash.includes('range=')")
    _, low, high = map(int, re.search(r"range=(\d+)\.(\d+)\.(\d+)", page.evaluate("location.hash")).groups())
    known = pool()["score"][~np.isnan(pool()["score"])]
    steps = np.rint((known - known.min()) / np.ptp(known) * 65534)
    assert abs(low / 65534 - 0.25) < 0.01 and abs(high / 65534 - 0.75) < 0.01
    assert drawn(page) == int(((steps >= low) & (steps <= high)).sum()) > 100
    assert " to " in page.locator(".score b").text_content()
    again = opened(page.evaluate("location.hash.slice(1)"))
    assert drawn(again) == drawn(page)
    again.click("#show-all")
    assert drawn(again) == N
    brush(page, 0.5, 0.5)  # a click lets go
    assert drawn(page) == N
    page.locator(".histogram").focus()
    page.keyboard.press("ArrowLeft")
    assert drawn(page) == int((steps <= round(65534 * 39 / 40)).sum())
    assert page.locator(".histogram").get_attribute("aria-valuetext") != "all"
    page.keyboard.press("Escape")
    assert drawn(page) == N


def test_tour_goes_through_its_steps_and_ends(opened):
    page = opened("theme=dark")
    page.click("#start-tour")
    tour = page.locator("#tour p")
    assert tour.text_content() == "1 of 3 Where are they?" and page.locator("#names").input_value() == "0"
    page.click("#tour-next")
    assert tour.text_content() == "2 of 3 Who buys them?"
    assert [page.locator("select.strategy").nth(p).input_value() for p in (0, 1)] == ["0", "2"]
    assert page.locator("#stage").input_value() == "2" and page.locator(".bar").count() == 2
    page.click("#tour-back")
    assert page.locator(".pane").nth(1).is_hidden()
    page.click("#tour-next")
    page.click("#tour-next")
    assert page.locator("#pinned h2").text_content().startswith("Image 7, pinned")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.click("#tour-next")
    assert page.locator("#tour").is_hidden() and page.locator("#pinned").is_visible()


def hexes(page, selector, style):
    found = page.locator(selector).evaluate_all(f"all => all.map(e => getComputedStyle(e).{style})")
    return ["#{:02x}{:02x}{:02x}".format(*map(int, re.findall(r"\d+", text)[:3])) for text in found]


def contrast(a, b):
    low, high = sorted(map(palette.luminance, (a, b)))
    return (high + 0.05) / (low + 0.05)


def test_dark_theme_has_colours_of_its_own_on_map_legend_bars_and_curves(opened):
    looks = {}
    for theme in ("light", "dark"):
        page = opened("stage=2", theme=theme)
        legend, bars = hexes(page, "#legend .symbol path", "fill"), hexes(page, ".piece", "backgroundColor")
        curves = hexes(page, ".curve", "stroke")
        ground = hexes(page, "aside", "backgroundColor")[0]
        assert legend == bars
        for colour in (*legend, *curves):
            assert contrast(colour, ground) > (3 if theme == "light" else 4.5), colour
        shot = rgb(page.locator(".points").first.screenshot()).astype(int)
        blue = [int(legend[0][at : at + 2], 16) for at in (1, 3, 5)]
        assert (abs(shot - blue).sum(2) < 12).sum() > 50  # the bought ones are drawn in it
        ink = hexes(page, ".piece span", "color")
        assert min(contrast(a, b) for a, b in zip(ink, bars, strict=True)) > 4
        looks[theme] = legend, curves
    assert looks["light"][0][:2] != looks["dark"][0][:2] and looks["light"][1] != looks["dark"][1]
    page.click("#theme")  # to light, on the same page: no colour of the other theme is left
    assert (hexes(page, "#legend .symbol path", "fill"), hexes(page, ".curve", "stroke")) == looks["light"]
    page.select_option("#by", "score:0")
    page.click("#theme")
    assert contrast(palette.on_dark(palette.RAMP[0]), palette.RAMP[0]) > 1.2


MEANINGS = """panel => [...document.querySelectorAll(panel)].map(row => [
  row.querySelector('.name, b')?.textContent ?? row.textContent,
  getComputedStyle(row.querySelector('path') ?? row.querySelector('.fill')).fill,
  row.querySelector('.fill') ? getComputedStyle(row.querySelector('.fill')).backgroundColor : ''])"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_one_colour_has_one_meaning_in_each_panel(theme, opened):
    page = opened("stage=2&in=0_0.0_1ekf.0_1ekf.1ekf_0.1ekf", theme=theme)
    for by in ("category:0", "category:1", "cluster", "stage"):
        page.select_option("#by", by)
        for panel in ("#legend li", "#bars-key li", "#progress .curves li", "#circles .curves li"):
            said = [colour for _, colour, _ in page.evaluate(MEANINGS, panel)]
            assert said and len(set(said)) == len(said), (by, panel)
    page.select_option("#by", "category:1")
    ground = page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--bars').trim()")
    grey = "rgb({}, {}, {})".format(*(int(ground[at : at + 2], 16) for at in (1, 3, 5)))
    for column in ("category", "class", "cluster"):  # three tables, and only the one on the map has its colours
        fills = {fill for _, _, fill in page.evaluate(MEANINGS, f"#selection [data-column='{column}'] li")}
        assert (fills == {grey}) == (column != "class")


OVERLAY = """() => { const c = document.querySelector('.overlay'), seen = {};
  const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
  for (let i = 0; i < d.length; i += 4) {
    const name = `${d[i]},${d[i + 1]},${d[i + 2]}`;
    if (d[i + 3] === 255) seen[name] = (seen[name] ?? 0) + 1;
  }
  return seen; }"""


def test_rings_of_what_is_bought_have_its_colour_and_those_of_neighbours_that_of_text(opened):
    page = opened("pin=123")
    solid = {name: number for name, number in page.evaluate(OVERLAY).items() if number > 25}
    text, ground = "32,36,43", "251,250,247"
    assert text in solid and set(solid) <= {text, ground}  # no colour of a category means "neighbour"
    page = opened("stage=2")
    solid = {name: number for name, number in page.evaluate(OVERLAY).items() if number > 25}
    own = {",".join(str(int(style[0][at : at + 2], 16)) for at in (1, 3, 5)) for style in palette.CATEGORY_STYLE}
    assert set(solid) - {ground} and set(solid) <= own | {ground}


@pytest.mark.parametrize("colours", [
    [palette.GREY, *(style[0] for style in palette.CATEGORY_STYLE)],
    [palette.GREY, *palette.PALETTE],
    [style[1] for style in palette.KIND_STYLE],
    [style[0] for style in palette.METHOD_STYLE.values()],
], ids=["categories", "groups", "kinds", "methods"])  # fmt: skip
def test_colours_of_one_panel_differ_in_both_themes(colours):
    for shown in (colours, list(map(palette.on_dark, colours))):
        seen = [np.array(lab(colour)) for colour in shown]
        assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 19


def lab(colour):
    """CIE L*a*b* of "#rrggbb", white D65."""
    value = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ linear
    x, y, z = np.where((xyz := xyz / [0.9505, 1, 1.089]) > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def test_committed_page_has_buyers_beyond_the_paper_and_its_tour_shows_who_buys_the_letters(opened):
    page = opened(where=COMMITTED.as_uri())
    names = page.locator("select.strategy >> nth=0").locator("option").all_text_contents()
    assert {"Cautious coverage", "Margin", "TypiClust", "Random", "Distance(CL)"} <= set(names)
    page.click("#start-tour")
    assert page.locator("#tour p").text_content().startswith("1 of 3 Where are the letters?")
    page.click("#tour-next")
    text = page.locator("#tour p").text_content()
    for bar in page.locator(".bar").all():
        name, letters = bar.locator("b").text_content(), bar.get_attribute("data-parts").split()[2]
        assert f"{name} {letters} in {bar.get_attribute('data-cost')} looks" in text
    assert drawn(page) == 324
    page.click("#tour-next")
    assert page.locator("#neighbours .thumb").count() == 8
    meta = json.loads(page.locator("#meta").text_content())
    assert {len(one["picks"]) for one in meta["purchases"]} == {11} and COMMITTED.stat().st_size < 1_000_000
