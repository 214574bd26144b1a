"""Result tables on disk: a column that older versions lack is empty, and a hole anywhere else is refused."""

import numpy as np
import pandas as pd
import pytest
from test_metrics import rows

from alkit.recipes import PROFILES
from alkit.store import StoreError
from alkit.study import tables
from alkit.study.tables import COLUMNS, read_results, results_file, write_results


@pytest.fixture
def df():
    return rows("random", [12, 30], [0.5, 0.6], benchmark="mixdigits")


def test_accuracy_over_k_plus_1_outputs_is_kept_and_missing_in_tables_of_an_older_version(df, tmp_path):
    write_results(df.assign(accuracy_k1=[0.4, 0.55], version="0.2.0").to_dict("records"), tmp_path, "new")
    assert read_results(tmp_path, "mixdigits", "smoke", "new")["accuracy_k1"].tolist() == [0.4, 0.55]
    write_results(df.assign(version="0.1.0").to_dict("records"), tmp_path, "old")
    path = results_file(tmp_path, "mixdigits", "smoke", "old")
    old = pd.read_csv(path).drop(columns="accuracy_k1")
    old.to_csv(path, index=False, lineterminator="\n")
    found = read_results(tmp_path, "mixdigits", "smoke", "old")
    assert tuple(found.columns) == COLUMNS and found["accuracy_k1"].isna().all()
    pd.testing.assert_frame_equal(found.drop(columns="accuracy_k1"), old)


def test_a_hole_in_any_other_column_is_refused(df, tmp_path):
    write_results(df.assign(accuracy=[0.5, np.nan]).to_dict("records"), tmp_path)
    with pytest.raises(StoreError, match="truncated or edited"):
        read_results(tmp_path, "mixdigits", "smoke")


def test_a_table_of_a_later_version_may_not_lack_it(df, tmp_path):
    for accuracy_k1 in ([0.4, np.nan], [np.nan, np.nan], None):
        made = df.assign(version="0.2.0", **({"accuracy_k1": accuracy_k1} if accuracy_k1 else {}))
        write_results(made.to_dict("records"), tmp_path)
        if accuracy_k1 is None:
            path = results_file(tmp_path, "mixdigits", "smoke")
            pd.read_csv(path).drop(columns="accuracy_k1").to_csv(path, index=False, lineterminator="\n")
        with pytest.raises(StoreError, match="truncated or edited"):
            read_results(tmp_path, "mixdigits", "smoke")


def test_every_committed_table_can_be_read():
    from alkit import paths

    labels = tables.all_labels(paths.ROOT / "figures")
    assert len(labels) > 20
    for stem in labels:
        (profile,) = {*stem.split("-")} & {*PROFILES}
        benchmark, _, name = stem.partition(f"-{profile}")
        assert len(read_results(paths.ROOT / "figures", benchmark, profile, name.removeprefix("-")))
