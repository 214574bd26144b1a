"""Several annotators who err: what each would say, who is asked, and what to make of answers that differ.

`answers_of` draws what each annotator says of each image, `Crowd` hands these answers out and counts them, and three
functions turn answers into a distribution over the true ones: `majority`, `dawid_skene` and `crowdlab`, which also asks
a classifier. `activelab` says whether to ask again about an image or about a new one. An answer is 0..K-1, K for "none
of the classes" or -1 where that annotator was not asked; C = K + 1.
"""

from typing import Annotated, Literal

import numpy as np
from scipy.optimize import minimize_scalar

from alkit import rng
from alkit.benchmarks import ID, NO_VOTE, Benchmark
from alkit.benchmarks.mixcifar60 import COLOUR_32, original_classes
from alkit.benchmarks.sources.catalogue import read_labelled
from alkit.benchmarks.sources.decode import human_labels
from alkit.options import Range, check_value
from alkit.paths import data_folder

Errors = Literal["symmetric", "votes", "human"]
LEAST = 1e-6  # of a weight, and of a share that is divided by
TIES = 1e-3  # of a classifier's word where as many annotators say one thing as another


def answers_of(benchmark: Benchmark, errors_J: np.ndarray, *, errors: Errors, seed: int) -> np.ndarray:
    """What each of J annotators says of each image of the pool, (N, J), whenever asked; j errs on a share `errors_J`.

    "symmetric": an error is any other answer. "votes": it is what the voters on ambiguous images mix up: an iD image
    gets a class that voters named beside its own (`confusion`), an ambiguous image one of its own votes, an OoD image
    any class. "human", for pools of CIFAR-100: what people mix up (`human_errors`). ValueError where a share lies
    outside 0..1, or a pool has nothing to err by.
    """
    check_value(errors, Errors, "errors")
    for share in np.asarray(errors_J, float).tolist():
        check_value(share, Annotated[float, Range(0, 1)], "errors_J")
    pool, k = benchmark.pool, benchmark.n_classes
    true_N = np.where(pool.category_N == ID, pool.labels_N, k)
    if errors == "symmetric":
        wrong_NC = ((1 - np.eye(k + 1)) / k)[true_N]
    elif errors == "votes":
        wrong_NC = np.vstack([np.pad(confusion(benchmark), ((0, 0), (0, 1))), np.append(np.full(k, 1 / k), 0)])[true_N]
    else:
        wrong_NC = human_errors(benchmark)
    stream = rng.numpy_stream(seed, f"annotators {errors}")
    said_NJ = np.repeat(true_N[:, None], len(errors_J), 1)
    for j, share in enumerate(errors_J):
        err_N = stream.random(len(true_N)) < share
        drawn_N = (stream.random((len(true_N), 1)) > wrong_NC.cumsum(1)).sum(1).clip(0, k)
        if errors == "votes":
            voter_N = stream.integers(0, benchmark.votes_NV.shape[1], len(true_N))
            vote_N = np.take_along_axis(benchmark.votes_NV, voter_N[:, None], 1)[:, 0]
            drawn_N = np.where((true_N == k) & (vote_N != NO_VOTE), vote_N, drawn_N)
        said_NJ[err_N, j] = drawn_N[err_N]
    return said_NJ


def confusion(benchmark: Benchmark) -> np.ndarray:
    """(K, K): of an annotator who errs on an image of class a, the share of each other class b; rows sum to 1.

    It is how often two voters on one ambiguous image named a and b. A class that was never named beside another one is
    mixed up with all alike. ValueError where nobody voted on the pool's images.
    """
    k, votes_NV = benchmark.n_classes, benchmark.votes_NV
    count_NK = (votes_NV[:, :, None] == np.arange(k)).sum(1)
    if not count_NK.any():
        raise ValueError(f'the images of {benchmark.name} carry no votes: take errors="symmetric"')
    pairs_KK = (count_NK.T @ count_NK) * (1 - np.eye(k))
    pairs_KK[pairs_KK.sum(1) == 0] = 1
    pairs_KK *= 1 - np.eye(k)
    return pairs_KK / pairs_KK.sum(1, keepdims=True)


def human_errors(benchmark: Benchmark) -> np.ndarray:
    """(N, C): of a person who errs on an image, the share of each answer then given; rows sum to 1.

    It is how often people took images of the same class of CIFAR-100 for each other class (CIFAR-100N, Wei et al. 2022,
    arXiv 2110.12088); classes that are not the pool's are the answer K. All images of a class have one row, as the
    labels go by the order of an archive that the data folder may not have. Images of other sources, which nobody
    labelled there, get any class. ValueError for a pool without images of CIFAR-100, StoreError without CIFAR-100N.
    """
    pool, k, folder = benchmark.pool, benchmark.n_classes, data_folder()
    if not (pool.source_N == "cifar100").any():
        raise ValueError(f'people labelled CIFAR-100, of which {benchmark.name} has no image: take errors="symmetric"')
    was_M, said_M = human_labels(folder)
    names_A = np.sort(read_labelled("cifar100_train", folder, COLOUR_32)["label_names"].astype(str))
    number = {name: c for c, name in enumerate(benchmark.class_names)}
    answer_A = np.array([number.get(name, k) for name in names_A])
    count_AC = np.full((len(names_A) + 1, k + 1), LEAST)  # the last row: other sources
    np.add.at(count_AC, (was_M, answer_A[said_M]), 1)
    class_N, _ = original_classes(benchmark)
    count_NC = count_AC[np.where(class_N == "", len(names_A), np.searchsorted(names_A, class_N))]
    np.put_along_axis(count_NC, np.where(pool.category_N == ID, pool.labels_N, k)[:, None], 0, 1)
    return count_NC / count_NC.sum(1, keepdims=True)


