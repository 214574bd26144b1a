"""The contrastive losses: one masked-softmax cross-entropy, and what the paper makes of it.

Equation numbers are those of Kim, Kim and Hwang (2023), arXiv 2303.14433.
"""

import torch
from torch.nn import functional as F


def contrastive(z_BD, ids_B, *, temperature: float):
    """Eq. 1, averaged over the positives of each anchor and then over the anchors that have one.

    For anchor i with positives P(i) = {j != i: ids_j = ids_i}:  mean over P(i) of  -log softmax_j(cos(z_i, z_j) /
    temperature), the softmax running over all j != i. An anchor without positives is left out of the mean; if none
    has one, the loss is 0 (with a gradient of 0). Arithmetic is fp32 whatever the input, so that a temperature of
    0.05 is safe in half precision.

    `z_BD`: float features, one row per view. `ids_B`: integers; equal ids are positives. Returns a scalar.
    ValueError for shapes that do not fit or a temperature that is not positive.
    """
    if z_BD.ndim != 2 or ids_B.shape != z_BD.shape[:1]:
        raise ValueError(
            f"need z of shape (B, D) and ids of shape (B,), got {tuple(z_BD.shape)} and {tuple(ids_B.shape)}"
        )
    logits_BB = _logits(z_BD, temperature)
    with torch.autocast(z_BD.device.type, enabled=False):
        positives_BB = (ids_B[:, None] == ids_B[None, :]).fill_diagonal_(False)
        n_positives_B = positives_BB.sum(1)
        weights_BB = positives_BB / n_positives_B.clamp(min=1)[:, None]
        return -(logits_BB.log_softmax(1) * weights_BB).sum() / (n_positives_B > 0).sum().clamp(min=1)


def _logits(z_BD, temperature: float):
    """Cosines over the temperature, fp32; the least number on the diagonal, so that no row is its own negative."""
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    with torch.autocast(z_BD.device.type, enabled=False):
        z_BD = F.normalize(z_BD.float(), dim=1)
        logits_BB = (z_BD / temperature) @ z_BD.T
        with torch.no_grad():  # nothing flows back through the diagonal: its softmax is 0, and so is its weight
            logits_BB.fill_diagonal_(torch.finfo(torch.float32).min)  # not -inf, which times a weight of 0 is NaN
        return logits_BB


def nt_xent(z1_BD, z2_BD, *, temperature: float):
    """L_con: Eq. 1 over two views of each image (NT-Xent, Chen et al. 2020). `z1_BD[i]` and `z2_BD[i]` are a pair."""
    if z1_BD.ndim != 2 or z1_BD.shape != z2_BD.shape:
        raise ValueError(f"the two views must have one shape (B, D), got {tuple(z1_BD.shape)} and {tuple(z2_BD.shape)}")
    if not len(z1_BD):
        return z1_BD.float().sum()
    # with one positive each it is plain cross-entropy, a view's class being its partner's row: no matrix of positives
    partner_B = torch.arange(2 * len(z1_BD), device=z1_BD.device).roll(len(z1_BD))
    return F.cross_entropy(_logits(torch.cat([z1_BD, z2_BD]), temperature), partner_B)


def sup_con(z_BD, labels_B, *, temperature: float):
    """L_supcon: Eq. 1 with all views of the same class as positives (Khosla et al. 2020, positives outside the log).

    `labels_B` are 0..K, the K + 1-th class of labelled non-iD samples included; a view counts once per row.
    """
    return contrastive(z_BD, labels_B, temperature=temperature)


def total(z1_UD, z2_UD, z_LD, labels_L, *, temperature: float):
    """L_total = L_con + L_supcon (Eq. 2). Returns (total, L_con, L_supcon), scalars.

    `z1_UD`, `z2_UD`: two views of unlabelled images; `z_LD`, `labels_L`: views of labelled images and their classes.
    """
    con = nt_xent(z1_UD, z2_UD, temperature=temperature)
    sup = sup_con(z_LD, labels_L, temperature=temperature)
    return con + sup, con, sup
