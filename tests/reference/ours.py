"""Our strategies in plain code: gated_margin by loops, and cautious_coverage as it was frozen, before it had ablations.

The regression of gated_margin is the module's, and has tests of its own. So are the neighbours and edges of
cautious_coverage; its calibration is scipy's minimiser's.
"""

import numpy as np
import scipy.sparse as sp
from scipy.optimize import minimize
from scipy.special import expit, logit

from alkit.acquisition._neighbourhood import graph, nearest_neighbours
from alkit.acquisition.gated import log_outputs

NOT_ASKED = -1
LEAST_DOUBT, NODES_PER_ANSWER, REFRESHES = 0.05, 5, 20
SPREAD_NEIGHBOURS, STEPS, RESTART = 10, 20, 0.1
FOLDS, FEWEST = 4, 20
SMALLEST = 0.01


def frozen(view, *, doubt=3.0, caution=1.0, neighbours=50, candidates=4000):
    nodes = _nodes(view, max(candidates, NODES_PER_ANSWER * view.quota))
    if not len(nodes):
        return
    similarity_Nk, index_Nk = nearest_neighbours(view.features_ND[nodes], neighbours)
    edges_NN = graph(similarity_Nk, index_Nk)
    edges_NN.setdiag(1)
    purity = Purity(similarity_Nk, index_Nk, view.rng)
    answers_N, doubt_N = view.answers_N[nodes].copy(), _doubt(view, nodes) ** doubt
    is_id_N, is_other_N = (answers_N >= 0) & (answers_N < view.n_classes), answers_N == view.n_classes
    purity.calibrate(is_id_N, is_other_N)
    free_N, covered_N = answers_N == NOT_ASKED, np.zeros(len(nodes))
    for node in np.flatnonzero(is_id_N):
        _cover(edges_NN, node, covered_N)
    for count in range(int(free_N.sum())):
        if count % max(1, view.quota // REFRESHES) == 0:
            purity_N = purity(is_id_N, is_other_N)
            worth_N = purity_N * doubt_N
            gain_N = _gain(edges_NN, worth_N * free_N, covered_N)
        node = int(np.where(free_N, (gain_N + 1e-12) * purity_N**caution, -1).argmax())
        yield int(nodes[node])
        free_N[node], answer = False, view.live_N[nodes[node]]
        if answer == view.n_classes:
            is_other_N[node] = True
            continue
        is_id_N[node] = answer != NOT_ASKED
        _cover(edges_NN, node, covered_N)
        around = _around(edges_NN, node)
        gain_N[around] = _gain(edges_NN[around], worth_N * free_N, covered_N)
    yield from view.rng.permutation(np.setdiff1d(view.unasked, nodes)).tolist()


def _nodes(view, most):
    unasked, answered = view.unasked, np.flatnonzero(view.answers_N != NOT_ASKED)
    if not len(unasked):
        return unasked
    return np.concatenate([view.rng.permutation(part)[:most] for part in (unasked, answered)])


def _doubt(view, nodes):
    id_NK = view.probs_NC[nodes, :-1].astype(np.float64)
    if view.n_classes == 1 or not (view.answers_N != NOT_ASKED).any():
        return np.ones(len(nodes))
    total_N = id_NK.sum(axis=1)
    top_N2 = np.partition(id_NK, -2, axis=1)[:, -2:] / np.where(total_N > 0, total_N, 1)[:, None]
    return np.clip(1 - (top_N2[:, 1] - top_N2[:, 0]), LEAST_DOUBT, 1)


def _row(edges_NN, node):
    return slice(edges_NN.indptr[node], edges_NN.indptr[node + 1])


def _cover(edges_NN, node, covered_N):
    row = _row(edges_NN, node)
    reached = edges_NN.indices[row]
    covered_N[reached] = np.maximum(covered_N[reached], edges_NN.data[row])


def _around(edges_NN, node):
    return np.unique(edges_NN[edges_NN.indices[_row(edges_NN, node)]].indices)


def _gain(edges_MN, worth_N, covered_N):
    new_E = np.maximum(edges_MN.data - covered_N[edges_MN.indices], 0) * worth_N[edges_MN.indices]
    rows_E = np.repeat(np.arange(edges_MN.shape[0]), np.diff(edges_MN.indptr))
    return np.bincount(rows_E, new_E, minlength=edges_MN.shape[0])


class Purity:
    def __init__(self, similarity_Nk, index_Nk, rng):
        near = slice(0, SPREAD_NEIGHBOURS)
        edges_NN = graph(similarity_Nk[:, near], index_Nk[:, near])
        degree_N = np.asarray(edges_NN.sum(axis=1)).ravel()
        scale_NN = sp.diags(1 / np.sqrt(np.where(degree_N > 0, degree_N, 1)))
        self.walk_NN = (scale_NN @ edges_NN @ scale_NN).tocsr()
        density_N = similarity_Nk[:, near].mean(axis=1) if similarity_Nk.shape[1] else np.zeros(len(similarity_Nk))
        self.density_N = (density_N - density_N.mean()) / max(density_N.std(), 1e-6)
        self.weights, self.rng = np.array([1.0, 1.0, 0.0]), rng

    def evidence(self, is_id_N, is_other_N):
        answers_N2 = np.stack([is_id_N, is_other_N], axis=1).astype(np.float64)
        mass_N2 = answers_N2
        for _ in range(STEPS):
            mass_N2 = (1 - RESTART) * (self.walk_NN @ mass_N2) + RESTART * answers_N2
        overall = (is_id_N.sum() + 1) / (is_id_N.sum() + is_other_N.sum() + 2)
        total_N = mass_N2.sum(axis=1)
        prior = max(0.1 * np.median(total_N), 1e-4)
        return logit(np.clip((mass_N2[:, 0] + prior * overall) / (total_N + prior), SMALLEST, 1 - SMALLEST))

    def __call__(self, is_id_N, is_other_N):
        return expit(self._inputs(self.evidence(is_id_N, is_other_N)) @ self.weights)

    def calibrate(self, is_id_N, is_other_N):
        answered = np.flatnonzero(is_id_N | is_other_N)
        if len(answered) < FEWEST:
            return
        fold_N = np.full(len(is_id_N), -1)
        fold_N[answered] = self.rng.permutation(len(answered)) % FOLDS
        evidence_N = np.zeros(len(is_id_N))
        for fold in range(FOLDS):
            others = fold_N != fold
            evidence_N[~others] = self.evidence(is_id_N & others, is_other_N & others)[~others]
        self.weights = most_probable(self._inputs(evidence_N)[answered], is_id_N[answered], self.weights)

    def _inputs(self, evidence_N):
        return np.stack([evidence_N, self.density_N, np.ones_like(evidence_N)], axis=1)


def most_probable(inputs_MD, target_M, prior_D):
    """The weights of a logistic regression under a Gaussian of unit width at `prior_D`."""
    sign_M = np.where(target_M, 1, -1)

    def loss(weights_D):
        wrong_M = -sign_M * (inputs_MD @ weights_D)
        slope_D = -inputs_MD.T @ (sign_M * expit(wrong_M)) + weights_D - prior_D
        return np.logaddexp(0, wrong_M).sum() + np.sum((weights_D - prior_D) ** 2) / 2, slope_D

    found = minimize(loss, prior_D, jac=True, method="L-BFGS-B", options={"gtol": 1e-9, "ftol": 0, "maxiter": 1000})
    return found.x


def gated(view, labels, *, caution=2.0, kinds=80, junk_price=2.0, shares=True):
    """gated_margin's order with each answer known once asked: no queues, everything counted anew for each question."""
    known, n_classes = view.answers_N.copy(), view.n_classes
    random = view.shuffled().tolist()
    while random and ((known >= 0).sum() < 5 * n_classes or not ((known >= 0) & (known < n_classes)).any()):
        pick = random.pop(0)
        known[pick] = labels[pick]
        yield pick
    while (known < 0).any():
        fitted, own = (known >= 0).sum(), {}
        probs = np.exp(log_outputs(view, known, kinds))
        purity = probs[:, :n_classes].sum(axis=1)
        for i in range(len(known)):
            second, first = np.sort(probs[i, :n_classes] / purity[i])[-2:]
            own[i] = np.log(max(1 - (first - second), 0.02)) + caution * np.log(purity[i])
        predicted = probs[:, :n_classes].argmax(axis=1) * shares
        had = {k: float((known == k).sum()) for k in range(n_classes)}
        for i in np.flatnonzero(known == n_classes):
            had[int(predicted[i])] += junk_price
        positions = view.rng.permutation(np.flatnonzero(known < 0)).tolist()
        place = {k: p for p, k in enumerate(view.rng.permutation(n_classes).tolist())}
        while positions:
            waiting = {int(predicted[i]) for i in positions}
            turn = min(waiting, key=lambda k: (had[k], place[k]))
            pick = max((i for i in positions if predicted[i] == turn), key=own.get)
            positions.remove(pick)
            known[pick] = labels[pick]
            had[turn] += junk_price if labels[pick] == n_classes else 1
            yield pick
            if (known >= 0).sum() >= 1.5 * fitted:
                break
