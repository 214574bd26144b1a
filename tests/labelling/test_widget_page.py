"""The widget's page in a real browser, on its real Python side and a made-up session; no Jupyter.

Skipped where no Chrome or Chromium, or no playwright, is found.
"""

import io
import re

import numpy as np
import pytest
from labelling_fake import EVIL, EVIL_CLASS, FakeSession
from labelling_page import ADDRESS, launched, opened, press, ready, saved
from PIL import Image

from alkit.labelling.widget import QUESTIONS
from alkit.store import StoreError

SEEN = """() => { // at each key: the file name on the screen, and the colour at the top left of its picture
  window.seen = [];
  addEventListener("keydown", (event) => {
    const box = document.querySelector(".frame img"), canvas = document.createElement("canvas");
    const context = canvas.getContext("2d");
    context.drawImage(box, 0, 0);
    const name = document.querySelector("figcaption .name").textContent;
    seen.push([event.key, name, Array.from(context.getImageData(2, 2, 1, 1).data.slice(0, 3))]);
  }, true);
}"""


@pytest.fixture(scope="module")
def browser():
    with launched() as browser:
        yield browser


def focus(page):
    page.locator(".frame").click()


def notice(page):
    return page.locator(".notice:not([hidden])").text_content()


def test_every_key_answers_and_only_while_the_widget_has_the_focus(browser):
    with opened(browser) as (page, session, _, said):
        page.evaluate("document.getElementById('elsewhere').hidden = false")
        page.locator("#elsewhere").click()
        press(page, "1a")
        assert session.given == {}
        focus(page)
        press(page, ["1", "c", "2", "b", "W", "a", "o", " ", "Control+a", "5", "z"])
        answers = ["cat", "cat", EVIL_CLASS, EVIL_CLASS, "cow", "ambiguous", "not mine", "skip"]
        assert saved(page, session, 8) == dict(enumerate(answers))
        page.keyboard.press("u")
        page.keyboard.press("u")
        page.wait_for_function("document.querySelector('.name').textContent.includes('image 6')")
        press(page, "3")
        assert saved(page, session, 7)[6] == "cow"
        ready(page)
        page.keyboard.down("1")
        ready(page)
        page.keyboard.down("1")  # a key that is held repeats, and answers once
        assert saved(page, session, 8)[7] == "cat"
        assert [one for one in said if not one.startswith(("request: " + ADDRESS, "request: blob:" + ADDRESS))] == []


def test_help_lists_the_keys_and_the_opinion_is_hidden_until_asked_for(browser):
    with opened(browser) as (page, session, _, _said):
        focus(page)
        helped, opinion = page.locator(".help"), page.locator(".opinion")
        assert not helped.is_visible() and not opinion.is_visible()
        press(page, "?")
        assert helped.is_visible() and re.search(r"1c\s*cat", helped.text_content())
        page.keyboard.press("Escape")
        assert not helped.is_visible()
        press(page, ".")
        page.wait_for_selector(".opinion:has-text('There is no classifier yet.')")
        press(page, "111")
        ready(page)
        assert not opinion.is_visible()  # hidden again at the next image
        assert not any("opinion" in one for one in page.evaluate("posted.slice(-6).map((one) => one.kind)"))
        press(page, ".")
        assert opinion.locator("li").first.text_content() == f"{EVIL_CLASS}55 %"
        page.wait_for_selector(".near img")
        assert page.locator(".near li").all_text_contents() == ["cat"] * 3
        saved(page, session, 3)


def test_twenty_keys_in_two_seconds_all_arrive_each_for_the_picture_on_the_screen(browser):
    """With a kernel that takes 0.3 s to answer."""
    with opened(browser, FakeSession("where", size=(64, 48))) as (page, session, _, _said):
        page.wait_for_timeout(400)
        page.evaluate(SEEN)
        page.evaluate("lag = 150")
        focus(page)
        for key in "12312312312312312312":
            page.keyboard.press(key)
            page.wait_for_timeout(80)
        answers, seen = saved(page, session, 20), page.evaluate("seen")
    for key, name, colour in seen:
        position = int(re.search(r"\d+", name)[0])
        assert answers[position] == ("cat", EVIL_CLASS, "cow")[int(key) - 1], name
        with Image.open(io.BytesIO(session.picture(position))) as picture:
            assert np.abs(np.subtract(picture.convert("RGB").getpixel((2, 2)), colour)).max() < 12, name
    assert len(seen) == 20


