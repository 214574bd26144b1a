"""The contrastive losses against naive loops, closed forms and symmetries."""

import math

import pytest
import torch

from alkit import losses


def features(n, d=8, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float32)


def naive(z, ids, temperature):
    """Eq. 1 as it is written, one pair at a time, in float64."""
    z, n = z.double(), len(z)
    cos = lambda i, j: float(z[i] @ z[j] / (z[i].norm() * z[j].norm()))  # noqa: E731
    anchors = []
    for i in range(n):
        norm = sum(math.exp(cos(i, k) / temperature) for k in range(n) if k != i)
        pairs = [-math.log(math.exp(cos(i, j) / temperature) / norm) for j in range(n) if j != i and ids[j] == ids[i]]
        if pairs:
            anchors.append(sum(pairs) / len(pairs))
    return sum(anchors) / len(anchors) if anchors else 0.0


@pytest.mark.parametrize("temperature", [0.05, 0.07, 0.5, 1.0])
@pytest.mark.parametrize(
    "ids", [[0, 0, 1, 1], [0, 1, 2, 0, 1, 2, 0], [3, 3, 3, 3, 3], [0, 1, 2, 0], [0, 0, 1, 2, 3, 3]]
)
def test_contrastive_equals_the_double_loop(ids, temperature):
    z = features(len(ids), seed=len(ids))
    ours = losses.contrastive(z, torch.tensor(ids), temperature=temperature)
    assert ours.item() == pytest.approx(naive(z, ids, temperature), rel=1e-5)


def plain(z, ids, temperature):
    """Eq. 1 in float64, in as many steps as it has parts: cosines, masks, logarithms, means."""
    z = z / z.norm(dim=1, keepdim=True)
    scores, others = z @ z.T / temperature, ~torch.eye(len(z), dtype=torch.bool)
    positives = (ids[:, None] == ids) & others
    log_p = scores - scores.exp().where(others, 0.0).sum(1, keepdim=True).log()
    return -((log_p * positives).sum(1) / positives.sum(1)).mean()


@pytest.mark.parametrize("temperature", [0.05, 0.07, 0.5])
@pytest.mark.parametrize("likeness", [0.0, 1.0])
def test_losses_and_gradients_equal_the_plain_formula_to_rounding(likeness, temperature):
    """Pairs that have nothing or half in common, within 2e-6 of float64 (at most 8e-7 measured).

    Where the loss itself is near 0 it is a difference of nearly equal numbers, and no fp32 formula keeps its digits.
    """
    a, b, shared = (features(128, d=64, seed=seed) for seed in (0, 1, 2))
    z = torch.cat([a + likeness * shared, b + likeness * shared]).requires_grad_()
    labels = torch.arange(256) % 10
    for ids, loss in (
        (torch.arange(128).repeat(2), lambda: losses.nt_xent(z[:128], z[128:], temperature=temperature)),
        (labels, lambda: losses.sup_con(z, labels, temperature=temperature)),
    ):
        expected, found = plain(exact := z.detach().double().requires_grad_(), ids, temperature), loss()
        (gradient,), (by_hand,) = torch.autograd.grad(found, z), torch.autograd.grad(expected, exact)
        assert found.item() == pytest.approx(expected.item(), rel=2e-6)
        assert (gradient - by_hand).norm() <= 2e-6 * by_hand.norm(), (gradient - by_hand).norm() / by_hand.norm()


