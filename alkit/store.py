"""What a run leaves on disk, written so that a kill at any moment loses at most the stage in hand.

One directory per configuration, named by its hash:

    config.json     every option and number, versions, device, fingerprint; written first
    picks.csv       one row per answer: stage, position in stage, pool index, kind, label
    stages.csv      one row per stage: cumulative composition and cost, accuracy
    seconds.csv     one row per stage: seconds by phase
    learner.*.pt    the learner's tensors after the last finished stage
    progress.json   the journal: how far each file above is valid, and its SHA-256

Seconds differ from run to run; they have a file of their own, so that runs of one configuration on one machine leave
equal bytes in the other two. The tables only ever grow. A stage counts once `progress.json` has been replaced. What
lies behind the journal's marks was written by a stage that was killed, and is cut off on the next start.

Each folder below the runs has a list, `.alkit`, of the files that alkit has written there; `clean` deletes no others.
"""

import contextlib
import csv
import hashlib
import io
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

PICKS = ("stage", "position", "index", "kind", "label")
STAGES = ("stage", "n_id", "n_ambiguous", "n_ood", "cost", "accuracy", "accuracy_k1")
SECONDS = ("stage", "train_seconds", "extract_seconds", "choose_seconds")
OWN = ".alkit"  # the list of alkit's own files in a folder, a name a line
TABLES = {"picks.csv": PICKS, "stages.csv": STAGES, "seconds.csv": SECONDS}


class StoreError(RuntimeError):
    """Something on disk is not what this run needs; the message names the file and what to do."""


class InUse(StoreError):
    """Another process is at work in the folder."""


def writable(folder: Path, setting: str = "ALKIT_RUNS", *, runs: bool = False) -> Path:
    """`folder`, made if need be. StoreError where it cannot be written to; `setting` names what chooses it.

    From then on alkit's own files in it are listed (`record`), if it is where `runs` go or a folder below that.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            if setting == "ALKIT_RUNS" and (runs or any((above / OWN).is_file() for above in folder.parents)):
                (folder / OWN).touch()
            return folder
    except OSError as error:
        reason = error.strerror or error
        raise StoreError(f"cannot write to {folder}: {reason}; choose another folder ({setting})") from error


def record(path: Path) -> None:
    """Put `path`, which is about to be written, on its folder's list of alkit's own files, if the folder has one."""
    own = path.parent / OWN
    with contextlib.suppress(OSError):  # a full or closed folder, of which the write itself will tell
        if own.is_file() and path.name not in own.read_text().splitlines():
            with open(own, "a") as file:
                file.write(f"{path.name}\n")


@contextlib.contextmanager
def lock(path: Path, *, wait: bool = True) -> Iterator[None]:
    """A block that one process at a time can enter, by the lock file `path`; a process that ends lets go of it.

    InUse where another process is in it and `wait` is false. StoreError where `path` can be no lock file: it is a
    directory, a link, or another user's.
    """
    record(path)
    held = FileLock(path, timeout=-1 if wait else 0)
    try:
        held.acquire()
    except Timeout:
        raise InUse(f"{path.parent} is in use by another process; wait for it, or stop it") from None
    except OSError as error:
        reason = "it is a link" if path.is_symlink() else error.strerror or error
        raise StoreError(f"cannot lock {path}: {reason}; delete it, or choose another folder") from error
    try:
        yield
    finally:
        held.release()


def write_atomic(path: Path, data: bytes) -> None:
    """`data` at `path`, whole or not at all. StoreError where the folder is full or closed; what was there stays."""
    record(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        reason = error.strerror or error
        raise StoreError(f"could not write {path}: {reason}; free some space or choose another folder") from error


def to_bytes(state) -> bytes:
    """Tensors (and plain Python values) as the bytes of a file that `from_bytes` reads."""
    import torch  # here, not above: the command line answers at once where no tensor is read

    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def from_bytes(data: bytes, device: str = "cpu"):
    """What `to_bytes` was given, its tensors on `device`; unpickles nothing but tensors and plain values."""
    import torch

    return torch.load(io.BytesIO(data), map_location=device, weights_only=True)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def canonical(value) -> str:
    """JSON with sorted keys and no white space, so that equal settings are equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def sealed(journal: dict) -> dict:
    """`journal` with the SHA-256 of all it says, so that an edit of it is found out."""
    content = {name: value for name, value in journal.items() if name != "seal"}
    return {**content, "seal": sha256(canonical(content).encode())}


