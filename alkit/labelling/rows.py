"""Rows of numbers that are known by their image: in a file that only grows, and loses at most its end in a kill."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from alkit.store import StoreError


class Rows:
    """A row of `shape` and `dtype` for each image that ever got one, by its id, in the file `path`."""

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: str):
        self.path, self.record = path, np.dtype([("id", "u1", 32), ("row", dtype, shape)])

    def _records(self) -> np.ndarray:
        whole = self.path.stat().st_size // self.record.itemsize if self.path.exists() else 0
        return np.memmap(self.path, self.record, "r", shape=(whole,)) if whole else np.empty(0, self.record)

    def known(self) -> dict[str, np.ndarray]:
        """The rows by id, memory-mapped."""
        records = self._records()
        return {bytes(one).hex(): row for one, row in zip(np.asarray(records["id"]), records["row"], strict=True)}

    def of(self, ids: tuple[str, ...]) -> np.ndarray:
        """The rows of these images, in their order, in memory. KeyError where one has none."""
        records = self._records()
        place = {bytes(one).hex(): number for number, one in enumerate(np.asarray(records["id"]))}
        return records["row"][[place[one] for one in ids]]

    def append(self, made: Mapping[str, np.ndarray]) -> None:
        """Keep the rows of further images. StoreError on a full disk."""
        records = np.zeros(len(made), self.record)
        for record, (known, row) in zip(records, made.items(), strict=True):
            record["id"], record["row"] = np.frombuffer(bytes.fromhex(known), np.uint8), row
        try:
            with open(self.path, "ab") as file:
                file.truncate(file.tell() // self.record.itemsize * self.record.itemsize)  # a kill left half a row
                file.write(records.tobytes())
        except OSError as error:
            raise StoreError(f"could not write {self.path}: {error.strerror}; free some space") from error