@pytest.mark.parametrize("n", [0, 1, 2, 5, 16])
@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_nt_xent_equals_the_double_loop(n, temperature):
    a, b = features(n, seed=1), features(n, seed=2)
    expected = naive(torch.cat([a, b]), list(range(n)) * 2, temperature)
    assert losses.nt_xent(a, b, temperature=temperature).item() == pytest.approx(expected, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("n", [2, 8, 64])
def test_coinciding_views_give_log_of_the_number_of_others(n):
    z = torch.ones(n, 4)
    assert losses.nt_xent(z, z, temperature=0.07).item() == pytest.approx(math.log(2 * n - 1), rel=1e-5)


def test_opposite_pairs_have_the_closed_form():
    a = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    t = 0.5
    expected = -math.log(math.exp(1 / t) / (math.exp(1 / t) + 2 * math.exp(-1 / t)))
    assert losses.nt_xent(a, a, temperature=t).item() == pytest.approx(expected, rel=1e-5)


def test_sup_con_with_unique_pair_ids_is_nt_xent():
    a, b = features(12, seed=3), features(12, seed=4)
    ids = torch.randperm(12, generator=torch.Generator().manual_seed(0)).repeat(2)
    pair = losses.nt_xent(a, b, temperature=0.07)
    torch.testing.assert_close(losses.sup_con(torch.cat([a, b]), ids, temperature=0.07), pair)


def test_symmetric_in_the_views_and_blind_to_order_and_length():
    a, b = features(10, seed=5), features(10, seed=6)
    loss = losses.nt_xent(a, b, temperature=0.1)
    torch.testing.assert_close(losses.nt_xent(b, a, temperature=0.1), loss)
    order = torch.randperm(10, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(losses.nt_xent(a[order], 3 * b[order], temperature=0.1), loss)


def test_an_anchor_without_positives_is_left_out_not_counted_as_zero():
    z, ids = features(5), torch.tensor([0, 0, 1, 1, 7])
    assert losses.contrastive(z, ids, temperature=0.5).item() == pytest.approx(naive(z, [0, 0, 1, 1, 7], 0.5), rel=1e-5)
    as_zero = naive(z, [0, 0, 1, 1, 7], 0.5) * 4 / 5
    assert losses.contrastive(z, ids, temperature=0.5).item() != pytest.approx(as_zero, rel=1e-2)


@pytest.mark.parametrize("n", [0, 1, 3])
def test_no_positives_at_all_gives_zero_with_a_finite_gradient(n):
    z = features(n).requires_grad_()
    loss = losses.contrastive(z, torch.arange(n), temperature=0.07)
    loss.backward()
    assert loss.item() == 0 and torch.isfinite(z.grad).all()


def test_negative_similarities_have_a_gradient():
    """Each pair coincides, so its own cosine is flat; what is left comes from the negatives, at 135 degrees.

    Clamping cosines at 0, as some public code does, leaves nothing of it.
    """
    a = torch.tensor([[1.0, 0.0], [-1.0, 1.0]], requires_grad=True)
    losses.nt_xent(a, a.detach(), temperature=1.0).backward()
    assert a.grad.abs().min(1).values.max() > 0 and a.grad.norm(dim=1).min() > 1e-2


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_finite_at_low_temperature_in_half_precision(dtype):
    z = (features(64) * 50).to(dtype).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = losses.contrastive(z, torch.arange(32).repeat(2), temperature=0.05)
    loss.backward()
    assert loss.dtype == torch.float32 and torch.isfinite(loss) and torch.isfinite(z.grad).all()
    assert loss.item() == pytest.approx(naive(z.detach().float(), list(range(32)) * 2, 0.05), rel=1e-3)


def test_total_is_the_sum_of_its_parts():
    a, b, z, labels = features(6, seed=1), features(6, seed=2), features(4, seed=3), torch.tensor([0, 1, 0, 1])
    total, con, sup = losses.total(a, b, z, labels, temperature=0.07)
    torch.testing.assert_close(total, con + sup)
    torch.testing.assert_close(con, losses.nt_xent(a, b, temperature=0.07))
    torch.testing.assert_close(sup, losses.sup_con(z, labels, temperature=0.07))


def test_gradient_is_right():
    z = features(6, d=3).double().requires_grad_()
    ids = torch.tensor([0, 1, 2, 0, 1, 5])
    # the loss computes in fp32, hence the wide step and tolerance
    assert torch.autograd.gradcheck(
        lambda x: losses.contrastive(x, ids, temperature=0.5).double(), z, eps=1e-2, atol=2e-3
    )


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: losses.contrastive(torch.ones(4), torch.ones(4), temperature=1.0), "shape"),
        (lambda: losses.contrastive(torch.ones(4, 2), torch.ones(3), temperature=1.0), "shape"),
        (lambda: losses.contrastive(torch.ones(4, 2), torch.ones(4), temperature=0.0), "temperature"),
        (lambda: losses.contrastive(torch.ones(4, 2), torch.ones(4), temperature=-1.0), "temperature"),
        (lambda: losses.nt_xent(torch.ones(4, 2), torch.ones(3, 2), temperature=1.0), "one shape"),
        (lambda: losses.nt_xent(torch.ones(4), torch.ones(4), temperature=1.0), "shape"),
        (lambda: losses.nt_xent(torch.ones(4, 2), torch.ones(4, 2), temperature=0.0), "temperature"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