def test_a_key_is_not_taken_while_the_next_image_is_not_there(browser):
    with opened(browser) as (page, session, kernel, _said):
        page.wait_for_timeout(400)
        page.evaluate("fault = 'away'")  # no picture beyond those loaded ahead, no question beyond those in hand
        focus(page)
        press(page, "1" * QUESTIONS)
        page.keyboard.press("2")
        assert notice(page) == "Not taken: the next image is not there yet."
        assert session.given == {}
        page.evaluate("fault = ''")
        page.evaluate("dispatchEvent(new Event('online'))")
        assert saved(page, session, QUESTIONS) == dict.fromkeys(range(QUESTIONS), "cat")


def test_an_answer_is_shown_as_saved_once_acknowledged_and_sent_again_until_then(browser):
    with opened(browser) as (page, session, _, _said):
        focus(page)
        page.evaluate("fault = 'deaf'")
        press(page, "1")
        assert page.locator(".saved").text_content() == "saving…"
        page.wait_for_selector(".saved.late", timeout=5000)
        assert "1 answer kept here" in page.locator(".saved").text_content()
        page.evaluate("fault = ''; dispatchEvent(new Event('online'))")
        assert saved(page, session, 1) == {0: "cat"}
        assert page.evaluate("posted.filter((one) => one.kind === 'answer').length") >= 2


def test_unsaved_answers_outlive_the_kernel_and_a_reload_of_the_page(browser):
    with opened(browser) as (page, session, kernel, _said):
        focus(page)
        press(page, "1")
        saved(page, session, 1)
        page.evaluate("fault = 'away'")
        press(page, "32u")
        assert session.answers() == {0: "cat"}
        kernel.restart()
        page.reload()
        ready(page)
        page.wait_for_function("document.querySelector('.name').textContent.includes('image 2')")
        assert session.answers() == {0: "cat", 1: "cow"}  # 2 was answered, and taken back
        focus(page)
        press(page, "a")
        assert saved(page, session, 3)[2] == "ambiguous"
        assert page.evaluate("localStorage.length") == 0


def test_what_the_kernel_refuses_or_cannot_save_is_said(browser):
    with opened(browser) as (page, session, _, _said):
        focus(page)
        session.trouble = StoreError("nothing was saved: no space is left; free some space")
        press(page, "1")
        page.wait_for_selector(".notice.warn")
        assert "no space is left" in notice(page) and "kept here" in notice(page)
        assert page.locator(".saved").text_content() == "saving…"
        session.trouble = None
        assert saved(page, session, 1) == {0: "cat"}
        session.trouble = ValueError("question 2 was not asked")
        press(page, "3")
        page.wait_for_selector(".notice.warn")
        assert notice(page) == "“cow” for folder/image 1.png was not saved: question 2 was not asked."
        session.trouble = None
        assert "image 2" in page.locator(".name").text_content()  # what is looked at stays; then 1 is asked again
        press(page, "23")
        assert saved(page, session, 3) == {0: "cat", 2: EVIL_CLASS, 1: "cow"}


def test_markup_in_names_stays_text(browser):
    session = FakeSession("where", names=[f"{EVIL} {i}.png" for i in range(60)])
    session.neighbours = lambda position, k: [(1, EVIL, 0.5)]
    session.opinion = lambda position: [(EVIL, 1.0)]
    with opened(browser, session) as (page, session, _, said):
        focus(page)
        press(page, ["2", "?", "."])
        page.wait_for_selector(".near img")
        assert page.locator("figcaption .name").text_content() == f"{EVIL} 1.png"
        assert page.locator(".classes button").nth(1).text_content() == f"2b{EVIL_CLASS}"
        assert EVIL in page.locator(".near").text_content() and EVIL in page.locator(".opinion").text_content()
        assert EVIL_CLASS in page.locator(".saved").text_content() + page.locator(".help").text_content()
        assert page.locator(".alkit-label b:text-is('dog'), .alkit-label img[onerror]").count() == 0
        assert [one for one in said if not one.startswith("request: ")] == []


