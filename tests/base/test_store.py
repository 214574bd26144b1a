"""What lies on disk is checked before it is used; what cannot be used is named, with what to do, and left as it is."""

import json
import os
import stat
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import contents, run_folder, tables, tiny

from alkit import benchmarks, experiment, store
from alkit.store import Cache, RunFolder, StoreError
from alkit.study.batch import cleaning


def stopped_run(root, *, stages=2, cell=None):
    """A run that was dropped after `stages` stages; its directory."""
    records = experiment.run(cell or tiny(), root=root)
    for _ in range(stages):
        next(records)
    records.close()
    return run_folder(root)


def truncate(data):
    return data[:-5]


def edit_a_digit(data):
    """The last digit of the file becomes another one."""
    at = max(i for i, byte in enumerate(data) if chr(byte).isdigit())
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def empty(data):
    return b""


DAMAGE = {"truncated": truncate, "edited": edit_a_digit, "emptied": empty, "deleted": None}


def damage(file, how):
    if DAMAGE[how]:
        file.write_bytes(DAMAGE[how](file.read_bytes()))
    else:
        file.unlink()


@pytest.mark.parametrize("how", DAMAGE)
@pytest.mark.parametrize("table", ["picks.csv", "stages.csv", "seconds.csv"])
def test_damaged_table_is_named_and_nothing_is_touched(table, how, tmp_path):
    path = stopped_run(tmp_path)
    damage(path / table, how)
    before = contents(tmp_path)
    with pytest.raises(
        StoreError, match=f"{table} was truncated or edited .* put the original back, or delete"
    ) as error:
        experiment.finish(tiny(), root=tmp_path)
    assert str(path) in str(error.value)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("how", DAMAGE)
def test_damaged_checkpoint_is_named_and_nothing_is_touched(how, tmp_path):
    path = stopped_run(tmp_path)
    damage(path / "learner.1.pt", how)
    before = contents(tmp_path)
    with pytest.raises(
        StoreError, match=r"learner.1.pt is missing, truncated or edited; delete .* to start this run again"
    ):
        experiment.finish(tiny(), root=tmp_path)
    assert contents(tmp_path) == before


def test_missing_table_put_back_lets_the_run_go_on(tmp_path):
    whole = tmp_path / "whole"
    experiment.finish(tiny(), root=whole)
    path = stopped_run(tmp_path / "broken")
    kept = (path / "picks.csv").read_bytes()
    (path / "picks.csv").unlink()
    with pytest.raises(StoreError):
        experiment.finish(tiny(), root=tmp_path / "broken")
    (path / "picks.csv").write_bytes(kept)
    experiment.finish(tiny(), root=tmp_path / "broken")
    assert tables(tmp_path / "broken") == tables(whole)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "{}", '"text"', '{"stages": 1}', '{"stages": 1, "bytes": [], "sha256": {}}', "\xff"]
)
@pytest.mark.parametrize("name", ["progress.json", "config.json"])
def test_unreadable_json_is_named_and_nothing_is_touched(name, text, tmp_path):
    path = stopped_run(tmp_path)
    (path / name).write_bytes(text.encode("latin-1"))
    before = contents(tmp_path)
    with pytest.raises(StoreError, match=f"{name} cannot be read .* delete .* to start this run again"):
        experiment.finish(tiny(), root=tmp_path)
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("name", "value"),
    [("stages", 1), ("stages", 3), ("done", True), ("learner", None), ("learner", "learner.0.pt"), ("bytes", {})],
)
def test_edited_journal_is_found_out(name, value, tmp_path):
    journal = stopped_run(tmp_path) / "progress.json"
    journal.write_text(json.dumps({**json.loads(journal.read_bytes()), name: value}))
    before = contents(tmp_path)
    with pytest.raises(StoreError, match="progress.json was edited; delete .* to start this run again"):
        experiment.finish(tiny(), root=tmp_path)
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("fingerprint", "0" * 64, "fingerprint"),
        ("seed", 7, "seed"),
        ("alkit", "9.9", "alkit"),
        ("recipe", {}, "recipe"),
        ("stray", 1, "stray"),
    ],
)
def test_directory_of_another_configuration_is_refused_and_left_alone(name, value, said, tmp_path):
    file = stopped_run(tmp_path) / "config.json"
    known = json.loads(file.read_bytes())
    file.write_text(json.dumps({**known, "config": {**known["config"], name: value}}))
    before = contents(tmp_path)
    with pytest.raises(
        StoreError, match=rf"belongs to another configuration \(differs in: {said}\); use another folder"
    ):
        experiment.finish(tiny(), root=tmp_path)
    assert contents(tmp_path) == before


