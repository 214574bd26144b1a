"""The figure of the estimate's honesty shows the shares and quantiles of the rows that it was given."""

import numpy as np
import pandas as pd
import pytest

from alkit.study.figures import labelling


def rows(runs=40):
    """Half-widths of 0.05 around estimates that are off by 0 to 0.1 (tests) or by 0.2 (naive)."""
    made = []
    for tests in (20, 40):
        for seed in range(runs):
            for strategy, name in labelling.SERIES:
                value = 0.7 if name == "naive" else 0.9 - 0.1 * seed / (runs - 1)
                known = dict(strategy=strategy, looks=10 * tests, truth=0.9, learned=0.95, test_accuracy=0.9)
                made.append(
                    dict(
                        known, seed=seed, tests=tests, estimator=name, value=value, low=value - 0.05, high=value + 0.05
                    )
                )
    return pd.DataFrame(made)


def test_marks_are_the_share_of_runs_and_the_median_error():
    fig = labelling.estimate_coverage({"mixdigits": rows(), "mixmnist": rows()})
    assert [note.text for note in fig.layout.annotations] == ["MixDigits", "MixMNIST"]
    assert len(fig.data) == 2 * 2 * 3
    active, off = fig.data[0], fig.data[1]
    assert np.allclose(active.y, 50) and np.allclose(off.y, -5)
    assert np.allclose(off.error_y.array, 4.5, atol=0.1) and np.allclose(off.error_y.arrayminus, 4.5, atol=0.1)
    naive = [trace for trace in fig.data if trace.name == "what Margin asks, not weighted"]
    assert np.allclose(naive[0].y, 0) and np.allclose(naive[1].y, -20)
    assert sum(bool(trace.showlegend) for trace in fig.data) == 3
    bands = [(shape.y0, shape.y1) for shape in fig.layout.shapes]
    assert bands.count((85, 95)) == 2 and bands.count((0, 0)) == 2
    assert "40 by Cautious coverage and 40 by Margin" in fig.layout.title.text


def test_sessions_of_one_strategy_do_not_move_the_marks_of_another():
    made = rows()
    made.loc[made["strategy"] == "margin", ["value", "low", "high"]] = 0.0
    fig = labelling.estimate_coverage({"mixdigits": made})
    assert np.allclose(fig.data[0].y, 50) and np.allclose(fig.data[2].y, 0)
    with pytest.raises(KeyError):
        labelling.estimate_coverage({"mixdigits": made[made["strategy"] == "margin"]})