class Crowd:
    """Annotators whose answers are `said_NJ`; who answers next is drawn among those who have not seen the image."""

    def __init__(self, said_NJ: np.ndarray, *, seed: int):
        self.said_NJ, self.stream = said_NJ, rng.numpy_stream(seed, "who answers")
        self.answers_NJ = np.full(said_NJ.shape, -1)

    def ask(self, index: int) -> int:
        """One more answer for pool position `index`. ValueError where every annotator has given one."""
        free = np.flatnonzero(self.answers_NJ[index] < 0)
        if not len(free):
            raise ValueError(f"all {self.said_NJ.shape[1]} annotators have answered for position {index}")
        j = self.stream.choice(free)
        self.answers_NJ[index, j] = self.said_NJ[index, j]
        return int(self.said_NJ[index, j])

    @property
    def cost(self) -> int:
        """Answers given so far."""
        return int((self.answers_NJ >= 0).sum())


def counts(answers_NJ: np.ndarray, n_answers: int) -> np.ndarray:
    """How many annotators gave each answer, (N, C)."""
    return (answers_NJ[:, :, None] == np.arange(n_answers)).sum(1)


def majority(answers_NJ: np.ndarray, n_answers: int) -> np.ndarray:
    """The share of an image's answers that each answer has, (N, C); rows without answers are 0."""
    count_NC = counts(answers_NJ, n_answers)
    return count_NC / np.maximum(count_NC.sum(1, keepdims=True), 1)


def consensus(share_NC: np.ndarray) -> np.ndarray:
    """The answer of the largest share (N,), -1 where all are 0; of equal ones, the one that is larger in the mean."""
    tied_NC = share_NC >= share_NC.max(1, keepdims=True) - 1e-9
    label_N = np.where(tied_NC, share_NC.mean(0), -1).argmax(1)
    return np.where(share_NC.sum(1) > 0, label_N, -1)


def dawid_skene(
    answers_NJ: np.ndarray, n_answers: int, *, smoothing: float = 1.0, iterations: int = 50, tolerance: float = 1e-6
) -> tuple[np.ndarray, np.ndarray]:
    """(share_NC, confusion_JCC) by EM (Dawid and Skene 1979): P(true answer | answers), and what each annotator says
    of each true answer; rows of images without answers are 0.

    It begins with majority shares and ends after `iterations`, or when no share moves by more than `tolerance`.
    `smoothing`: that many answers more in each row of a confusion, by the annotators' common confusion, which has as
    many right ones: an annotator with few answers is taken for an average one. 0 is the published algorithm.
    """
    known_N = (answers_NJ >= 0).any(1)
    said_NJC = (answers_NJ[known_N][:, :, None] == np.arange(n_answers)).astype(float)
    share_NC = majority(answers_NJ[known_N], n_answers)
    for _ in range(iterations):
        count_JCC = np.einsum("nc,njd->jcd", share_NC, said_NJC)
        common_CC = count_JCC.sum(0) + smoothing * np.eye(n_answers)
        common_CC /= np.maximum(common_CC.sum(1, keepdims=True), LEAST)
        count_JCC = count_JCC + smoothing * common_CC
        confusion_JCC = count_JCC / np.maximum(count_JCC.sum(2, keepdims=True), LEAST)
        logit_NC = np.einsum("njd,jcd->nc", said_NJC, np.log(np.maximum(confusion_JCC, 1e-300)))
        logit_NC += np.log(np.maximum(share_NC.mean(0), 1e-300))
        new_NC = np.exp(logit_NC - logit_NC.max(1, keepdims=True))
        new_NC /= new_NC.sum(1, keepdims=True)
        moved = np.abs(new_NC - share_NC).max()
        share_NC = new_NC
        if moved <= tolerance:
            break
    every_NC = np.zeros((len(answers_NJ), n_answers))
    every_NC[known_N] = share_NC
    return every_NC, confusion_JCC