def test_other_pool_other_recipe_and_other_options_have_other_directories(tmp_path):
    cells = [tiny(), tiny(seed=1), tiny(changes={"sup_lr": 0.5}), tiny(stop="round"), tiny("supervised"),
             tiny("supervised", initial="paper"),
             tiny(learner_options={"features": "projected"}),
             tiny(auxiliary_filter=False)]  # fmt: skip
    benchmark, device = benchmarks.load("tiny"), torch.device("cpu")
    paths = [experiment.folder(cell, tmp_path, benchmark, device).path for cell in cells]
    pool = benchmark.pool
    other_pool = benchmarks.Pool(255 - pool.images_NCHW, pool.labels_N, pool.category_N, pool.source_N)
    other = benchmarks.Benchmark(
        "tiny", other_pool, benchmark.test_images_MCHW, benchmark.test_labels_M, benchmark.class_names,
        benchmark.votes_NV, benchmark.parents_N2,
    )  # fmt: skip
    paths.append(experiment.folder(tiny(), tmp_path, other, device).path)
    assert len(set(paths)) == len(paths)
    assert not list(tmp_path.iterdir())  # naming a directory makes none


@pytest.mark.parametrize("learner", ["contrastive", "probe"])
def test_learner_that_pays_for_the_initial_set_anyway_has_one_run_for_both_protocols(learner, tmp_path):
    shared, paper = (tiny(learner, initial=initial) for initial in ("shared", "paper"))
    device = torch.device("cpu")
    folders = {experiment.folder(cell, tmp_path, benchmarks.load("tiny"), device).path for cell in (shared, paper)}
    assert len(folders) == 1
    records = experiment.finish(shared, root=tmp_path)
    assert experiment.finished(paper, root=tmp_path) and experiment.finish(paper, root=tmp_path) == records


def test_rows_of_a_stage_that_never_counted_are_cut_off(tmp_path):
    experiment.finish(tiny(), root=tmp_path / "whole")
    path = stopped_run(tmp_path / "cut")
    for table in ("picks.csv", "stages.csv", "seconds.csv"):
        with open(path / table, "a") as file:
            file.write("2,0,17,0,")
    (path / ".progress.json.12345.part").write_text("{")
    (path / "learner.2.pt").write_bytes(b"half of it")
    experiment.finish(tiny(), root=tmp_path / "cut")
    assert tables(tmp_path / "cut") == tables(tmp_path / "whole")
    assert set(contents(path)) == set(contents(run_folder(tmp_path / "whole")))


def test_finished_run_is_read_not_run_again(tmp_path, monkeypatch):
    records = experiment.finish(tiny("contrastive", "random_cl"), root=tmp_path)
    before = contents(tmp_path)
    monkeypatch.setattr("alkit.learners.Contrastive.fit", lambda *_: pytest.fail("fitted again"))
    assert experiment.finish(tiny("contrastive", "random_cl"), root=tmp_path) == records
    assert contents(tmp_path) == before


def test_records_of_a_run_that_was_dropped_equal_those_of_one_that_was_not(tmp_path):
    def without_seconds(records):
        return [{name: value for name, value in record.items() if not name.endswith("_seconds")} for record in records]

    whole = experiment.finish(tiny("supervised", "entropy"), root=tmp_path / "whole")
    stopped_run(tmp_path / "dropped", cell=tiny("supervised", "entropy"))
    assert without_seconds(
        experiment.finish(tiny("supervised", "entropy"), root=tmp_path / "dropped")
    ) == without_seconds(whole)
    assert list(whole[0]) == [
        "stage", "n_id", "n_ambiguous", "n_ood", "cost", "accuracy", "accuracy_k1",
        "train_seconds", "extract_seconds", "choose_seconds",
        "initial_hash", "fingerprint", "device", "version",
    ]  # fmt: skip


