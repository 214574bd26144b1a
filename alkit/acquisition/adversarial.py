"""TA-VAAL (Kim et al. 2021): an adversary tells labelled from unlabelled samples, and knows how hard they look."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy
from torch.nn.functional import mse_loss

from alkit.acquisition import _small_heads
from alkit.acquisition._open_set import id_labelled, one_thread
from alkit.acquisition.registry import strategy
from alkit.acquisition.view import View

LATENT, HIDDEN = 32, 128  # widths; the published latent is as wide


STEPS, BATCH, RATE = 100, 64, 1e-3  # of Adam


PAIRINGS, SMALLEST, CHUNK = 8, 1e-12, 4096  # of the ranker; a probability; rows scored at a time


@strategy(
    "ta_vaal",
    citation="Kim, Park, Kim and Chun 2021 (CVPR), arXiv 2002.04709",
    needs=("features", "probs"),
    family="classic",
)
def ta_vaal(view: View) -> Iterator[int]:
    """Samples first that a discriminator finds least like labelled ones (Kim et al. 2021).

    A ranker r learns which of two labelled samples has the larger loss -log p_y under the classifier. A variational
    autoencoder, whose decoder sees sigmoid(r) too, learns to rebuild labelled and unlabelled samples and to pass for
    labelled at a discriminator, which sees its latent mean and r and learns to tell the two. The lowest probability of
    being labelled comes first. With no labelled iD sample the order is random.

    What is trained: on the learner's features, where the paper has convolutions on images. The ranker is a linear head
    on 8 random pairings of the labels (see `_small_heads`; the paper trains it with the classifier). Encoder and
    decoder have one hidden layer of 128, the discriminator two; they take 100 steps each, in turn, on 64 labelled and
    64 unlabelled samples (Adam, 1e-3; the paper: 100 epochs, 5e-4, batch norm). Ties of losses are left out.

    Cost: O(100 x 64 (D + 128) 128) for training, half a second of a thread, and O(n (D + 128) 128) for scores. Assumes
    that labels should be spread as the pool is. OoD samples come first until some like them are labelled, and ambiguous
    ones with them, the more so where labels like theirs had large losses.
    """
    positions, answered = view.shuffled(), np.flatnonzero(view.answers_N >= 0)
    if not len(id_labelled(view)):
        yield from positions.tolist()
        return
    if not len(positions):
        return
    rows_ND, labels_M = _small_heads.inputs(view.features_ND), view.answers_N[answered]
    loss_M = -np.log(np.maximum(view.probs_NC[answered, labels_M], SMALLEST))
    rank_N = torch.from_numpy(ranker(rows_ND[answered], loss_M, view.rng).logits(rows_ND)[:, 0]).float()
    nets = trained(rows_ND, rank_N, answered, view.unlabelled, view.rng)
    score_U = nets.labelled_logits(rows_ND[positions], rank_N[positions])
    yield from positions[np.argsort(score_U, kind="stable")].tolist()


def ranker(rows_MD: Tensor, loss_M: np.ndarray, rng: np.random.Generator) -> _small_heads.Linear:
    """One output, higher for the row of larger loss in pairs of rows; pairs of equal loss are left out."""
    first, second = [], []
    for shift in range(1, 1 + min(PAIRINGS, len(loss_M) - 1)):
        order = rng.permutation(len(loss_M))
        first.append(order)
        second.append(np.roll(order, shift))
    one, other = (np.concatenate([*part, np.empty(0, np.int64)]).astype(np.int64) for part in (first, second))
    unequal = loss_M[one] != loss_M[other]
    one, other = one[unequal], other[unequal]
    larger = torch.from_numpy((loss_M[one] > loss_M[other]).astype(np.float64))

    def loss(out_M1: Tensor) -> Tensor:
        return cross_entropy(out_M1[one, 0] - out_M1[other, 0], larger) if len(one) else 0 * out_M1.sum()

    return _small_heads.train(loss, rows_MD, 1)


class Nets:
    """Encoder, decoder and discriminator, drawn from `rng`; each layer a pair of weight (inputs, outputs) and bias."""

    def __init__(self, width: int, rng: np.random.Generator):
        def layers(*widths: int) -> list[Tensor]:
            made = []
            for inputs, outputs in zip(widths, widths[1:]):
                made += [rng.normal(size=(inputs, outputs)) * np.sqrt(2 / inputs), np.zeros(outputs)]
            return [torch.from_numpy(part.astype(np.float32)).requires_grad_() for part in made]

        self.encoder, self.decoder = layers(width, HIDDEN, 2 * LATENT), layers(LATENT + 1, HIDDEN, width)
        self.discriminator = layers(LATENT + 1, HIDDEN, HIDDEN, 1)

    def encoded(self, rows_BD: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance (B, LATENT)."""
        mean_BL, spread_BL = _through(self.encoder, rows_BD).split(LATENT, 1)
        return mean_BL, spread_BL

    def rebuilt(self, rows_BD: Tensor, rank_B: Tensor, noise_BL: Tensor) -> tuple[Tensor, Tensor]:
        """Loss of rebuilding the rows, with the divergence of the latent from a normal one, and the latent mean."""
        mean_BL, spread_BL = self.encoded(rows_BD)
        latent_BL = mean_BL + noise_BL * (spread_BL / 2).exp()
        out_BD = _through(self.decoder, torch.cat([latent_BL, rank_B.sigmoid()[:, None]], 1))
        divergence = -0.5 * (1 + spread_BL - mean_BL.square() - spread_BL.exp()).mean()
        return mse_loss(out_BD, rows_BD) + divergence, mean_BL

    def judged(self, mean_BL: Tensor, rank_B: Tensor) -> Tensor:
        """Logit (B,) of being labelled."""
        return _through(self.discriminator, torch.cat([mean_BL, rank_B[:, None]], 1))[:, 0]

    @one_thread()
    def labelled_logits(self, rows_ND: Tensor, rank_N: Tensor) -> np.ndarray:
        """Logit (N,) of being labelled, float64, outside of any gradient."""
        with torch.no_grad():
            parts = zip(rows_ND.split(CHUNK), rank_N.split(CHUNK), strict=True)
            return torch.cat([self.judged(self.encoded(rows)[0], rank) for rows, rank in parts]).double().numpy()


