"""SIMILAR (Kothawade et al. 2021): like the labelled iD samples, unlike the labelled non-iD ones, unlike each other."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from sklearn.preprocessing import normalize

from alkit.acquisition._open_set import id_labelled, non_id_labelled, one_thread
from alkit.acquisition.registry import strategy
from alkit.acquisition.view import View

BLOCK, LABELLED = 5000, 500


REDRAW = 4  # a new block once a quarter of it is taken


SMALLEST = 1e-12


@dataclass(frozen=True)
class Embedding:
    """Products of two rows, `left_ND` (x) `right_NE`, kept as factors; what is compared are their directions."""

    left_ND: np.ndarray
    right_NE: np.ndarray

    def __len__(self):
        return len(self.left_ND)

    def __getitem__(self, rows) -> "Embedding":
        return Embedding(self.left_ND[rows], self.right_NE[rows])


@one_thread()
def similarity(one: Embedding, other: Embedding) -> np.ndarray:
    """(1 + cosine) / 2 of each row of `one` with each of `other`; factors must have rows of length 1 (or 0)."""
    return (1 + (one.left_ND @ other.left_ND.T) * (one.right_NE @ other.right_NE.T)) / 2


@strategy(
    "similar", citation="Kothawade et al. 2021 (NeurIPS), arXiv 2107.00717", needs=("probs", "head"), family="open-set"
)
def similar(view: View, *, objective: Literal["flcmi", "logdetcmi"] = "flcmi") -> Iterator[int]:
    """Greedy maximisation of information shared with the labelled iD samples Q, given the non-iD ones P (SIMILAR).

    Kothawade et al. 2021. S is (1 + cosine) / 2 of gradients of the classifier's last layer under its own predicted
    label, (p - e_y) (x) (z, 1) with all K + 1 outputs. `objective`, a submodular conditional mutual information of a
    set A: "flcmi", sum_i max(min(max_{j in A} S_ij, max_{q in Q} S_iq) - max_{p in P} S_ip, 0); or "logdetcmi", log
    det(S_A - S_AP S_P^-1 S_PA) - log det(S_A - S_AQP S_QP^-1 S_QPA), with 1 added to the diagonal. Where flcmi is 0 for
    every A because of P, it is maximised without P. With no labelled iD sample the order is random.

    The ground set are the candidates. Both objectives need every pair of them, so that greedy runs on 5,000 drawn at
    random, with at most 500 of Q and of P each, also at random; once a quarter of them is taken, the next block is
    drawn from all that is left. The published code works on partitions of the pool, too.

    Cost: O(B^2 (C + D)) once per block of B for flcmi, and O(B) for each gain that lazy greedy looks at; for logdetcmi
    O(B (C + D + |Q| + |P| + t)) for the t-th sample. Assumes that gradients of iD samples are alike and unlike those of
    non-iD ones. OoD samples like a labelled one gain nothing. The gradient of an ambiguous sample points to two classes
    and has few of its like in Q: what is plainly like Q comes before it.
    """
    left, labelled = view.shuffled(), id_labelled(view)
    if not len(labelled):
        yield from left.tolist()
        return
    embedding = gradients(view)
    query, private = (view.rng.permutation(rows)[:LABELLED] for rows in (labelled, non_id_labelled(view)))
    while len(left):
        block = left[:BLOCK]
        greedy = {"flcmi": flcmi, "logdetcmi": logdetcmi}[objective](
            embedding[block], embedding[query], embedding[private]
        )
        # a block that is all there is left is used up; of another the best are taken
        wanted = len(block) if len(block) == len(left) else len(block) // REDRAW
        taken = np.zeros(len(left), bool)
        for _, place in zip(range(wanted), greedy):
            taken[place] = True
            yield int(left[place])
        left = view.rng.permutation(left[~taken])


def gradients(view: View) -> Embedding:
    """Gradient embeddings of the last layer's weights and biases under the predicted label, of every pool row."""
    residual_NC = view.probs_NC.copy()
    residual_NC[np.arange(len(residual_NC)), residual_NC.argmax(axis=1)] -= 1
    ones_N1 = np.ones((len(residual_NC), 1), view.head.features_ND.dtype)
    return Embedding(normalize(residual_NC), normalize(np.concatenate([view.head.features_ND, ones_N1], axis=1)))