def csv_bytes(rows: list[dict], columns: tuple[str, ...], *, header: bool) -> bytes:
    """The rows as lines of CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    if header:
        writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


class Cache:
    """What several runs share, such as a seed's stage-0 representation: computed once, even by two at once."""

    def __init__(self, folder: Path, **shared):
        self.folder, self.shared = Path(folder), shared

    def __call__(self, name: str, inputs: dict, build: Callable[[], dict]) -> dict:
        """What `build()` gave for these inputs, from disk where it is there. StoreError where the file is damaged."""
        inputs = json.loads(canonical({**self.shared, **inputs}))
        stem = self.folder / f"{name}-{sha256(canonical(inputs).encode())[:12]}"
        note, body = stem.with_suffix(".json"), stem.with_suffix(".pt")
        writable(self.folder)
        with lock(stem.with_suffix(".lock")):
            if note.exists():
                return self._read(note, body, inputs)
            for left in self.folder.glob(f".{stem.name}.*.part"):  # by a process that was killed: the lock is ours
                left.unlink()
            state = build()
            data = to_bytes(state)
            write_atomic(body, data)
            write_atomic(note, json.dumps({"inputs": inputs, "sha256": sha256(data)}, indent=1).encode())
            return state

    @staticmethod
    def _read(note: Path, body: Path, inputs: dict) -> dict:
        try:
            known = json.loads(note.read_bytes())
            data = body.read_bytes()
        except (OSError, ValueError) as error:
            raise StoreError(f"{note} or {body.name} cannot be read ({error}); delete both and run again") from error
        if known != {"inputs": inputs, "sha256": sha256(data)}:
            raise StoreError(f"{body} is damaged or not what {note.name} says; delete both and run again")
        return from_bytes(data)


def journal(folder: Path) -> dict:
    """What the `progress.json` of a run directory says, unchecked; {} where there is none, or none that can be read."""
    with contextlib.suppress(OSError, ValueError):
        return json.loads((folder / "progress.json").read_bytes())
    return {}


