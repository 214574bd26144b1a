"""What the notebooks call beside the kit: their pool-specific text, and the saving of figures."""

import re

from alkit import paths as places
from alkit.study.tables import label


def story(benchmark: str) -> dict[str, str]:
    """The parts of the notebooks' text that belong to this benchmark: Markdown by name, such as "01 pool".

    What was learned on one variant of a benchmark may not hold on another; a line before it says which one it is.
    """
    text = (places.NOTEBOOKS / "texts" / f"{benchmark.partition('-')[0]}.md").read_text()
    head, *parts = re.split(r"<!-- section: (.+?) -->\n", text)
    sections = {name: body.strip() for name, body in zip(parts[::2], parts[1::2], strict=True)}
    learned_on = re.search(r"learned on `(.+?)`", head)
    if learned_on is None or learned_on[1] == benchmark:
        return sections
    notice = (
        f"*This was written about the pool `{learned_on[1]}`. The numbers above are of `{benchmark}`: compare.*\n\n"
    )
    return {name: (notice if name.endswith("learned") else "") + body for name, body in sections.items()}


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