def contrast(page, inner, outer=".alkit-label"):
    """The contrast ratio (WCAG) of an element's text on another's ground."""
    colours = [
        page.evaluate(
            """([selector, what]) => { const context = document.createElement("canvas").getContext("2d");
            context.fillStyle = getComputedStyle(document.querySelector(selector))[what]; context.fillRect(0, 0, 1, 1);
            return Array.from(context.getImageData(0, 0, 1, 1).data.slice(0, 3)); }""",
            one,
        )
        for one in ([inner, "color"], [outer, "backgroundColor"])
    ]
    linear = np.where((c := np.array(colours) / 255) <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    light = sorted(linear @ [0.2126, 0.7152, 0.0722])
    return (light[1] + 0.05) / (light[0] + 0.05), light[1] - 0.2 > linear[0] @ [0.2126, 0.7152, 0.0722]


def test_theme_follows_the_notebook_and_else_the_system(browser):
    dark = "getComputedStyle(document.querySelector('.alkit-label')).backgroundColor === 'rgb(20, 23, 28)'"
    with opened(browser, color_scheme="dark") as (page, _, _, _said):
        assert page.evaluate(dark)
        for inner in (".place", ".why", ".focus-hint", ".kind", "button span", ".alkit-label h3"):
            assert contrast(page, inner)[0] > 4.5, inner
        page.evaluate("document.body.dataset.jpThemeLight = 'true'")
        assert not page.evaluate(dark)
        for inner in (".place", ".why", ".focus-hint", ".kind", "button span", ".alkit-label h3"):
            assert contrast(page, inner)[0] > 4.5, inner
        page.emulate_media(color_scheme="light")
        page.evaluate("document.body.dataset.jpThemeLight = 'false'")
        assert page.evaluate(dark)
        page.evaluate("delete document.body.dataset.jpThemeLight")
        assert not page.evaluate(dark)


def test_buttons_have_names_and_focus_and_answer_by_mouse_and_keyboard(browser):
    with opened(browser) as (page, session, _, _said):
        page.locator(".classes button").nth(2).click()
        assert page.evaluate("document.activeElement.className") == "alkit-label"  # so that space skips, not presses
        press(page, [" ", "Tab", "Tab", "Tab", "Enter"])  # ? 1 2
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        press(page, [" "])
        assert list(saved(page, session, 4).values()) == ["cow", "skip", EVIL_CLASS, EVIL_CLASS]
        assert page.get_by_role("button", name="not mine, none of the classes, key o").count() == 1
        assert page.get_by_role("button", name="cat, key 1 or c").get_attribute("aria-keyshortcuts") == "1 c"
        assert page.locator("[aria-live=polite]").text_content() == f"{EVIL_CLASS} saved. Question 5."
        assert page.locator(".frame").get_attribute("aria-label") == "Image to label: folder/image 4.png"
        ready(page)
        press(page, ["u"])
        page.wait_for_function("document.querySelector('[aria-live]').textContent.includes('taken back')")


def test_on_a_phone_nothing_is_cut_off_and_buttons_are_large_enough_to_touch(browser):
    names = ["a rather long name of a folder/" + "x" * 80 + f" {i}.png" for i in range(60)]
    session = FakeSession("where", ("cat", "a class with a long name of its own " * 3, "cow"), names=names)
    with opened(browser, session, 390, 844, has_touch=True, is_mobile=True) as (page, session, _, _said):
        for button in page.locator("button").all():
            box = button.bounding_box()
            assert box["height"] >= 40 and box["x"] >= 0 and box["x"] + box["width"] <= 390
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert page.locator(".frame").bounding_box()["height"] >= 220
        page.locator(".classes button").first.tap()
        assert saved(page, session, 1) == {0: "cat"}
        below = page.locator(".others").bounding_box()
        assert below["y"] + below["height"] <= 844  # picture and answers on one screen


def test_the_end_is_said_and_can_be_taken_back(browser):
    with opened(browser, FakeSession("where", budget=2)) as (page, session, _, _said):
        focus(page)
        press(page, "11")
        page.wait_for_selector(".frame.finished")
        assert "the budget of looks is spent" in page.locator(".frame").text_content()
        page.keyboard.press("1")
        assert notice(page) == "Not taken: there is no question."
        page.keyboard.press("u")
        press(page, "3")
        assert saved(page, session, 2) == {0: "cat", 1: "cow"}


def test_progress_of_a_fit_is_followed_and_the_estimate_shown(browser):
    with opened(browser) as (page, session, _, _said):
        focus(page)
        assert "not enough test answers" in page.locator(".status").text_content()
        session.fitting, session.progress = True, 0.3
        press(page, "11111ao  1")
        saved(page, session, 10)
        text = page.locator(".status").text_content()
        for part in ("10 looks, 50 left", "6 with a class", "1 ambiguous", "1 not mine", "2 skipped"):
            assert part in text
        for part in ("87 % (90 % interval 81 to 92 %, 1 test answer)", "93 %", "71 %", "The last 50 looks brought"):
            assert part in text
        assert "30 %" in page.locator(".learning").text_content()
        session.fitting, session.progress = False, 1.0
        page.wait_for_function("!document.querySelector('.learning').textContent", timeout=5000)
