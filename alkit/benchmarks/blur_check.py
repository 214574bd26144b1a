"""Is there a shortcut? How well blur alone tells generated images from real ones."""

import numpy as np

from alkit import rng


def blur_statistics(images_N1HW: np.ndarray) -> np.ndarray:
    """Six figures that blur changes, float64 (N, 6); grey levels count from 0 to 1.

    Variance of the Laplacian; median, 90 % and 99 % quantile of the gradient magnitude; share of pixels between 0.1 and
    0.9; ink (mean grey level).
    """
    x = np.asarray(images_N1HW)[:, 0] / 255
    around = np.pad(x, ((0, 0), (1, 1), (1, 1)), mode="edge")
    laplacian = around[:, 2:, 1:-1] + around[:, :-2, 1:-1] + around[:, 1:-1, 2:] + around[:, 1:-1, :-2] - 4 * x
    magnitude_NP = np.hypot(*np.gradient(x, axis=(1, 2))).reshape(len(x), -1)
    quantiles_3N = np.quantile(magnitude_NP, [0.5, 0.9, 0.99], axis=1)
    grey_N = ((x > 0.1) & (x < 0.9)).mean((1, 2))
    return np.column_stack([laplacian.var((1, 2)), *quantiles_3N, grey_N, x.mean((1, 2))])


def shortcut_auroc(real_N1HW, ambiguous_M1HW, *, seed: int = 0, model: str = "logistic") -> float:
    """How well blur alone tells ambiguous images from real ones: AUROC from 0.5 (not at all) to 1 (a shortcut).

    Ten-fold cross-validation, on `blur_statistics`, of "logistic" regression or of gradient-boosted trees ("boosting").
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    state = rng.integer(seed, "shortcut") % 2**32
    models = {
        "logistic": make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced")),
        "boosting": HistGradientBoostingClassifier(class_weight="balanced", random_state=state),
    }
    if model not in models:
        raise ValueError(f"unknown model {model!r}: take one of {', '.join(models)}")
    statistics = np.concatenate([blur_statistics(real_N1HW), blur_statistics(ambiguous_M1HW)])
    answer = np.repeat([0, 1], [len(real_N1HW), len(ambiguous_M1HW)])
    folds = StratifiedKFold(10, shuffle=True, random_state=state)
    with threadpool_limits(1):  # so little data that threads only wait for each other
        scores = cross_val_predict(models[model], statistics, answer, cv=folds, method="predict_proba")[:, 1]
    return float(roc_auc_score(answer, scores))