def test_folder_below_a_file_is_refused_with_what_to_do(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StoreError, match="cannot write to .*choose another folder"):
        experiment.finish(tiny(), root=tmp_path / "file" / "runs")
    assert contents(tmp_path) == {"file": b"mine"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_folder_is_refused_with_what_to_do(tmp_path):
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        with pytest.raises(StoreError, match="cannot write to .*choose another folder"):
            experiment.finish(tiny(), root=tmp_path)
    finally:
        tmp_path.chmod(stat.S_IRWXU)


def test_failed_atomic_write_leaves_what_was_there(tmp_path, monkeypatch):
    file = tmp_path / "file"
    store.write_atomic(file, b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="could not write .*No space left on device; free some space"):
        store.write_atomic(file, b"new")
    assert contents(tmp_path) == {"file": b"old"}


def test_nothing_but_parts_and_growing_tables_is_ever_opened_for_writing(tmp_path, monkeypatch):
    """A file that is written in place is half a file for a moment, whatever the moment at which tests kill."""
    seen, real = set(), open

    def watched(file, mode="r", *args, **kwargs):
        if not set(mode) <= set("rbt") and tmp_path in Path(str(file)).parents:
            seen.add((Path(file).suffix, mode))
        return real(file, mode, *args, **kwargs)

    monkeypatch.setattr("builtins.open", watched)
    monkeypatch.setattr("io.open", watched)
    experiment.finish(tiny("contrastive", "random_cl"), root=tmp_path)
    # the third is the list of alkit's files, the last one tries the folder, and has no name
    assert seen == {(".part", "wb"), (".csv", "ab"), ("", "a"), ("", "w+b")}


def value():
    return {"x": torch.arange(6.0), "history": [{"epoch": 0, "loss": 0.5, "supcon": None}]}


def test_cache_builds_once_and_gives_back_what_was_built(tmp_path):
    built = []

    def build():
        built.append(1)
        return value()

    cache = Cache(tmp_path, fingerprint="f", alkit="1")
    first, second = (
        cache("thing", {"seed": 1}, build),
        Cache(tmp_path, alkit="1", fingerprint="f")("thing", {"seed": 1}, build),
    )
    assert len(built) == 1
    for found in (first, second):
        assert torch.equal(found["x"], value()["x"]) and found["history"] == value()["history"]


@pytest.mark.parametrize(
    ("shared", "name", "inputs"),
    [
        ({"fingerprint": "g"}, "thing", {"seed": 1}),
        ({"fingerprint": "f"}, "other", {"seed": 1}),
        ({"fingerprint": "f"}, "thing", {"seed": 2}),
    ],
)
def test_cache_never_gives_what_was_built_from_other_inputs(shared, name, inputs, tmp_path):
    Cache(tmp_path, fingerprint="f")("thing", {"seed": 1}, value)
    assert Cache(tmp_path, **shared)(name, inputs, lambda: {"x": "fresh"}) == {"x": "fresh"}


@pytest.mark.parametrize("how", DAMAGE)
def test_damaged_cache_file_is_named_and_both_files_stay(how, tmp_path):
    cache = Cache(tmp_path, fingerprint="f")
    cache("thing", {}, value)
    (body,) = tmp_path.glob("*.pt")
    damage(body, how)
    before = contents(tmp_path)
    with pytest.raises(StoreError, match=r"delete both and run again") as error:
        cache("thing", {}, value)
    assert body.name in str(error.value) or str(body) in str(error.value)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", "{"])
def test_damaged_note_of_a_cache_file_is_named(text, tmp_path):
    cache = Cache(tmp_path, fingerprint="f")
    cache("thing", {}, value)
    (note,) = tmp_path.glob("*.json")
    note.write_text(text)
    with pytest.raises(StoreError, match="delete both and run again"):
        cache("thing", {}, value)


def test_damaged_representation_stops_a_run_before_it_trains(tmp_path):
    experiment.finish(tiny("probe", "random"), root=tmp_path)
    (body,) = (tmp_path / "cache").glob("representation-*.pt")
    body.write_bytes(body.read_bytes()[:-100])
    with pytest.raises(StoreError, match="representation-.* is damaged .* delete both and run again"):
        experiment.finish(tiny("probe", "margin"), root=tmp_path)


def test_cache_that_failed_to_build_builds_again_and_leaves_no_parts(tmp_path):
    def fails():
        raise KeyboardInterrupt

    cache = Cache(tmp_path, fingerprint="f")
    with pytest.raises(KeyboardInterrupt):
        cache("thing", {}, fails)
    (lock,) = tmp_path.glob("*.lock")
    (tmp_path / f".{lock.stem}.pt.99.part").write_bytes(b"half")
    assert torch.equal(cache("thing", {}, value)["x"], value()["x"])
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".lock", ".pt"]


def test_two_holders_of_one_folder_in_one_process_are_refused(tmp_path):
    second = RunFolder(tmp_path, "run", {"a": 1}, {"device": "cpu"})
    with RunFolder(tmp_path, "run", {"a": 1}, {"device": "cpu"}), pytest.raises(StoreError, match="in use by another"):
        second.__enter__()
    with RunFolder(tmp_path, "run", {"a": 1}, {"device": "cpu"}) as again:  # free again after the block
        assert again.stages == 0


def test_checkpoints_are_read_without_running_code(tmp_path):
    """A pickle that would call something when it is loaded is refused."""
    import pickle

    with pytest.raises(pickle.UnpicklingError):
        store.from_bytes(store.to_bytes({"bad": os.system}))
    assert np.array_equal(store.from_bytes(store.to_bytes(value()))["x"], value()["x"])


def runs_of_alkit(root):
    """A folder as runs and notebooks leave it, with what a kill leaves."""
    experiment.finish(tiny(), root=root)
    representation = root / "cache" / "representation-0a1b2c3d4e5f.pt"
    for path in (representation, root / "notebooks" / "tiny-smoke" / "04_curves.ipynb",
                 root / "figures" / "tiny" / "smoke-curves.html", root / "figures" / "tiny" / "plotly.min.js",
                 root / "figures" / "results" / "tiny-smoke.csv"):  # fmt: skip
        store.writable(path.parent)
        store.write_atomic(path, b"made by alkit")
    (run_folder(root) / ".progress.json.77.part").write_text("half")
    representation.rename(representation.with_name(f".{representation.name}.77.part"))


def test_remove_deletes_runs(tmp_path):
    runs_of_alkit(tmp_path / "runs")
    assert cleaning.remove(tmp_path / "runs") == []
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "foreign",
    ["thesis.tex", ".git", "data/mnist.gz", "notebooks/mine.ipynb", "notebooks/tiny-smoke/notes.txt",
     "figures/photo.jpg", "figures/tiny/smoke-curves.png", "cells/notes.txt", "cache/README", ".thesis.tex.1.part",
     "figures/results/measured.csv"],
)  # fmt: skip
def test_remove_deletes_what_alkit_wrote_and_names_and_keeps_all_else(foreign, tmp_path):
    runs_of_alkit(tmp_path / "runs")
    path = tmp_path / "runs" / foreign
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("not alkit's")
    assert cleaning.remove(tmp_path / "runs") == [path]
    assert [one for one in (tmp_path / "runs").rglob("*") if not one.is_dir()] == [path]


