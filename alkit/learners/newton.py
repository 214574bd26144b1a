"""Multinomial logistic regression on many labels: Newton's method with conjugate gradients.

A step solves H d = -g, where H, the Hessian of K classes x D weights, is only ever multiplied with. Two things make
that fast. Products with H are in float32, while loss and gradient g are in float64: a step need not be exact, as the
next one corrects it, so the end is as exact as float64. And conjugate gradients are preconditioned with H's diagonal
blocks, one D x D matrix for each class; a class's block rests on the `BLOCK_ROWS` rows that weigh most in it.

Close to the optimum Newton's steps are quick, far away they are short. So the start comes from some steps of L-BFGS,
in float32, in coordinates in which features are uncorrelated.
"""

import warnings

import numpy as np
from scipy.linalg import cholesky, lapack, solve_triangular
from scipy.optimize import minimize
from scipy.sparse.linalg import LinearOperator, cg
from sklearn.exceptions import ConvergenceWarning

START_STEPS = 15  # of L-BFGS; 8 to 20 take the same time in all
BLOCK_ROWS = 1000  # with 500 steps take more products, with 2,000 the blocks cost more
FORCING, MAX_PRODUCTS, MAX_STEPS = 0.02, 100, 100  # a step's residual over the gradient; products a step; steps
SHORTEST = 2.0**-10  # of a step; where a shorter one would be needed, rounding is all that is left
RIDGE = 1e-9  # on the diagonal of blocks: the intercept has no penalty


def fit(features_LD: np.ndarray, labels_L: np.ndarray, *, c: float, tolerance: float) -> tuple[np.ndarray, np.ndarray]:
    """(weight_CD, bias_C) of the regression, float64: mean cross-entropy + sum of squared weights / (2 c L).

    Labels are 0..C - 1, each of them there, C at least 3 (for two classes scikit-learn minimises something else).
    Ends where no entry of the gradient is larger than `tolerance`; ConvergenceWarning where that was not to be reached.
    Holds C (D + 1)^2 numbers in float32.
    """
    exact_LD = np.column_stack([features_LD, np.ones(len(features_LD))]).astype(np.float64)
    fast_LD = exact_LD.astype(np.float32)
    penalty_D = np.full(exact_LD.shape[1], 1 / (c * len(exact_LD)))
    penalty_D[-1] = 0  # the intercept's
    weight_CD = _start(fast_LD, labels_L, penalty_D)
    loss, gradient_CD, probs_LC = _objective(weight_CD, exact_LD, labels_L, penalty_D)
    blocks_CDD = _inverse_blocks(fast_LD, probs_LC.astype(np.float32), penalty_D)
    for _ in range(MAX_STEPS):
        if np.abs(gradient_CD).max() <= tolerance:
            break
        step_CD = _newton_step(gradient_CD, fast_LD, probs_LC.astype(np.float32), penalty_D, blocks_CDD)
        slope, length = (gradient_CD * step_CD).sum(), 1.0
        while True:
            tried = _objective(weight_CD + length * step_CD, exact_LD, labels_L, penalty_D)
            if tried[0] <= loss + 1e-4 * length * slope + 1e-13 * abs(loss) or length <= SHORTEST:
                break
            length /= 2
        weight_CD, (loss, gradient_CD, probs_LC) = weight_CD + length * step_CD, tried
    else:
        warnings.warn(f"a regression has not converged in {MAX_STEPS} steps", ConvergenceWarning, stacklevel=2)
    bias_C = weight_CD[:, -1] - weight_CD[:, -1].mean()  # which no penalty sets
    return weight_CD[:, :-1], bias_C


def _objective(weight_CD, x_LD, labels_L, penalty_D) -> tuple[float, np.ndarray, np.ndarray]:
    """Loss, its gradient in the weights (float64) and probabilities (in the precision of `x_LD`)."""
    rows_L = np.arange(len(x_LD))
    probs_LC = x_LD @ weight_CD.T.astype(x_LD.dtype)
    probs_LC -= probs_LC.max(1, keepdims=True)
    own_L = probs_LC[rows_L, labels_L].astype(np.float64)
    np.exp(probs_LC, out=probs_LC)
    total_L = probs_LC.sum(1)
    probs_LC /= total_L[:, None]
    loss = (np.log(total_L.astype(np.float64)) - own_L).mean() + (weight_CD**2 * penalty_D).sum() / 2
    error_LC = probs_LC.copy()
    error_LC[rows_L, labels_L] -= 1
    return float(loss), (error_LC.T @ x_LD).astype(np.float64) / len(x_LD) + weight_CD * penalty_D, probs_LC


