"""The tour of a pool's page: in three steps to who buys the images out of distribution, such as MixDigits' letters."""

from collections.abc import Mapping, Sequence

import numpy as np

from alkit.benchmarks import OOD
from alkit.explorer import Purchases


def steps(pool, table: Mapping, purchases: Sequence[Purchases]) -> list[tuple[str, str]]:
    """Texts and views, as `explorer.write` takes them; none where there are no two strategies to compare.

    `table`: the page's columns, those of names before the scores, with "source" among them. Which source, which
    strategies and which image are shown follows from what was bought.
    """
    if len(purchases) < 2:
        return []
    sources, counts = np.unique(pool.source_N[pool.category_N == OOD], return_counts=True)
    name = str(sources[counts.argmax()])
    wanted_N = pool.source_N == name
    column = list(table).index("source")  # hides; the colours stay those of the categories
    others = ".".join(str(code) for code, other in enumerate(np.unique(pool.source_N)) if other != name)
    bought = [np.concatenate(one.picks) for one in purchases]
    shares = [wanted_N[picks].mean() for picks in bought]
    most, fewest = int(np.argmax(shares)), int(np.argmin(shares))
    last = max(len(one.picks) for one in purchases) - 1
    buyers_N = sum(np.bincount(picks, minlength=len(pool)) for picks in bought) * wanted_N
    buyers_N[np.concatenate([one.picks[0] for one in purchases])] = 0  # the initial set was chosen by nobody
    pinned = int(buyers_N.argmax())

    def told(p: int) -> str:
        return f"{purchases[p].name} {int(wanted_N[bought[p]].sum())} in {len(bought[p])} looks"

    seen = f"stage={last}&by-whom={most},{fewest}"
    return [
        (
            f"Where are the {name}? {int(wanted_N.sum()):,} of the {len(pool):,} images, out of distribution: a look "
            "at one costs what any look costs, and its answer belongs to none of the classes.",
            f"names={column}",
        ),
        (
            f"Who buys the {name}? They alone are shown, and what was bought of them is large. Most: "
            f"{told(most)}; fewest: {told(fewest)}.",
            f"names=-1&pair=1&{seen}&hide=category:{column}={others}",
        ),
        (
            f"Why? {int(buyers_N[pinned])} of {len(purchases)} strategies have chosen the one that is pinned, and no "
            "other was chosen by more. Its details say when, and which images lie nearest in the feature space, which "
            "is what strategies see.",
            f"{seen}&pin={pinned}",
        ),
    ]
