"""For pools whose classes are unbalanced: rare classes first, AnchorAL's part of the pool, and TAILOR's bandit."""

from collections.abc import Iterator
from typing import Annotated, Literal

import numpy as np

from alkit.acquisition._geometry import CELLS, draw, squared_distances, unit_rows
from alkit.acquisition._open_set import id_labelled, one_thread
from alkit.acquisition.registry import get, strategy
from alkit.acquisition.view import NOT_ASKED, View
from alkit.options import Range

Count = Annotated[int, Range(1)]
ARMS = {
    "all": ("margin", "least_confidence", "badge", "rare_class", "similar"),
    "uncertain": ("margin", "least_confidence", "badge"),
}
PRIOR = 2  # answers of each kind that an arm begins with, as in the published code


@strategy(
    "rare_class",
    citation="ours, by the most likely positive of Warmuth et al. 2003 (J. Chem. Inf. Comput. Sci. 43)",
    needs=("probs",),
)
def rare_class(view: View) -> Iterator[int]:
    """Each question is for the iD class with fewest labels: the sample that most probably is of it.

    argmax_x p(c | x) for the class c with fewest answers so far, those of the stage under way included; of several such
    classes a random one. Searching a class by its most likely member is Warmuth et al. 2003; going to the rarest class
    first is ours.

    Cost: O(K n log n) at the start, O(m) for each question after m answers. Assumes that the classifier knows the
    rarest class well enough to find more of it, and that classes should have equally many labels. What is asked is what
    the classifier is surest of: few ambiguous samples. OoD samples come where they pass for a class; those that pass
    for a rare one are bought until it has caught up, because an answer of junk does not count for it.
    """
    positions = view.shuffled()
    left_N = np.zeros(len(view.answers_N), bool)
    left_N[positions] = True
    queues = [
        iter(positions[np.argsort(-view.probs_NC[positions, c], kind="stable")].tolist()) for c in range(view.n_classes)
    ]
    tie_K = view.rng.permutation(view.n_classes)
    for _ in range(len(positions)):
        is_id = (view.live_N >= 0) & (view.live_N < view.n_classes)
        counts_K = np.bincount(view.live_N[is_id], minlength=view.n_classes)
        rarest = int(np.lexsort((tie_K, counts_K))[0])
        pick = next(position for position in queues[rarest] if left_N[position])
        left_N[pick] = False
        yield pick


@strategy(
    "anchoral",
    citation="Lesci and Vlachos 2024 (NAACL), arXiv 2404.05623",
    needs=("features", "head", "probs"),
    family="classic",
)
def anchoral(
    view: View,
    *,
    base: Literal["entropy", "margin", "badge", "random"] = "entropy",
    anchors: Count = 10,
    neighbours: Count = 50,
    size: Count = 1000,
) -> Iterator[int]:
    """The order of another strategy on what is near to labelled samples, then on the rest (Lesci and Vlachos 2024).

    Up to `anchors` labelled samples of each iD class are drawn as k-means++ draws its centres. Each finds its
    `neighbours` nearest unlabelled ones, by cosine similarity. The part is the `size` of these that are most similar,
    on average, to the anchors that found them: classes have a say in it alike, however rare they are in the pool. The
    paper asks nothing outside the part. With no labelled iD sample there is none, and `base` has the whole pool.

    Departures: anchors are of the K classes, as the neighbours of labelled junk are not wanted. The paper's part has
    1,000 samples for text, its published configuration 10,000.

    Cost: O(K anchors n D), and that of `base`. Assumes that neighbours share their class. Far OoD samples are outside
    the part; near ones and ambiguous ones are in it, and there `base` decides.
    """
    part_N = np.zeros(len(view.answers_N), bool)
    part_N[near_anchors(view, anchors, neighbours, size)] = True
    unasked_N = np.zeros(len(view.answers_N), bool)
    unasked_N[view.unasked] = True
    for one in (unasked_N & part_N, unasked_N & ~part_N):
        yield from get(base).function(view.among(one))


