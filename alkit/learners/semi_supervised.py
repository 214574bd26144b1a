"""A learner that uses the unlabelled pool too: a start near the stage-0 representation, augmentation, pseudo-labels."""

import math

import numpy as np
import scipy.sparse as sp
import torch
from torch.nn import functional as F
from tqdm import tqdm

from alkit import augment, models, rng
from alkit.acquisition._neighbourhood import graph
from alkit.learners.base import Augment, Auxiliary, NetLearner, Setting, Shown, labelled_rows, probabilities, unlabelled
from alkit.learners.representation import first_features, first_representation
from alkit.runtime import threads
from alkit.store import sha256
from alkit.training import autocast, cosine, set_rate, step, to_float

STEPS, RESTART = 20, 0.1  # of how labels spread over the graph


ROWS = 256  # of the similarity matrix at a time


STREAMS = ("batches", "augmentation")


def cycled(n: int, wanted: int, generator: torch.Generator) -> torch.Tensor:
    """`wanted` positions below `n`: one random order of all after another, so that none is seen much more often."""
    device = generator.device
    orders = [torch.randperm(n, generator=generator, device=device) for _ in range(math.ceil(wanted / n))]
    return torch.cat(orders)[:wanted]


def neighbours(features_ND: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosine similarity (N, k) and index (N, k) of each row's nearest others, nearest first; all, where fewer than k.

    Cost: O(N^2 D) for the whole pool, in chunks of ROWS rows.
    """
    unit_ND = F.normalize(features_ND, dim=1)
    found = []
    for rows_B in torch.arange(len(unit_ND), device=unit_ND.device).split(ROWS):
        similarity_BN = unit_ND[rows_B] @ unit_ND.T
        similarity_BN[torch.arange(len(rows_B), device=rows_B.device), rows_B] = -torch.inf
        found.append(similarity_BN.topk(min(k, len(unit_ND) - 1), dim=1))
    return torch.cat([part.values for part in found]), torch.cat([part.indices for part in found])


class SemiSupervised(NetLearner):
    """A classifier of K + 1 classes from labelled images, augmented, and pseudo-labelled images of the pool.

    Each stage starts between the stage-0 representation and fresh weights ("shrink and perturb", Ash and Adams 2020)
    and trains on the labelled images. Then labels spread over the neighbour graph of the stage-0 features (Zhou et al.
    2004) name part of the pool: an image becomes a pseudo-label where the net names the same class and the spread label
    is among its class's clearest, so that no class takes all. Non-iD is a class like any other here, undersampled as
    labelled non-iD images are. Training goes on with labelled and pseudo-labelled images in equal parts.
    """

    pays_for_all = True
    pretrained = True

    def __init__(self, setting: Setting, *, augment: Augment = "recipe", auxiliary: Auxiliary = "undersampled"):
        super().__init__(setting, augment=augment, auxiliary=auxiliary)
        self.walk_NN: sp.csr_matrix | None = None

    def fit(self, answers_N: np.ndarray, stage: int) -> list[dict]:
        """Train a net from the stage-0 start on the answers, then on pseudo-labels too; the loss of either part."""
        s = self.setting
        labelled = labelled_rows(answers_N, s.n_classes, s.seed, stage, s.images_NCHW.device)
        self.net = self._start(stage)
        with threads(s.recipe.cpu_threads):
            history = [{"part": "labelled", "loss": self._train([labelled], stage, "labelled")}]
            pseudo = self._pseudo_labels(answers_N, stage)
            if len(pseudo[0]):
                loss = self._train([labelled, pseudo], stage, "pseudo-labelled")
                history.append({"part": "pseudo-labelled", "loss": loss})
        self._fit_gate(answers_N)
        return history

    def first_shown(self) -> Shown:
        """What it shows before anything is labelled: features of stage 0."""
        return unlabelled(first_features(self.setting, "encoder")[1], self.setting.n_classes)

    def show(self) -> Shown:
        """Penultimate features, probabilities and last layer, for every pool image."""
        head, probs_NC = self._classified()
        return Shown(head.features_ND, probs_NC, head)

    def restore(self, state: dict) -> None:
        """Become the learner that `state` was taken from."""
        self._restore(self._start(0), state)

    def _start(self, stage: int) -> models.Classifier:
        """A net whose every encoder weight is `semi_share` of the stage-0 one and the rest of a fresh one."""
        s = self.setting
        seed, device = rng.integer(s.seed, "model", stage), s.images_NCHW.device
        body = models.encoder(s.recipe, s.images_NCHW.shape[1], seed=seed, device=device)
        first, share = first_representation(s)[0].encoder, s.recipe.semi_share
        with torch.no_grad():
            for ours, theirs in zip(body.parameters(), first.parameters(), strict=True):
                ours.lerp_(theirs, share)
            for running, known in zip(body.buffers(), first.buffers(), strict=True):
                running.copy_(known)
        return models.classifier(body, s.n_classes + 1, seed=seed, device=device)

    def _train(self, sources: list[tuple], stage: int, part: str) -> float:
        """Train on `semi_views` augmented images, in equal numbers from each (rows, labels) of `sources`; mean loss."""
        images_NCHW, recipe, device = self.setting.images_NCHW, self.setting.recipe, self.setting.images_NCHW.device
        kind = recipe.semi_augment if self.augment == "recipe" else self.augment
        order, looks = (rng.torch_stream(self.setting.seed, f"{part}.{use}", stage, device=device) for use in STREAMS)
        share, n_steps = recipe.semi_batch // len(sources), math.ceil(recipe.semi_views / recipe.semi_batch)
        draws = [cycled(len(rows), share * n_steps, order).view(n_steps, share) for rows, _ in sources]
        optimiser = torch.optim.Adam(
            self.net.parameters(), lr=recipe.semi_lr, weight_decay=recipe.semi_weight_decay, fused=True
        )
        total = torch.zeros((), device=device)
        self.net.train()
        for i in tqdm(range(n_steps), desc=f"stage {stage}: {part}", leave=False, disable=not self.setting.progress):
            set_rate(optimiser, recipe.semi_lr * cosine(i, n_steps, 0))
            rows, labels = (
                torch.cat(found) for found in zip(*((r[d[i]], y[d[i]]) for (r, y), d in zip(sources, draws)))
            )
            x = augment.labelled(to_float(images_NCHW[rows]), looks, recipe, kind)
            with autocast(recipe, device):
                loss = F.cross_entropy(self.net(x), labels, label_smoothing=recipe.sup_smoothing)
            step(optimiser, loss, self.net.parameters(), recipe.sup_clip)
            total += loss.detach()
        return total.item() / n_steps

    def _pseudo_labels(self, answers_N: np.ndarray, stage: int) -> tuple[torch.Tensor, torch.Tensor]:
        """(rows, labels) of what becomes a pseudo-label among `semi_looked` random images that nobody has labelled."""
        s, recipe = self.setting, self.setting.recipe
        stream = rng.numpy_stream(s.seed, "pseudo-labels", stage)
        rows_U = np.sort(stream.permutation(np.flatnonzero(answers_N < 0))[: recipe.semi_looked])
        device = s.images_NCHW.device
        if not len(rows_U):
            nothing = torch.empty(0, dtype=torch.long, device=device)
            return nothing, nothing
        images = s.images_NCHW[torch.from_numpy(rows_U).to(device)]
        probs_UC = probabilities(self.net, images, recipe)[1]
        mass_UC = self._spread(answers_N)[rows_U]
        share_UC = mass_UC / np.maximum(mass_UC.sum(axis=1, keepdims=True), 1e-12)
        label_U, clear_U = share_UC.argmax(axis=1), share_UC.max(axis=1)
        agreed = (label_U == probs_UC.argmax(axis=1)) & (clear_U > 0)
        wanted = math.ceil(recipe.semi_kept * (agreed & (label_U < s.n_classes)).sum() / s.n_classes)
        kept: list[np.ndarray] = []
        for label in range(s.n_classes + 1):
            found = np.flatnonzero(agreed & (label_U == label))
            order = found[np.argsort(-clear_U[found], kind="stable")]
            order = order[:wanted]
            if label == s.n_classes:
                order = stream.permutation(order)[: round(sum(len(one) for one in kept) / s.n_classes)]
            kept.append(order)
        rows = np.concatenate(kept)
        return torch.from_numpy(rows_U[rows]).to(device), torch.from_numpy(label_U[rows]).to(device)

    def _spread(self, answers_N: np.ndarray) -> np.ndarray:
        """How much of each class's labels (N, K + 1) reaches every image over the neighbour graph."""
        given_NC = np.zeros((len(answers_N), self.setting.n_classes + 1), np.float32)
        asked = np.flatnonzero(answers_N >= 0)
        given_NC[asked, answers_N[asked]] = 1
        mass_NC = given_NC
        for _ in range(STEPS):
            mass_NC = (1 - RESTART) * (self._walk() @ mass_NC) + RESTART * given_NC
        return mass_NC

    def _walk(self) -> sp.csr_matrix:
        """The neighbour graph with edges scaled by the degrees of both ends; its neighbours come from the cache."""
        if self.walk_NN is None:
            s, features_ND = self.setting, first_features(self.setting, "encoder")[1]
            k = s.recipe.semi_neighbours

            def build() -> dict:
                similarity_Nk, index_Nk = neighbours(torch.from_numpy(features_ND).to(s.images_NCHW.device), k)
                return {"similarity": similarity_Nk, "index": index_Nk}

            found = s.cache("neighbours", {"features": sha256(features_ND.tobytes()), "neighbours": k}, build)
            edges_NN = graph(found["similarity"].cpu().numpy(), found["index"].cpu().numpy())
            degree_N = np.asarray(edges_NN.sum(axis=1)).ravel()
            scale_NN = sp.diags(1 / np.sqrt(np.where(degree_N > 0, degree_N, 1)))
            self.walk_NN = (scale_NN @ edges_NN @ scale_NN).tocsr().astype(np.float32)
        return self.walk_NN
