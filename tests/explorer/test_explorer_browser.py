"""The explorer's page in a real browser, against what Python says it must show.

One browser and one page of a made-up pool serve all tests; each starts from an address of its own. Skipped where no
Chrome or Chromium, or no playwright, is found.
"""

import csv
import time
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

import explorer_page
import numpy as np
import pytest
from explorer_browser import box, drawn, launched, rgb, watched
from explorer_page import CLASSES, EVIL, N, inside, neighbours, on_screen, pool, square


@pytest.fixture(scope="module")
def browser():
    with launched() as browser:
        yield browser


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    return explorer_page.write(tmp_path_factory.mktemp("explorer") / "page.html").as_uri()


@pytest.fixture(scope="module")
def said():
    """All that a page says on its console, its errors, and every request it makes."""
    return []


@pytest.fixture(scope="module")
def one_page(browser, address, said):
    context = browser.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    yield watched(context, said)
    context.close()


@pytest.fixture
def open_(one_page, address, said):
    """Open the page at a state, anew; nothing may go wrong on it, and nothing be loaded."""
    said.clear()

    def at(state="", page=one_page):
        page.goto("about:blank")
        said.clear()
        page.goto(f"{address}#{state}")
        page.wait_for_selector("body[data-ready]")
        return page

    yield at
    assert [line for line in said if not line.startswith(f"request: {address}")] == []


def pixels(page, selector):
    """What a canvas shows, (H, W, 3), once its image is drawn."""
    page.wait_for_function("s => document.querySelector(s).dataset.drawn !== undefined", arg=selector)
    width, height, data = page.evaluate(
        """s => { const c = document.querySelector(s);
        return [c.width, c.height, [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]]; }""",
        selector,
    )
    return np.array(data, np.uint8).reshape(height, width, 4)[..., :3]


def image(i):
    return pool()["images"][i].transpose(1, 2, 0)


def places(page, space="learned", pane=0):
    return on_screen(square(pool()["coordinates"][space]), box(page, pane))


def address_of(page, wanted):
    """The address once it says `wanted`: it is written a little after the change."""
    page.wait_for_function("wanted => location.hash.includes(wanted)", arg=wanted)
    return page.evaluate("location.hash.slice(1)")


def bars(page):
    return {
        bar.locator("b").text_content(): (int(bar.get_attribute("data-cost")), bar.get_attribute("data-parts"))
        for bar in page.locator(".bar").all()
    }


def test_page_shows_every_point_and_draws_them(open_):
    page = open_()
    assert drawn(page) == N and page.title() == explorer_page.TITLE
    shot = page.locator(".points").first.screenshot()
    blue = (abs(rgb(shot).astype(int) - [0x11, 0x70, 0xD8]).sum(2) < 90).mean()
    assert 0.01 < blue < 0.6  # iD's colour: there, and not everywhere