@one_thread()
def near_anchors(view: View, anchors: int, neighbours: int, size: int) -> np.ndarray:
    """Unlabelled positions near to anchors of the iD classes, `size` at most."""
    unlabelled, rows_ND = view.rng.permutation(view.unlabelled), unit_rows(view.features_ND)
    answers_N = view.answers_N
    chosen = [
        spread(rows_ND[members], anchors, view.rng)
        for members in (np.flatnonzero(answers_N == c) for c in np.unique(answers_N[id_labelled(view)]))
    ]
    if not chosen or not len(unlabelled):
        return unlabelled[:0]
    anchors_AD, pool_UD = np.concatenate(chosen), rows_ND[unlabelled]
    total_U, found_U = np.zeros(len(unlabelled)), np.zeros(len(unlabelled), np.int64)
    take, chunk = min(neighbours, len(unlabelled)), max(1, CELLS // len(unlabelled))
    for start in range(0, len(anchors_AD), chunk):
        similarity_AU = anchors_AD[start : start + chunk] @ pool_UD.T
        for similar_U, nearest in zip(similarity_AU, np.argpartition(-similarity_AU, take - 1, axis=1)[:, :take]):
            total_U[nearest] += similar_U[nearest]
            found_U[nearest] += 1
    found = np.flatnonzero(found_U)
    return unlabelled[found[np.argsort(-total_U[found] / found_U[found], kind="stable")][:size]]


def spread(rows_ND: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """At most `count` of the rows, all different, each drawn by its squared distance to the nearest before it."""
    if len(rows_ND) <= count:
        return rows_ND
    chosen, nearest_N = [int(rng.integers(len(rows_ND)))], np.full(len(rows_ND), np.inf)
    while len(chosen) < count:
        nearest_N = np.minimum(nearest_N, squared_distances(rows_ND, rows_ND[chosen[-1:]])[:, 0])
        nearest_N[chosen] = 0
        if not nearest_N.any():
            break
        chosen.append(draw(nearest_N, rng))
    return rows_ND[chosen]


@strategy(
    "tailor",
    citation="Zhang, Shao, Verma and Nowak 2023 (NeurIPS), arXiv 2302.07317",
    needs=("head", "probs"),
    family="classic",
)
def tailor(view: View, *, arms: Literal["all", "uncertain"] = "all") -> Iterator[int]:
    """A bandit chooses which strategy asks next, by the worth of what each has bought (Zhang et al. 2023).

    Thompson sampling: theta ~ Dirichlet(2 + answers of each class) for each arm, and the arm of the largest theta . v
    asks; v_c = 1 / max(1, labels of class c), so that rare classes are worth more. `arms`, after the published sets:
    margin, least confidence and BADGE ("uncertain"), and also rare_class and SIMILAR ("all"). An arm goes on past what
    another one has asked.

    Departures: the published bandit remembers all rounds, a tenth less with each, and hears a round's answers together.
    A view does not say which arm asked for an answer: this one begins anew at each stage (and at the second pass of the
    filter), and hears each answer at once; v alone knows what was labelled before. In a stage of a dozen answers it
    learns which arms buy junk. Junk is a kind of answer worth nothing; the published code has none, and a negative v
    for a class with more than half of the labels. Margin stands for GALAXY, which is not here, and rare_class for an
    arm for each class.

    Cost: that of the arms. Assumes that an even spread of classes teaches most, whoever is asked about. Arms that buy
    OoD or ambiguous samples earn nothing by them, and ask less often in what is left of the stage.
    """
    orders = [get(name).function(view) for name in ARMS[arms]]
    answers_AC = np.full((len(orders), view.n_classes + 1), PRIOR)
    asked_N = np.zeros(len(view.answers_N), bool)
    labels_C = np.bincount(view.live_N[view.live_N != NOT_ASKED], minlength=view.n_classes + 1)
    for _ in range(len(view.unasked)):
        worth_C = 1 / np.maximum(labels_C, 1)
        worth_C[view.n_classes] = 0
        theta_AC = np.array([view.rng.dirichlet(answers_C) for answers_C in answers_AC])
        arm = int((theta_AC @ worth_C).argmax())
        pick = next(position for position in orders[arm] if not asked_N[position])
        asked_N[pick] = True
        yield pick
        if (answer := view.live_N[pick]) != NOT_ASKED:
            answers_AC[arm, answer] += 1
            labels_C[answer] += 1
