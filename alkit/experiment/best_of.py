"""The reference line BoSS: of the batches that strategies propose, the one whose hidden labels teach most.

No strategy can do this: it needs the answers before it asks. So it is not in the strategy but here, beside the oracle,
and the line is never ranked.
"""

from itertools import islice

import numpy as np
from sklearn.preprocessing import normalize

from alkit.acquisition import View
from alkit.acquisition.references import proposals
from alkit.benchmarks import ID, Pool
from alkit.learners.regression import Regression
from alkit.recipes import Recipe

NAME = "boss"


def best_batch(view: View, wanted: int, pool: Pool, recipe: Recipe) -> list[int]:
    """The proposed batch of `wanted` iD positions, or of all that are left, after which the classifier is best.

    The classifier's last layer, a logistic regression of K classes on its features of unit length, is fitted to all
    labelled iD samples and the batch; it is judged on the iD samples of the pool that are then still unlabelled, or on
    all of them where none is. The first of equally good batches.
    """
    is_id_N, unit_ND = pool.category_N == ID, normalize(view.head.features_ND)
    labels_N = np.where(view.answers_N >= 0, view.answers_N, pool.labels_N)
    known = np.flatnonzero((view.answers_N >= 0) & (view.answers_N < view.n_classes))
    found: tuple[float, list[int]] = (-1.0, [])
    for proposal in proposals(view):
        batch = list(islice((position for position in proposal if is_id_N[position]), wanted))
        rows = np.concatenate([known, np.array(batch, np.int64)])
        judged_N = is_id_N & (view.answers_N < 0)
        judged_N[batch] = False
        if not judged_N.any():
            judged_N = is_id_N
        fitted = Regression.fit(
            unit_ND[rows], labels_N[rows], view.n_classes, c=recipe.probe_c, n_threads=recipe.cpu_threads
        )
        right = fitted.probs(unit_ND[judged_N]).argmax(axis=1) == pool.labels_N[judged_N]
        if right.mean() > found[0]:
            found = float(right.mean()), batch
    return found[1]
