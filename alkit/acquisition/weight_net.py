"""PAL (Yang et al. 2023): a network weighs what open-set heads are unsure of, and some junk is bought on purpose."""

from collections.abc import Iterator

import numpy as np
import torch
from scipy.special import expit
from torch import Tensor
from torch.nn.functional import softplus

from alkit.acquisition import _small_heads
from alkit.acquisition._open_set import id_labelled, non_id_labelled, one_thread
from alkit.acquisition.registry import strategy
from alkit.acquisition.view import View

MU, JUNK_SHARE, FIRST_SHARE = 0.6, 1 / 30, 1 / 5


HIDDEN, STEPS, NET_RATE, HEADS_RATE = 512, 50, 0.001, 0.05  # the heads' rate is over the number of features


LABELLED, UNLABELLED, CHUNK = 256, 512, 4096  # rows of a step, at most; rows scored at a time


@strategy("pal", citation="Yang, Zhang, Song and Xu 2023 (NeurIPS 36)", needs=("features",), family="open-set")
def pal(view: View) -> Iterator[int]:
    """Highest w + 0.6 S of what is predicted iD, with some of the lowest that is predicted junk (Yang et al. 2023).

    One head per class says P(yes); a network w in 0..1 of the heads' outputs weighs samples. In turn, a step of the
    heads lowers -log P(yes) for the label - log P(no) for the likeliest other class + the mean entropy of unlabelled
    samples, weighted by w; and a step of w lowers the first two terms as they are after that step. S = 2.5 (1 + p log
    p), p = max P(no). Each round of quota samples has 29 of 30 from those that a classifier of K + 1 classes predicts
    iD; the rest are lowest in w + 0.6 (1 - S) of those predicted junk. Before a non-iD label, four in five are lowest
    in w + 0.6 S and one is highest. With no labelled iD sample the order is random.

    Departures: linear heads on the learner's features, first trained on labels alone, then for 50 steps; w is judged
    by heads alone, as fixed features leave the classifier untouched, and its inputs are taken as given. The published
    code clears w's gradients before each step, so that its w stays as it was drawn. S is that code's: lowest at 1 / e.

    Cost: O(m K D) per step of training, O(n K (D + 512)) for scores. Assumes that the surest "no" says what a sample
    is. OoD samples like labelled ones are predicted junk; a few are asked for. Ambiguous samples have unsure heads, and
    come by what w makes of that.
    """
    positions, answered = view.rng.permutation(view.unlabelled), np.flatnonzero(view.answers_N >= 0)
    if not len(id_labelled(view)) or not len(positions):
        yield from view.only_candidates(positions).tolist()
        return
    knows_junk = len(non_id_labelled(view)) > 0
    rows_ND, n_outputs = _small_heads.inputs(view.features_ND), view.n_classes + knows_junk
    labelled_MD, labels_M, pool_UD = rows_ND[answered], view.answers_N[answered], rows_ND[positions]
    heads, net = weigh(open_heads(labelled_MD, labels_M, n_outputs), labelled_MD, labels_M, pool_UD, view.rng)
    out_UC, junk_U = heads.logits(pool_UD), np.zeros(len(positions), bool)
    if knows_junk:
        classifier = _small_heads.classifier(labelled_MD, labels_M, n_outputs)
        junk_U = classifier.logits(pool_UD).argmax(axis=1) == view.n_classes
    id_score_U = id_score(out_UC)
    score_U = net.weights(out_UC) + MU * np.where(junk_U, 1 - id_score_U, id_score_U)
    rising = np.argsort(score_U, kind="stable")
    rising = rising[np.isin(positions[rising], view.unasked)]
    if knows_junk:
        main, side = rising[~junk_U[rising]][::-1], rising[junk_U[rising]]
        share = round(view.quota * JUNK_SHARE)
    else:
        share = round(view.quota * FIRST_SHARE)
        n_high = len(rising) * share // view.quota
        main, side = rising[: len(rising) - n_high], rising[len(rising) - n_high :][::-1]
    yield from positions[_in_rounds(main, side, view.quota, share, view.rng)].tolist()


def open_heads(rows_MD: Tensor, labels_M: np.ndarray, n_classes: int) -> _small_heads.Linear:
    """One-against-the-rest heads of `n_classes` classes: P(yes) is the sigmoid of an output."""
    targets_M1 = torch.from_numpy(labels_M)[:, None]

    def loss(out_MC: Tensor) -> Tensor:
        own_M = softplus(-out_MC.gather(1, targets_M1))[:, 0]
        return (own_M + softplus(out_MC).scatter(1, targets_M1, 0.0).amax(1)).mean()

    return _small_heads.train(loss, rows_MD, n_classes)


def open_slope(out_BC: np.ndarray, labels_B: np.ndarray) -> np.ndarray:
    """Gradient (B, C) of the mean loss of `open_heads` in the outputs."""
    rows, slope_BC, others_BC = np.arange(len(out_BC)), np.zeros_like(out_BC), out_BC.copy()
    slope_BC[rows, labels_B] = -expit(-out_BC[rows, labels_B])
    if out_BC.shape[1] > 1:
        others_BC[rows, labels_B] = -np.inf
        likeliest_B = others_BC.argmax(axis=1)
        slope_BC[rows, likeliest_B] = expit(out_BC[rows, likeliest_B])
    return slope_BC / len(out_BC)