def test_remove_keeps_data_that_lie_among_the_runs(tmp_path):
    """Downloads, and the answers of a person, cannot be made again by a run."""
    runs_of_alkit(tmp_path / "runs")
    data = tmp_path / "runs" / "data"
    store.writable(data, "ALKIT_DATA")
    store.write_atomic(data / "digits.npz", b"downloaded")
    assert cleaning.remove(tmp_path / "runs") == [data / "digits.npz"]


def test_run_of_a_version_without_lists_is_read_and_stays_unless_it_is_gone_on_with(tmp_path):
    records = experiment.finish(tiny(), root=tmp_path / "runs")
    for path in [*(tmp_path / "runs").rglob(store.OWN)]:
        path.unlink()
    before = contents(tmp_path)
    assert {path.name for path in cleaning.remove(tmp_path / "runs")} > {"config.json", "picks.csv", "stages.csv"}
    assert contents(tmp_path) == before
    assert experiment.finished(tiny(), root=tmp_path / "runs")
    assert experiment.finish(tiny(), root=tmp_path / "runs") == records
    stay = cleaning.remove(tmp_path / "runs")
    assert all(path.match("cache/*") or path.match("learner.*.pt") for path in stay), stay


def test_remove_follows_no_link(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("mine")
    (tmp_path / "mine" / store.OWN).write_text("file\n")
    runs_of_alkit(tmp_path / "runs")
    (tmp_path / "link").symlink_to(tmp_path / "runs")
    before = contents(tmp_path)
    with pytest.raises(StoreError, match="delete it by hand"):
        cleaning.remove(tmp_path / "link")
    assert contents(tmp_path) == before
    table = tmp_path / "runs" / "figures" / "results" / "tiny-smoke.csv"
    table.unlink()
    table.symlink_to(tmp_path / "mine" / "file")  # under a name that alkit has written
    (tmp_path / "runs" / "mixed").symlink_to(tmp_path / "mine")
    assert cleaning.remove(tmp_path / "runs") == [table, tmp_path / "runs" / "mixed"]
    assert (tmp_path / "mine" / "file").read_text() == "mine"
