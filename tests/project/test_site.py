"""The static site: built once here, every link followed, and nothing in it that a page would fetch from a network."""

import importlib.util
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest

from alkit import paths

DOCS = paths.ROOT / "docs"
KIT = ("acquisition", "learners", "benchmarks", "experiment", "labelling", "explorer")
needs_sphinx = pytest.mark.skipif(
    importlib.util.find_spec("sphinx") is None or importlib.util.find_spec("myst_nb") is None,
    reason="the site's builder is not installed: pip install -r docs/requirements.txt",
)


class Page(HTMLParser):
    """What a page links to, what it loads by itself, and the places in it."""

    LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src"}

    def __init__(self, text: str):
        super().__init__()
        self.links, self.loaded, self.places = list[str](), list[str](), set[str]()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = {key: value for key, value in attributes if value}
        self.places |= {found[key] for key in ("id", "name") if key in found}
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        if tag in self.LOADED and self.LOADED[tag] in found:
            self.loaded.append(found[self.LOADED[tag]])
        if tag == "link" and "href" in found:
            self.loaded.append(found["href"])


def dead_ends(site: Path) -> list[str]:
    """What a reader without a network would miss: dead links, and what pages load from elsewhere."""
    pages = {path.resolve(): Page(path.read_text()) for path in site.rglob("*.html") if "_static" not in path.parts}
    problems = []
    for path, page in pages.items():
        for address in page.links + page.loaded:
            parts = urlparse(address)
            if parts.scheme or parts.netloc:
                if address in page.loaded and parts.scheme != "data":
                    problems.append(f"{path.name} loads {address}")
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.exists():
                problems.append(f"{path.name}: {address} is not there")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].places:
                problems.append(f"{path.name}: {address} has no such place")
    return problems


@pytest.mark.slow
@needs_sphinx
def test_the_site_builds_without_a_warning_and_every_link_in_it_leads_somewhere(tmp_path):
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-c", DOCS, "-d", tmp_path / "read"]
    done = subprocess.run([*command, paths.ROOT, tmp_path / "site"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site" / "searchindex.js").exists()
    assert len(list((tmp_path / "site" / "notebooks").glob("0*.html"))) == len(
        list((paths.ROOT / "notebooks").glob("0*.ipynb"))
    )
    assert dead_ends(tmp_path / "site") == []


def test_a_dead_link_and_a_script_from_elsewhere_are_found(tmp_path):
    (tmp_path / "a.html").write_text(
        "<a href='b.html'></a><a href='#no'></a><a href='https://example.org'></a>"
        "<script src='https://example.org/x.js'></script><img src='gone.png'>"
    )
    assert sorted(dead_ends(tmp_path)) == [
        "a.html loads https://example.org/x.js",
        "a.html: #no has no such place",
        "a.html: b.html is not there",
        "a.html: gone.png is not there",
    ]


@pytest.mark.parametrize("room", KIT)
def test_the_reference_has_every_module_of_a_room(room):
    (page,) = (DOCS / "api").glob(f"*_{room}.md")
    named = {line.split()[-1] for line in page.read_text().splitlines() if line.startswith(".. automodule::")}
    modules = {path.stem for path in (paths.ROOT / "alkit" / room).glob("*.py") if not path.stem.startswith("_")}
    assert named == {f"alkit.{room}.{module}" for module in modules}