def _start(x_LD, labels_L, penalty_D) -> np.ndarray:
    """Weights that some steps of L-BFGS reach from 0 in coordinates in which features are uncorrelated."""
    classes, width = labels_L.max() + 1, x_LD.shape[1]
    typical = 0.25 / classes  # mean p (1 - p) of a class, with p = 1 / classes for all, is 4 times that
    gram_DD = (x_LD.T @ x_LD).astype(np.float64) * (typical / len(x_LD)) + np.diag(penalty_D + RIDGE)
    whiten_DD = solve_triangular(cholesky(gram_DD, lower=True), np.eye(width), lower=True)

    def objective(flat):
        loss, gradient_CD, _ = _objective(flat.reshape(classes, width) @ whiten_DD, x_LD, labels_L, penalty_D)
        return loss, (gradient_CD @ whiten_DD.T).ravel()

    found = minimize(
        objective, np.zeros(classes * width), jac=True, method="L-BFGS-B", options={"maxiter": START_STEPS, "ftol": 0}
    )
    return found.x.reshape(classes, width) @ whiten_DD


def _inverse_blocks(x_LD, probs_LC, penalty_D) -> np.ndarray:
    """Inverses (C, D, D) of the Hessian's diagonal blocks, X' diag(p (1 - p)) X / L + penalty.

    The rows that weigh least in a class, all but `BLOCK_ROWS`, enter with their mean weight.
    """
    n, width = x_LD.shape
    used = min(n, BLOCK_ROWS)
    gram_DD, weight_CL = x_LD.T @ x_LD / n, np.ascontiguousarray((probs_LC * (1 - probs_LC)).T)
    blocks_CDD = np.empty((len(weight_CL), width, width), np.float32)
    for block_DD, weight_L in zip(blocks_CDD, weight_CL, strict=True):
        rows = np.argpartition(weight_L, n - used)[n - used :]
        heavy_RD = x_LD[rows] * np.sqrt(weight_L[rows] / n)[:, None]
        block_DD[:] = heavy_RD.T @ heavy_RD + gram_DD * ((weight_L.sum() - weight_L[rows].sum()) / n)
        block_DD[np.diag_indices(width)] += penalty_D + RIDGE
        factor_DD, failed = lapack.spotrf(block_DD)
        if failed:  # no positive definite matrix in float32: the diagonal alone
            block_DD[:] = np.diag(1 / np.diag(block_DD))
            continue
        upper_DD = np.triu(lapack.spotri(factor_DD)[0])
        block_DD[:] = upper_DD + np.triu(upper_DD, 1).T
    return blocks_CDD


def _newton_step(gradient_CD, x_LD, probs_LC, penalty_D, blocks_CDD) -> np.ndarray:
    """d with H d = -g, up to a residual of `FORCING` of the gradient; float64."""
    shape, penalty_D = gradient_CD.shape, penalty_D.astype(np.float32)

    def product(flat):
        direction_CD = flat.reshape(shape)
        change_LC = x_LD @ direction_CD.T
        change_LC -= np.einsum("lc,lc->l", probs_LC, change_LC)[:, None]
        change_LC *= probs_LC
        return (change_LC.T @ x_LD / np.float32(len(x_LD)) + direction_CD * penalty_D).ravel()

    def precondition(flat):
        return np.matmul(blocks_CDD, flat.reshape(*shape, 1)).ravel()

    size = np.linalg.norm(gradient_CD)
    hessian, inverse = (
        LinearOperator((gradient_CD.size,) * 2, matvec=function, dtype=np.float32)
        for function in (product, precondition)
    )
    wanted = (-gradient_CD / size).astype(np.float32).ravel()
    step, _ = cg(hessian, wanted, rtol=FORCING, atol=0, maxiter=MAX_PRODUCTS, M=inverse)
    return step.reshape(shape).astype(np.float64) * size