def _through(layers: list[Tensor], rows_BD: Tensor) -> Tensor:
    """What a network of these layers makes of the rows; ReLU between layers."""
    for number in range(0, len(layers), 2):
        rows_BD = (rows_BD.relu() if number else rows_BD) @ layers[number] + layers[number + 1]
    return rows_BD


@one_thread()
def trained(
    rows_ND: Tensor, rank_N: Tensor, labelled: np.ndarray, unlabelled: np.ndarray, rng: np.random.Generator
) -> Nets:
    """The networks after STEPS of training in turn: autoencoder, then discriminator, on the same samples."""
    nets = Nets(rows_ND.shape[1], rng)
    coder = torch.optim.Adam([*nets.encoder, *nets.decoder], lr=RATE, fused=True)
    adversary = torch.optim.Adam(nets.discriminator, lr=RATE, fused=True)
    truth_B = torch.cat([torch.ones(BATCH), torch.zeros(BATCH)])
    for _ in range(STEPS):
        chosen = np.concatenate([rng.choice(part, BATCH) for part in (labelled, unlabelled)])
        rows_BD, rank_B = rows_ND[chosen], rank_N[chosen]
        noise_BL = torch.from_numpy(rng.standard_normal((len(chosen), LATENT), dtype=np.float32))
        loss, mean_BL = nets.rebuilt(rows_BD, rank_B, noise_BL)
        judged_B = nets.judged(mean_BL, rank_B)
        coder.zero_grad()
        (2 * loss + 2 * cross_entropy(judged_B, torch.ones_like(truth_B))).backward()
        coder.step()
        with torch.no_grad():
            mean_BL, _ = nets.encoded(rows_BD)
        adversary.zero_grad()
        cross_entropy(nets.judged(mean_BL, rank_B), truth_B).mul(2).backward()
        adversary.step()
    return nets