def entropy_slope(out_BC: np.ndarray) -> np.ndarray:
    """Gradient (B, C) in its outputs of each row's entropy of yes and no, in nats, the mean over its heads."""
    return -out_BC * expit(out_BC) * expit(-out_BC) / out_BC.shape[1]


def id_score(out_NC: np.ndarray) -> np.ndarray:
    """S (N,) of the published code: 2.5 (1 + p log p) of the largest P(no)."""
    largest_N = expit(-out_NC.min(axis=1))
    return 2.5 * (1 + largest_N * np.log(largest_N + 1e-8))


class WeightNet:
    """A network of one hidden layer, from the heads' outputs to a weight in 0..1, trained by Adam."""

    def __init__(self, n_inputs: int, rng: np.random.Generator):
        shapes = (n_inputs, HIDDEN), (HIDDEN,), (HIDDEN, 1), (1,)
        widths = n_inputs, n_inputs, HIDDEN, HIDDEN
        drawn = [rng.uniform(-1, 1, shape) / np.sqrt(width) for shape, width in zip(shapes, widths, strict=True)]
        self.parameters = [torch.from_numpy(part.astype(np.float32)).requires_grad_() for part in drawn]
        self.optimiser = torch.optim.Adam(self.parameters, lr=NET_RATE, fused=True)

    def __call__(self, out_BC: np.ndarray) -> Tensor:
        into_CH, bias_H, out_H1, bias_1 = self.parameters
        return torch.sigmoid((torch.from_numpy(out_BC).float() @ into_CH + bias_H).relu() @ out_H1 + bias_1)[:, 0]

    def step(self, weight_B: Tensor, gain_B: np.ndarray) -> None:
        """One step that raises the mean gain, by weights that the network gave."""
        self.optimiser.zero_grad()
        (-(weight_B * torch.from_numpy(gain_B).float()).sum() / weight_B.sum()).backward()
        self.optimiser.step()

    @one_thread()
    def weights(self, out_NC: np.ndarray) -> np.ndarray:
        """The weight (N,) of each row, float64."""
        with torch.no_grad():
            parts = [self(out_NC[start : start + CHUNK]) for start in range(0, len(out_NC), CHUNK)]
        return torch.cat(parts).double().numpy()


@one_thread()
def weigh(
    heads: _small_heads.Linear, labelled_MD: Tensor, labels_M: np.ndarray, pool_UD: Tensor, rng: np.random.Generator
) -> tuple[_small_heads.Linear, WeightNet]:
    """Heads and weight network after STEPS of training in turn, from these heads and a network drawn from `rng`.

    A sample's gain is how much its entropy, lowered a little, would lower the heads' loss on labels: the product of
    both gradients in the heads' parameters. It is all that the network learns from.
    """
    weight_CD, bias_C = heads.weight_CD.numpy().copy(), heads.bias_C.numpy().copy()
    net, rate = WeightNet(len(bias_C), rng), np.float32(HEADS_RATE / labelled_MD.shape[1])
    for _ in range(STEPS):
        some, others = rng.permutation(len(labels_M))[:LABELLED], rng.permutation(len(pool_UD))[:UNLABELLED]
        rows_BD, labels_B, others_AD = labelled_MD.numpy()[some], labels_M[some], pool_UD.numpy()[others]
        out_AC = others_AD @ weight_CD.T + bias_C
        weight_A, entropy_AC = net(out_AC), entropy_slope(out_AC)
        share_A = (weight_A / weight_A.sum()).detach().numpy()
        slope_BC, slope_AC = open_slope(rows_BD @ weight_CD.T + bias_C, labels_B), share_A[:, None] * entropy_AC
        weight_CD -= rate * (slope_BC.T @ rows_BD + slope_AC.T @ others_AD)
        bias_C -= rate * (slope_BC.sum(axis=0) + slope_AC.sum(axis=0))
        after_BC = open_slope(rows_BD @ weight_CD.T + bias_C, labels_B)
        net.step(weight_A, (entropy_AC * (others_AD @ (after_BC.T @ rows_BD).T + after_BC.sum(axis=0))).sum(axis=1))
    return _small_heads.Linear(torch.from_numpy(weight_CD), torch.from_numpy(bias_C)), net


def _in_rounds(main: np.ndarray, side: np.ndarray, quota: int, share: int, rng: np.random.Generator) -> np.ndarray:
    """Rounds of `quota` in random order, `share` of them from `side`; once one is used up, from the other alone."""
    order = [main[:0]]
    while len(main) or len(side):
        n_main = min(len(main), max(quota - share, quota - len(side)))
        n_side = min(len(side), quota - n_main)
        order.append(rng.permutation(np.concatenate([main[:n_main], side[:n_side]])))
        main, side = main[n_main:], side[n_side:]
    return np.concatenate(order)