def flcmi(pool: Embedding, query: Embedding, private: Embedding, *, chunk: int = 1000) -> Iterator[int]:
    """Rows of `pool` in greedy order of FLCMI.

    Each term grows with max_j S_ij alone, so that FLCMI is facility location on max(min(S_ij, q_i) - p_i, 0), which is
    monotone and submodular: a gain never grows, and an old one that is still the largest once renewed is the best.
    """
    query_N = similarity(pool, query).max(axis=1)
    private_N = similarity(pool, private).max(axis=1) if len(private) else np.zeros_like(query_N)
    if (private_N >= query_N).all():
        private_N = np.zeros_like(query_N)
    value_NN = np.empty((len(pool), len(pool)), query_N.dtype)  # a row per candidate j, a column per covered i
    for start in range(0, len(pool), chunk):
        part = slice(start, start + chunk)
        value_NN[part] = np.maximum(np.minimum(similarity(pool[part], pool), query_N) - private_N, 0)
    gain_N, covered_N = value_NN.sum(axis=1, dtype=np.float64), np.zeros_like(query_N)
    for _ in range(len(pool)):
        while True:
            j = int(gain_N.argmax())
            gain_N[j] = np.maximum(value_NN[j] - covered_N, 0).sum(dtype=np.float64)
            if gain_N[j] >= gain_N.max():
                break
        np.maximum(covered_N, value_NN[j], out=covered_N)
        gain_N[j] = -np.inf
        yield j


def logdetcmi(pool: Embedding, query: Embedding, private: Embedding) -> Iterator[int]:
    """Rows of `pool` in greedy order of LogDetCMI, by one growing Cholesky factor for each of its two determinants."""
    both = Embedding(*(np.concatenate(pair) for pair in zip(vars(query).values(), vars(private).values())))
    terms = [_Determinant(pool, private), _Determinant(pool, both)]
    taken_N = np.zeros(len(pool), bool)
    for _ in range(len(pool)):
        gain_N = np.log(terms[0].variance_N) - np.log(terms[1].variance_N)
        gain_N[taken_N] = -np.inf
        j = int(gain_N.argmax())
        taken_N[j] = True
        row_N = similarity(pool[j : j + 1], pool)[0].astype(np.float64)
        row_N[j] += 1
        for term in terms:
            term.take(j, row_N)
        yield j


class _Determinant:
    """log det of S_A - S_AC S_C^-1 S_CA for a growing A: what each row would add is the log of its `variance_N`."""

    def __init__(self, pool: Embedding, condition: Embedding):
        self.rows_TN = np.empty((0, len(pool)))
        if len(condition):
            factor_CC = cholesky(
                similarity(condition, condition).astype(np.float64) + np.eye(len(condition)), lower=True
            )
            self.rows_TN = solve_triangular(factor_CC, similarity(condition, pool).astype(np.float64), lower=True)
        self.n_rows = len(self.rows_TN)
        own_N = np.einsum("nd,nd->n", pool.left_ND, pool.left_ND) * np.einsum("nd,nd->n", pool.right_NE, pool.right_NE)
        squares_N = np.einsum("tn,tn->n", self.rows_TN, self.rows_TN)
        self.variance_N = np.maximum((1 + own_N.astype(np.float64)) / 2 + 1 - squares_N, SMALLEST)

    @one_thread()
    def take(self, j: int, row_N: np.ndarray) -> None:
        """Add row j to A, given its similarities with all rows, 1 added at its own place."""
        if self.n_rows == len(self.rows_TN):  # room for as many again, so that growing costs O(1) per row
            room = np.empty((max(64, self.n_rows), len(row_N)))
            self.rows_TN = np.concatenate([self.rows_TN, room])
        done_TN = self.rows_TN[: self.n_rows]
        new_N = (row_N - done_TN[:, j] @ done_TN) / np.sqrt(self.variance_N[j])
        self.rows_TN[self.n_rows] = new_N
        self.n_rows += 1
        self.variance_N = np.maximum(self.variance_N - new_N**2, SMALLEST)
