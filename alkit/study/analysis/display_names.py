"""What figures and tables call a pool, a strategy and a method: one name each, wherever it is shown.

Tables, claims and files keep the names that code knows, such as "cautious_coverage, probe" (`cost_tables.method`);
these functions translate them when something is drawn or printed.
"""

import re
from collections.abc import Iterable

from alkit.experiment.methods import UNFILTERED

STRATEGIES = {  # as their authors write them
    "random": "Random",
    "least_confidence": "Least confidence",
    "entropy": "Entropy",
    "margin": "Margin",
    "ddu": "DDU",
    "ddu_gate": "DDU gate",
    "random_cl": "Random(CL)",
    "distance_cl": "Distance(CL)",
    "coreset": "Core-set",
    "pcoreset": "PCoreSet",
    "probcover": "ProbCover",
    "typiclust": "TypiClust",
    "cold_start": "Cold start",
    "bald": "BALD",
    "dropquery": "DropQuery",
    "ldm": "LDM",
    "badge": "BADGE",
    "alfa_mix": "ALFA-Mix",
    "cautious_coverage": "Cautious coverage",
    "gated_margin": "Gated margin",
    "lfosa": "LfOSA",
    "bual": "BUAL",
    "eaoa": "EAOA",
    "eoal": "EOAL",
    "ccal": "CCAL",
    "mqnet": "MQ-Net",
    "oracle_random": "Oracle random",
    "oracle_margin": "Oracle margin",
    "boss": "BoSS",
    "similar": "SIMILAR",
    "sisom": "SISOM",
    "joda": "Joda",
    "e2oal": "E2OAL",
    "poal": "POAL",
    "neat": "NEAT",
    "pal": "PAL",
    "vessal": "VeSSAL",
    "ical": "ICAL",
    "isal": "ISAL",
    "dao": "DAO",
    "tidal": "TiDAL",
    "ta_vaal": "TA-VAAL",
    "rare_class": "Rare class",
    "anchoral": "AnchorAL",
    "tailor": "TAILOR",
}
PAPER_METHODS = {  # names and order of Table 2 of Kim, Kim and Hwang (2023), arXiv 2303.14433
    ("random", "supervised"): "Random",
    ("least_confidence", "supervised"): "Least confidence",
    ("entropy", "supervised"): "Entropy",
    ("ddu", "supervised"): "DDU",
    ("ddu", "supervised_sn"): "DDU (spectral norm)",
    ("random_cl", "contrastive"): "Random(CL)",
    ("distance_cl", "contrastive"): "Distance(CL)",
}
LEARNER_OF_PAPER = {name: learner for (_, learner), name in PAPER_METHODS.items()}

POOLS = {"mixdigits": "MixDigits", "mixmnist": "MixMNIST", "mixcifar60": "MixCIFAR60"}
START = {"initial=shared": "", "initial=strategy": "own first labels"}


def pool(benchmark: str) -> str:
    """The name of a benchmark: "MixDigits", or of a variant "MixCIFAR60 (house_numbers-scenes)"."""
    base, _, variant = benchmark.partition("-")
    name = POOLS.get(base, base)
    return f"{name} ({variant})" if variant else name


def strategy(name: str) -> str:
    """The name of a strategy, its options behind it: "Cautious coverage, caution=2" of "cautious_coverage, caution=2".

    One that is not known keeps its own words: "Nearest id" of "nearest_id".
    """
    own, *rest = _parts(name)
    return ", ".join([_own(own), *filter(None, (START.get(part, part) for part in rest))])


def learner(method: str) -> str:
    """The learner of a method as `cost_tables.method` has it, with its options; "" of a strategy alone."""
    own, *rest = _parts(method)
    if own in LEARNER_OF_PAPER:
        return LEARNER_OF_PAPER[own]
    return rest[0] if rest and "=" not in rest[0].partition("(")[0] else ""


def methods(names: Iterable[str]) -> dict[str, str]:
    """What each of these methods of one table or figure is called; the learner is left out where all have the same.

    The paper's Random(CL) and Distance(CL) have no auxiliary filter: these are called as the paper has them, and those
    with a filter say so, where both are there.
    """
    names = list(names)
    one_learner = len({learner(name) for name in names}) == 1
    unfiltered = {name.partition(", ")[0] for name in names if ", filter=off" in name} & {
        STRATEGIES[name] for name in UNFILTERED
    }
    return {name: _method(name, one_learner, unfiltered) for name in names}


def method(name: str, among: Iterable[str]) -> str:
    """What one method is called in a table or figure of all of `among`."""
    return methods([*among, name])[name]


def _method(name: str, one_learner: bool, unfiltered: set[str]) -> str:
    own, *rest = _parts(name)
    if own in unfiltered:
        rest = [part for part in rest if part != "filter=off"] if "filter=off" in rest else ["filter=on", *rest]
    elif one_learner and own not in LEARNER_OF_PAPER and learner(name):
        rest = rest[1:]
    return strategy(", ".join([own, *rest]))


def _own(name: str) -> str:
    if name in LEARNER_OF_PAPER:
        return name
    return STRATEGIES.get(name) or name.replace("_", " ").capitalize()


def _parts(name: str) -> list[str]:
    """The parts of a name between its commas, but not those within brackets."""
    return re.split(r", (?![^(]*\))", name)