def test_hover_shows_the_very_image_of_the_nearest_point_from_every_sheet(open_):
    page = open_()
    at, tile = places(page), explorer_page.read(Path(url2pathname(urlparse(page.url).path)))[1]["tile"]
    for sheet in range(9):
        for mouse in np.round(at[tile // 256 == sheet][:2]):
            nearest = int(np.linalg.norm(at - mouse, axis=1).argmin())
            page.mouse.move(*mouse)
            page.wait_for_selector(f"#card[data-index='{nearest}']")
            assert (pixels(page, "#card canvas.image") == image(nearest)).all()
            assert f"Image {nearest}" in page.locator("#card").text_content()
            score, said = pool()["score"][nearest], page.locator("#scores .score b").text_content()
            assert said == "none" if np.isnan(score) else abs(float(said) - score) < 0.002
    page.mouse.move(box(page)["x"] + 3, box(page)["y"] + 3)
    page.wait_for_selector("#card", state="hidden")


def test_card_says_when_each_strategy_bought_it(open_):
    page = open_()
    i = int(pool()["picks"]["Distance(CL)"][2][0])
    page.fill("#query", str(i))
    page.press("#query", "Enter")
    lines = page.locator("#pinned .bought li").all_text_contents()
    assert lines == ["Distance(CL)bought at stage 2", "not bought by Random"]
    first = int(pool()["picks"]["Random"][0][0])
    page.fill("#query", f"#{first}")
    page.press("#query", "Enter")
    assert page.locator("#pinned .bought li").count() == 2
    assert "in the initial set" in page.locator("#pinned .bought").text_content()


def test_class_that_looks_like_markup_is_text_and_nothing_in_it_runs(open_):
    page = open_("by=category:1")
    names = page.locator("#legend .name").all_text_contents()
    assert names == [*CLASSES, "none"]
    assert page.locator("img").count() == 0
    i = int(np.flatnonzero(pool()["class"] == 2)[0])
    page.fill("#query", str(i))
    page.press("#query", "Enter")
    assert EVIL in page.locator("#pinned .facts").text_content()
    assert page.locator("h1").text_content() == explorer_page.TITLE


def test_legend_hides_isolates_and_shows_all_again(open_):
    page, category = open_(), pool()["category"]
    page.click("#legend .entry >> nth=0")
    assert drawn(page) == (category != 0).sum()
    assert page.locator("#legend .entry").first.get_attribute("aria-pressed") == "false"
    page.click("#legend .entry >> nth=0")
    page.click("#legend .only >> nth=2")
    assert drawn(page) == (category == 2).sum()
    page.select_option("#by", "category:1")
    assert drawn(page) == (category == 2).sum()  # a filter stays when the colours change
    page.click("#show-all")
    assert drawn(page) == N


@pytest.mark.parametrize(
    ("text", "column", "value"), [("ambiguous", "category", 1), ("one", "class", 1), ("class zero", "class", 0)]
)
def test_search_for_a_name_shows_it_alone(text, column, value, open_):
    page = open_()
    page.fill("#query", text)
    page.press("#query", "Enter")
    assert drawn(page) == (pool()[column] == value).sum()
    page.fill("#query", "no such thing")
    page.press("#query", "Enter")
    assert "Nothing is called" in page.locator("#found").text_content()


def test_points_can_be_coloured_by_everything(open_):
    page = open_("stage=2")
    for by in page.locator("#by option").evaluate_all("options => options.map(o => o.value)"):
        page.select_option("#by", by)
        assert page.locator("#legend h2").text_content()
    page.select_option("#by", "stage")
    rows = page.locator("#legend .entry").all_text_contents()
    sizes = [len(picks) for picks in pool()["picks"]["Distance(CL)"]]
    assert rows == [
        f"initial set{sizes[0]}",
        f"stage 1{sizes[1]}",
        f"stage 2{sizes[2]}",
        f"not bought{N - sum(sizes):,}",
    ]
    page.select_option("#by", "cluster")
    assert page.locator("#legend .entry").first.text_content() == f"0, excluded{(np.arange(N) % 3 == 0).sum()}"


def test_slider_shows_what_two_strategies_bought_so_far(open_):
    page = open_("pair=1")
    for stage in range(3):
        page.fill("#stage", str(stage))
        found = bars(page)
        assert set(found) == {"Distance(CL)", "Random"}
        for name, picks in pool()["picks"].items():
            so_far = np.concatenate(picks[: stage + 1])
            parts = np.bincount(pool()["category"][so_far], minlength=3)
            assert found[name] == (len(so_far), " ".join(map(str, parts)))
    assert "75.0 % right" in page.locator(".bar").first.text_content()
    page.locator("select.strategy").nth(1).select_option(label="Distance(CL)")
    assert set(bars(page)) == {"Distance(CL)"}


def test_play_runs_to_the_last_stage_and_stops(open_):
    page = open_()
    page.click("#play")
    page.wait_for_function("() => document.querySelector('#stage').value === '2'")
    page.wait_for_function("() => document.querySelector('#play').textContent === 'Play'")
    assert page.locator("#stage-text").text_content() == "Stage 2 of 2"


def test_circles_of_a_stage_show_excluded_cluster_setters_and_picks(open_):
    page, made = open_("stage=2"), explorer_page.circles(2)
    figures = page.locator("#circles figure")
    assert figures.count() == 3
    assert "excluded" in figures.nth(0).text_content() and "no circle" in figures.nth(2).text_content()
    for k in range(3):
        here = made.labels_N == k
        label = figures.nth(k).locator("canvas").first.get_attribute("aria-label")
        inner, outer = ((made.kinds_N[here] == kind).sum() for kind in (3, 4))
        assert label == f"cluster {k}: {inner} bought inside, {outer} outside"
    setters = figures.locator(".thumb").evaluate_all("all => all.map(one => Number(one.dataset.index))")
    assert setters == made.setter_K[:2].tolist()
    page.fill("#stage", "0")
    assert page.locator("#circles").is_hidden()


def test_pinned_image_shows_its_neighbours_in_feature_space(open_):
    page = open_("pin=123&map=1,0")
    for space, name in ((1, "pixels"), (0, "learned")):
        page.locator("select.space").first.select_option(str(space))
        wanted = neighbours(pool()["features"][name], 123, 6)
        page.wait_for_function("name => document.querySelector('#pinned h3').textContent.includes(name)", arg=name)
        thumbs = page.locator("#neighbours .thumb")
        assert thumbs.evaluate_all("all => all.map(one => Number(one.dataset.index))") == wanted
        assert (pixels(page, "#neighbours canvas") == image(wanted[0])).all()
    thumbs.first.click()
    assert page.locator("#pinned h2").text_content().startswith(f"Image {wanted[0]}, pinned")


@pytest.mark.parametrize("tool", ["lasso", "box"])
def test_what_is_drawn_around_is_what_python_counts(tool, open_):
    page = open_()
    at, frame = places(page), box(page)
    x, y = frame["x"] + frame["width"] / 2, frame["y"] + frame["height"] / 2
    corners = {"lasso": [(-150, -90), (20, -160), (170, -20), (90, 140), (10, 10), (-130, 120)],
               "box": [(-120, -80), (140, -80), (140, 100), (-120, 100)]}[tool]  # fmt: skip
    corners = [(x + dx, y + dy) for dx, dy in corners]
    page.click(f"#{tool}")
    page.mouse.move(*corners[0])
    page.mouse.down()
    for corner in corners[1:] if tool == "lasso" else corners[2:3]:
        page.mouse.move(*corner)
    page.mouse.up()
    members = np.flatnonzero(inside(corners, at))
    assert page.locator("#selection h2").text_content().startswith(f"{len(members):,} selected") and len(members) > 100
    for column, names in (("category", ("iD", "ambiguous", "OoD")), ("class", CLASSES)):
        rows = page.locator(f"#selection [data-column='{column}'] li")
        shown = {row.locator(".name").text_content(): int(row.get_attribute("data-count")) for row in rows.all()}
        codes = pool()[column][members]
        wanted = {("none" if code < 0 else names[code]): int((codes == code).sum()) for code in np.unique(codes)}
        assert shown == wanted
    with page.expect_download() as saved:
        page.click("#download")
    rows = list(csv.DictReader(saved.value.path().read_text().splitlines()))
    assert [int(row["index"]) for row in rows] == members.tolist()
    assert {row["class"] for row in rows} <= {*CLASSES, "none"}
    page.click("#copy")
    page.wait_for_function("() => document.querySelector('#counts').textContent.includes('copied')")
    assert page.evaluate("navigator.clipboard.readText()").splitlines()[1].split(",")[0] == str(members[0])
    gallery = "all => all.map(one => Number(one.dataset.index))"
    before = page.locator("#members .thumb").evaluate_all(gallery)
    page.click("#resample")
    after = page.locator("#members .thumb").evaluate_all(gallery)
    assert before != after and len(set(after)) == 24 and set(before) | set(after) <= set(members.tolist())


def test_maps_side_by_side_share_what_is_pointed_at(open_):
    page = open_("pair=1&map=0,1")
    at = places(page, "pixels", pane=1)
    mouse = np.round(at[77])
    nearest = int(np.linalg.norm(at - mouse, axis=1).argmin())
    before = page.locator(".overlay").first.evaluate("c => c.toDataURL()")
    page.mouse.move(*mouse)
    page.wait_for_selector(f"#card[data-index='{nearest}']")
    page.wait_for_function("old => document.querySelector('.overlay').toDataURL() !== old", arg=before)


def test_points_glide_to_another_projection(open_):
    page = open_()
    page.locator("select.space").first.select_option("1")
    at = places(page, "pixels")
    page.wait_for_timeout(1000)
    mouse = np.round(at[500])
    nearest = int(np.linalg.norm(at - mouse, axis=1).argmin())
    page.mouse.move(*mouse)
    page.wait_for_selector(f"#card[data-index='{nearest}']")


def test_address_brings_back_the_whole_view(open_):
    page = open_()
    page.select_option("#by", "category:1")
    page.click("#pair")
    page.locator("select.space").nth(0).select_option("1")
    page.locator("select.strategy").nth(1).select_option("1")
    page.fill("#stage", "1")
    page.click("#legend .only >> nth=1")
    page.fill("#query", "55")
    page.press("#query", "Enter")
    page.click("#closer")
    page.focus(".overlay >> nth=1")
    page.keyboard.press("v")
    page.click("#theme")
    page.wait_for_timeout(1000)  # the glide
    said = address_of(page, "theme=light")
    page.wait_for_timeout(300)
    look = "() => [...document.querySelectorAll('#legend, #pinned, #bars, #counts')].map(e => e.textContent).join('|')"
    before, picture = page.evaluate(look), page.locator("#panes").screenshot()
    said = page.evaluate("location.hash.slice(1)")
    page = open_(said)
    assert page.evaluate(look) == before
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    page.wait_for_timeout(400)
    assert page.evaluate("location.hash.slice(1)") == said
    differ = (rgb(page.locator("#panes").screenshot()) != rgb(picture)).any(2).mean()
    assert differ < 0.02  # the camera is rounded to six digits, so that edges of points may fall on other pixels


@pytest.mark.parametrize(
    "state", ["by=nonsense&stage=99&pin=-4&map=7,x&hide=category:9=1;;&view0=a,b,c&in=0_1.zz_", "%", "==&&"]
)
def test_address_of_nonsense_is_a_plain_page(state, open_):
    page = open_(state)
    assert drawn(page) == N and page.locator("#pinned").is_hidden()


def test_keys_alone_find_pin_and_let_go(open_):
    page = open_()
    page.focus(".overlay >> nth=0")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("#card:visible")
    first = page.locator("#card").get_attribute("data-index")
    page.keyboard.press("ArrowUp")
    page.wait_for_function("old => document.querySelector('#card').dataset.index !== old", arg=first)
    second = page.locator("#card").get_attribute("data-index")
    at = square(pool()["coordinates"]["learned"])
    assert at[int(second), 1] > at[int(first), 1]
    assert f"image {second}" in page.locator("#said").text_content()
    page.keyboard.press("Enter")
    assert page.locator("#pinned h2").text_content().startswith(f"Image {second}, pinned")
    page.keyboard.press("+")
    assert "view0" in address_of(page, "view0")
    page.keyboard.press("0")
    page.keyboard.press("Escape")
    assert page.locator("#pinned").is_hidden()
    page.keyboard.press("v")
    assert page.locator("#selection h2").text_content().startswith(f"{N:,} selected")
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.className"))
    assert {"stage", "play", "resample", "copy", "download", "entry", "only quiet"} <= reached


def test_every_control_has_a_name_for_screen_readers(open_):
    page = open_("pair=1&stage=2&pin=3")
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('button, select, input, canvas[role], [role=application]')].filter(e =>
        !(e.getAttribute('aria-label') || e.textContent.trim() && e.tagName === 'BUTTON' || e.labels?.length))
        .map(e => e.outerHTML.slice(0, 80))"""
    )
    assert nameless == []


def test_zoom_and_drag_move_the_points_with_the_pointer(open_):
    page = open_()
    at = places(page)
    i = int(np.linalg.norm(at - at.mean(0), axis=1).argmax())  # a lonely one at the rim
    page.mouse.move(*at[i])
    page.mouse.wheel(0, -600)
    page.mouse.move(*(at[i] + [1, 0]))
    page.wait_for_selector(f"#card[data-index='{i}']")  # it stays under the pointer
    page.mouse.down()
    page.mouse.move(*(at[i] + [61, 40]), steps=4)
    page.mouse.up()
    page.mouse.move(*(at[i] + [60, 40]))
    page.wait_for_selector(f"#card[data-index='{i}']")
    assert "view0" in address_of(page, "view0")


@pytest.fixture
def phone(browser, said):
    context = browser.new_context(viewport={"width": 400, "height": 800}, has_touch=True, is_mobile=True)
    yield watched(context, said)
    context.close()


def test_a_window_of_400_pixels_shows_all_and_a_tap_shows_then_pins(phone, open_):
    page = open_("stage=1", phone)
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    at = places(page)
    lonely = int(np.linalg.norm(at - at.mean(0), axis=1).argmax())
    page.touchscreen.tap(*at[lonely])
    page.wait_for_selector(f"#card[data-index='{lonely}']")
    card = page.locator("#card").bounding_box()
    assert card["x"] >= 0 and card["x"] + card["width"] <= 400
    page.locator("#card button").tap()
    assert page.locator("#pinned h2").text_content().startswith(f"Image {lonely}, pinned")
    assert (pixels(page, "#pinned canvas.image") == image(lonely)).all()


def test_dark_page_is_dark_and_the_button_overrules_the_system(browser, open_, said):
    context = browser.new_context(color_scheme="dark", viewport={"width": 900, "height": 600})
    page = open_("", watched(context, said))
    ground = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(ground) == "rgb(20, 23, 28)"
    page.click("#theme")
    assert page.evaluate(ground) == "rgb(251, 250, 247)"
    context.close()


def test_hover_is_answered_at_once(open_):
    """Within 50 ms on a quiet machine (measured by tests/speed/explorer.py); here with room for a busy one."""
    page = open_()
    at = places(page)
    start = time.perf_counter()
    page.mouse.move(*at[9])
    page.wait_for_selector("#card:visible")
    assert time.perf_counter() - start < 2
