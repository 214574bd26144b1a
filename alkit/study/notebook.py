"""What the notebooks call beside the kit: their pool-specific text, and the saving of figures."""

import json
import re
from collections.abc import Sequence

from alkit import paths as places
from alkit.study.tables import label

EMBEDDED = "mixdigits"  # the pool whose text stands in the notebooks, in cells with this tag
TOLD = re.compile(r'notebook\.told\(benchmark, "(.+?)"\)')


def story(benchmark: str) -> dict[str, str]:
    """The parts of the notebooks' text that belong to this benchmark: Markdown by name, such as "01 pool".

    What was learned on one variant of a benchmark may not hold on another; a line before it says which one it is.
    """
    family = benchmark.partition("-")[0]
    text = (places.NOTEBOOKS / "texts" / f"{family}.md").read_text()
    head, *parts = re.split(r"<!-- section: (.+?) -->\n", text)
    sections = {name: body.strip() for name, body in zip(parts[::2], parts[1::2], strict=True)}
    sections |= _embedded() if family == EMBEDDED else {}
    learned_on = re.search(r"learned on `(.+?)`", head)
    if learned_on is None or learned_on[1] == benchmark:
        return sections
    notice = (
        f"*This was written about the pool `{learned_on[1]}`. The numbers above are of `{benchmark}`: compare.*\n\n"
    )
    return {name: (notice if name.endswith("learned") else "") + body for name, body in sections.items()}


def told(benchmark: str, part: str):
    """Markdown: the text of `story` at this place of a notebook. None for MixDigits, whose text is the cell above."""
    from IPython.display import Markdown

    return None if benchmark == EMBEDDED else Markdown(story(benchmark)[part])


def _embedded() -> dict[str, str]:
    """The texts of MixDigits in the notebooks: each stands above the cell that tells another pool's."""
    found = {}
    for path in sorted(places.NOTEBOOKS.glob("[0-9]*.ipynb")):
        cells = json.loads(path.read_text())["cells"]
        for above, cell in zip(cells, cells[1:], strict=False):
            if match := TOLD.fullmatch("".join(cell["source"])):
                found[match[1]] = "".join(above["source"])
    return found


def check_questions(mine: Sequence[int], first: Sequence[int], n: int) -> None:
    """ValueError, naming them, for questions that are no unanswered samples from 0 to `n` - 1, each asked once."""
    for why, wrong in (
        (f"there are samples 0 to {n - 1} only", [one for one in mine if one not in range(n)]),
        ("these were answered before the game began", [one for one in mine if one in first]),
        ("these stand there more than once", [one for one in mine if mine.count(one) > 1]),
    ):
        if wrong:
            listed = ", ".join(map(str, dict.fromkeys(wrong)))
            raise ValueError(f"take other numbers for {listed} in `my_questions`: {why}")


def saver(benchmark: str, profile: str, publish: bool, name: str = ""):
    """A function `keep(figure, kind)` that saves a figure under the name of the results, and returns it.

    The page and its picture go below the runs folder; with `publish` the picture is copied into the committed figures.
    `kind` also goes into the figure itself (`layout.meta`), from where `publish` reads which picture shows it.
    """
    from alkit.study.figures.files import save

    results = label(benchmark, profile, name)
    folder, prefix = places.figure_place(results, False)
    committed = places.figure_place(results, True)[0] if publish else None

    def keep(figure, kind: str):
        save(figure.update_layout(meta={"kind": kind}), f"{prefix}-{kind}", folder, copy_to=committed)
        return figure

    return keep