class RunFolder:
    """One run directory, held by one process at a time. Use as a context manager."""

    def __init__(self, root: Path, name: str, config: dict, about: dict):
        """`config` decides the directory's name and must match on every later start; `about` is only recorded."""
        self.config = json.loads(canonical(config))
        self.about = about
        self.path = Path(root) / f"{name}-{sha256(canonical(self.config).encode())[:12]}"
        self.progress: dict[str, Any] = {"stages": 0, "bytes": {}, "sha256": {}, "learner": None}

    def __enter__(self):
        writable(self.path)
        with contextlib.ExitStack() as stack:
            stack.enter_context(lock(self.path / ".lock", wait=False))
            self._open()
            self._held = stack.pop_all()
        return self

    def __exit__(self, *_):
        self._held.close()

    def _open(self) -> None:
        file = self.path / "config.json"
        if not file.exists():
            write_atomic(file, json.dumps({"config": self.config, "about": self.about}, indent=1).encode())
        self.load()
        for name in ("config.json", "progress.json", *TABLES):  # also those of a run that began without a list
            record(self.path / name)
        self._tidy()

    def load(self) -> None:
        """Take in what is on disk, every byte held against the journal; needs no lock and changes nothing there."""
        known = self._json(self.path / "config.json", "config", "about")
        if known["config"] != self.config:
            keys = sorted(set(known["config"]) | set(self.config))
            wrong = [k for k in keys if known["config"].get(k) != self.config.get(k)]
            raise StoreError(
                f"{self.path} belongs to another configuration (differs in: {', '.join(wrong)}); "
                "use another folder, or delete that one if it is not needed"
            )
        self.about = known["about"]  # of the machine that began the run
        journal = self.path / "progress.json"
        if journal.exists():
            self.progress = self._json(journal, "bytes", "sha256")
            if self.progress != sealed(self.progress):
                raise StoreError(f"{journal} was edited; delete {self.path} to start this run again")
            self._check_tables()

    def _json(self, file: Path, *parts: str) -> dict:
        """The object in `file`, which must hold the objects `parts`."""
        try:
            value = json.loads(file.read_bytes())
            if missing := [part for part in parts if not isinstance(value[part], dict)]:
                raise ValueError(f"no {', '.join(missing)} in it")
            return value
        except (OSError, ValueError, TypeError, LookupError) as error:
            raise StoreError(f"{file} cannot be read ({error}); delete {self.path} to start this run again") from error

    def _check_tables(self) -> None:
        for name, length in self.progress["bytes"].items():
            data = self._prefix(name, length)
            if len(data) < length or sha256(data) != self.progress["sha256"][name]:
                raise StoreError(
                    f"{self.path / name} was truncated or edited since it was written; "
                    f"put the original back, or delete {self.path} to start this run again"
                )

    def _prefix(self, name: str, length: int) -> bytes:
        """The first `length` bytes of a file (-1 = all), fewer where it is shorter, none where it cannot be read."""
        try:
            with open(self.path / name, "rb") as file:
                return file.read(length)
        except OSError:
            return b""

    def _tidy(self) -> None:
        """Remove what a killed process left: rows of its stage, half-written files, checkpoints not in use."""
        for name in TABLES:
            if (self.path / name).exists():
                os.truncate(self.path / name, self.progress["bytes"].get(name, 0))
        for path in (*self.path.glob(".*.part"), *self.path.glob("learner.*.pt")):
            if path.name != self.progress["learner"]:
                path.unlink()

    @property
    def stages(self) -> int:
        """Number of finished stages."""
        return self.progress["stages"]

    def read(self, table: str) -> list[dict]:
        """The rows of "picks.csv", "stages.csv" or "seconds.csv" that finished stages wrote, as text."""
        data = self._prefix(table, self.progress["bytes"].get(table, 0))
        return list(csv.DictReader(io.StringIO(data.decode())))

    def learner_state(self, device: str = "cpu"):
        """The learner's tensors after the last finished stage. StoreError where the file is damaged."""
        name = self.progress["learner"]
        data = self._prefix(name, -1)
        if sha256(data) != self.progress["sha256"]["learner"]:
            remedy = f"delete {self.path} to start this run again"
            raise StoreError(f"{self.path / name} is missing, truncated or edited; {remedy}")
        return from_bytes(data, device)

    @property
    def done(self) -> bool:
        """Whether the run's last stage is on disk; readable without entering the folder."""
        return bool(journal(self.path).get("done"))

    def commit(self, *, picks: list[dict], stage: dict, seconds: dict, learner: dict, done: bool) -> None:
        """Make one stage count, whole or, if the process dies on the way, not at all. `done`: it was the last."""
        number = self.stages
        name, data = f"learner.{number}.pt", to_bytes(learner)
        write_atomic(self.path / name, data)
        new: dict[str, Any] = {
            "stages": number + 1,
            "done": done,
            "bytes": {},
            "sha256": {"learner": sha256(data)},
            "learner": name,
        }
        for table, rows in (("picks.csv", picks), ("stages.csv", [stage]), ("seconds.csv", [seconds])):
            self._append(table, csv_bytes(rows, TABLES[table], header=number == 0))
            whole = (self.path / table).read_bytes()
            new["bytes"][table], new["sha256"][table] = len(whole), sha256(whole)
        write_atomic(self.path / "progress.json", json.dumps(sealed(new), indent=1).encode())
        self.progress = new
        for old in self.path.glob("learner.*.pt"):
            if old.name != name:
                old.unlink()

    def _append(self, table: str, data: bytes) -> None:
        path = self.path / table
        try:
            with open(path, "ab") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            remedy = "free some space and run again: it goes on from the last finished stage"
            raise StoreError(f"could not write {path}: {error.strerror or error}; {remedy}") from error