def crowdlab(answers_NJ: np.ndarray, probs_NC: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
    """(share_NC, model, trust_J): P(true answer) by answers and a classifier, and the weight of either (Goh, Tkachenko
    and Mueller 2022, arXiv 2210.06812).

    `probs_NC`: of a classifier that has not learned the answers of the image (out of fold). Each weight is 1 - error /
    error of the most frequent answer: of an annotator by agreement with others, of the classifier by agreement with the
    consensus, times the root of the mean number of answers. The consensus is the majority's first, then the one found
    with these weights. All weights are 1 while no image has two answers.
    """
    count_N, n_answers = (answers_NJ >= 0).sum(1), probs_NC.shape[1]
    label_N = consensus(majority(answers_NJ, n_answers) + TIES * probs_NC)
    if (count_N > 1).any():
        label_N = _weighted(answers_NJ, probs_NC, label_N)[0].argmax(1)
    return _weighted(answers_NJ, probs_NC, label_N)


def _weighted(answers_NJ: np.ndarray, probs_NC: np.ndarray, label_N: np.ndarray):
    """What `crowdlab` returns, with weights and the annotators' mean agreement taken from the consensus `label_N`."""
    n_answers, count_N = probs_NC.shape[1], (answers_NJ >= 0).sum(1)
    twice_N, share_NC = count_N > 1, majority(answers_NJ, n_answers)
    model, trust_J, agreed = 1.0, np.ones(answers_NJ.shape[1]), 1.0
    if twice_N.any():
        label_M = label_N[twice_N]
        agreed = np.take_along_axis(share_NC[twice_N], label_M[:, None], 1).mean()
        frequent = max(np.mean(label_M != np.bincount(label_M).argmax()), LEAST)
        trust_J = np.maximum(1 - _disagreement(answers_NJ[twice_N], n_answers) / frequent, LEAST)
        model_error = np.mean(probs_NC[twice_N].argmax(1) != label_M)
        model = max(1 - model_error / frequent, LEAST) * np.sqrt(count_N[count_N > 0].mean())
    said_NJC, given_NJ1 = answers_NJ[:, :, None] == np.arange(n_answers), (answers_NJ >= 0)[:, :, None]
    likely_NJC = np.where(said_NJC, agreed, (1 - agreed) / (n_answers - 1)) * given_NJ1
    total_NC = model * probs_NC + np.einsum("j,njc->nc", trust_J, likely_NJC)
    return total_NC / total_NC.sum(1, keepdims=True), float(model), trust_J


def _disagreement(answers_MJ: np.ndarray, n_answers: int) -> np.ndarray:
    """Of each annotator, the share of other annotators' answers to the same images that differ; the mean for one who
    shares no image."""
    count_MC = counts(answers_MJ, n_answers)
    given_MJ = answers_MJ >= 0
    same_MJ = np.where(given_MJ, np.take_along_axis(count_MC, np.maximum(answers_MJ, 0), 1) - 1, 0)
    others_MJ = given_MJ * (given_MJ.sum(1, keepdims=True) - 1)
    n_others_J = others_MJ.sum(0)
    error_J = 1 - same_MJ.sum(0) / np.maximum(n_others_J, 1)
    error_J[n_others_J == 0] = error_J[n_others_J > 0].mean()
    return error_J


def activelab(answers_NJ: np.ndarray, probs_NC: np.ndarray) -> np.ndarray:
    """How little one more answer would change, (N,): the lowest is asked next, answered images and new ones alike (Goh
    and Mueller 2023, arXiv 2301.11856).

    It is the share of the likeliest answer by `crowdlab`, after one more answer that says nothing (1 / C of each), by
    an annotator of mean trust. `probs_NC`: as for `crowdlab`; they are flattened or sharpened first, by the one
    temperature at which they fit the answers best, once an image has two answers.
    """
    given_NJ, n_answers = answers_NJ >= 0, probs_NC.shape[1]
    if (given_NJ.sum(1) > 1).any():
        probs_NC = tempered(probs_NC, temperature(answers_NJ, probs_NC))
        share_NC, model, trust_J = crowdlab(answers_NJ, probs_NC)
        label_N = share_NC.argmax(1)
    else:  # nothing is known of the annotators: an answer is as good as the classifier finds it
        share_NC, model, trust_J = probs_NC, 1.0, np.ones(answers_NJ.shape[1])
        label_N = consensus(majority(answers_NJ, n_answers) + TIES * probs_NC)
    quality_N = np.take_along_axis(share_NC, label_N[:, None], 1)[:, 0]
    weight_N, one_more = model + given_NJ @ trust_J, trust_J.mean()
    return (weight_N * quality_N + one_more / n_answers) / (weight_N + one_more)


def tempered(probs_NC: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities to the power of 1 / `temperature`, made to sum to 1."""
    logit_NC = np.log(np.maximum(probs_NC, 1e-8)) / temperature
    power_NC = np.exp(logit_NC - logit_NC.max(1, keepdims=True))
    return power_NC / power_NC.sum(1, keepdims=True)


def temperature(answers_NJ: np.ndarray, probs_NC: np.ndarray) -> float:
    """The temperature, 0.1 to 8, at which the probabilities have least cross-entropy to the shares of the answers."""
    asked_N = (answers_NJ >= 0).any(1)
    share_MC, probs_MC = majority(answers_NJ[asked_N], probs_NC.shape[1]), probs_NC[asked_N]

    def loss(log_temperature: float) -> float:
        power_MC = tempered(probs_MC, np.exp(log_temperature))
        return -(share_MC * np.log(np.maximum(power_MC, 1e-8))).sum(1).mean()

    return float(np.exp(minimize_scalar(loss, bounds=np.log([0.1, 8.0]), method="bounded").x))
