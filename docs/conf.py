"""The site: README, executed notebooks, pictures, tables and the module's reference, to be read without a network.

`make site` builds it into build/site from the project's own files; open build/site/index.html. Formulas are MathML,
which browsers draw themselves, so that no script is fetched for them.
"""

import posixpath
import re
import sys
from pathlib import Path

from docutils import nodes
from latex2mathml.converter import convert

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

project, author, copyright = "alkit", "the authors of alkit", "the authors of alkit"
extensions = ["myst_nb", "sphinx.ext.autodoc"]
root_doc = "README"
include_patterns = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "alkit/assets/LICENCES.md",
    "docs/api/*.md",
    "docs/journeys.md",
    "figures/**.md",
    "figures/*/notebooks/**.ipynb",
    "notebooks/*.ipynb",
    "notebooks/*.md",
    "notebooks/sweeps/*.md",
    "notebooks/texts/related_work.md",
    "notebooks/texts/semi_supervised_log.md",
    "tests/FAULTS.md",
    "tests/speed/README.md",
]
exclude_patterns = [".venv/**", "build/**", "runs/**"]

html_theme, html_title = "furo", "alkit"
html_extra_path = ["index.html"]
html_copy_source = False
html_math_renderer = "mathml"
html_theme_options = {"sidebar_hide_name": False}

nb_execution_mode = "off"
nb_merge_streams = True
# a picture instead of the page with scripts, where an output has both
nb_mime_priority_overrides = [("html", "image/png", 0), ("html", "text/html", 5)]
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 4
default_role = "literal"
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "signature"
# links to a folder or a source file are kept as they stand in the text: not everything they name is a page
suppress_warnings = ["myst.xref_missing", "myst.header", "toc.not_included", "mystnb.unknown_mime_type"]

EXECUTED = """
```{{toctree}}
:hidden:
:caption: Executed on {name}

{notebooks}
```
"""


CONTENTS = """
```{toctree}
:hidden:
:caption: Notebooks
:glob:

notebooks/README
notebooks/0*
```

EXECUTED

```{toctree}
:hidden:
:caption: Pictures and tables

figures/README
figures/results/README
notebooks/sweeps/README
notebooks/texts/related_work
tests/speed/README
```

```{toctree}
:hidden:
:caption: The module
:glob:

docs/api/*
CONTRIBUTING
docs/journeys
tests/FAULTS
CHANGELOG
```
"""


def add_contents(app, docname, source):
    """The table of contents below the README, which has none where it is read as a file."""
    if docname != root_doc:
        return
    executed = ""
    for name in ("MixDigits", "MixMNIST", "MixCIFAR60"):
        found = sorted((ROOT / "figures" / name.lower()).glob("notebooks/*/*.ipynb"), key=lambda path: path.name)
        pages = [path.relative_to(ROOT).with_suffix("").as_posix() for path in found]
        executed += EXECUTED.format(name=name, notebooks="\n".join(pages))
    source[0] += CONTENTS.replace("EXECUTED", executed)


def mend_links(app, doctree, docname):
    """Links that lead to a page of the site: from a notebook's output to a notebook, and from a text to a room."""
    for link in list(doctree.findall(nodes.reference)):
        to = link.get("refuri") or "#" + link.get("refid", "")
        path, hash_, place = to.partition("#")
        if path.endswith((".ipynb", ".md")) and "://" not in path:
            target = posixpath.normpath(posixpath.join(posixpath.dirname(docname), path)).rsplit(".", 1)[0]
            if target not in app.env.found_docs:  # a published notebook stands in for its neighbours on the same pool
                target = "notebooks/" + posixpath.basename(target)
            if target in app.env.found_docs:
                link["refuri"] = app.builder.get_relative_uri(docname, target) + hash_ + place
        elif not path and "/" in place:  # a folder
            pages = [page for page in app.env.found_docs if page.endswith("_" + place.removeprefix("alkit/"))]
            if pages:
                link["refuri"] = app.builder.get_relative_uri(docname, pages[0])
            else:
                link.replace_self(link.children)


def inline(self, node):
    self.body.append(convert(node.astext()))
    raise nodes.SkipNode


def display(self, node):
    self.body.append(f"<div class='math'>{convert(node.astext(), display='block')}</div>")
    raise nodes.SkipNode


def plain_words(app, what, name, thing, options, lines):
    """Docstrings are plain text: bars, stars and tables in them are no markup."""
    paragraphs = "\n".join(lines).split("\n\n")
    for number, paragraph in enumerate(paragraphs):
        rows = paragraph.split("\n")
        indented = [row.startswith(" ") for row in rows if row]
        if any(row.startswith("|") for row in rows) or any(indented):
            paragraphs[number] = "::\n\n" + "\n".join("    " + row for row in rows)
        else:
            paragraphs[number] = re.sub(r"(?<=\w)_(?=\W|$)|[|*\\\\]", lambda found: "\\" + found[0], paragraph)
    lines[:] = "\n\n".join(paragraphs).split("\n")


def setup(app):
    app.connect("autodoc-process-docstring", plain_words)
    app.connect("source-read", add_contents)
    app.connect("doctree-resolved", mend_links)
    app.add_html_math_renderer("mathml", (inline, None), (display, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
