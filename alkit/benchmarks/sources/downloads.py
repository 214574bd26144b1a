"""Files from the network and out of archives: whole and checked, or an error that says how to go on without them.

Archives are read in memory, never unpacked to disk; one that holds an unsafe name or a link is refused as a whole.
"""

import contextlib
import hashlib
import http.client
import os
import re
import socket
import stat
import tarfile
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from alkit.store import StoreError

TIMEOUT = 60  # seconds without a byte, after which a server is given up
MEMBER_BYTES = 1 << 26  # the largest file that is read out of an archive: no image of ours is near it
ZIP_BEGINS = b"PK\x03\x04"


def download(urls: tuple[str, ...], path: Path, *, size: int, md5: str) -> Path:
    """The file of `size` bytes and MD5 `md5`, from the first of `urls` that has it, written to `path`.

    StoreError, with nothing left behind, where none has it; it says what each gave instead.
    """
    part, problems = path.with_name(f".{path.name}.{os.getpid()}.part"), []
    for url in urls:
        try:
            digest, received = _transfer(url, part, size)
            if (digest, received) == (md5, size):
                os.replace(part, path)
                return path
            problems.append(f"{url} gave {received} bytes of MD5 {digest}, not {size} of {md5}")
        except (OSError, http.client.HTTPException, ValueError) as error:
            problems.append(f"{url}: {error}")
        finally:
            part.unlink(missing_ok=True)
    raise StoreError(f"could not download {path.name}: {'; '.join(problems)}")


def _transfer(url: str, part: Path, size: int) -> tuple[str, int]:
    """Copy `url` to `part`, at most one byte more than `size`: its MD5 and how much it was."""
    digest, received = hashlib.md5(usedforsecurity=False), 0
    with urllib.request.urlopen(url, timeout=TIMEOUT) as answer, open(part, "wb") as file:
        while received <= size and (chunk := answer.read(min(1 << 18, size + 1 - received))):
            file.write(chunk)
            digest.update(chunk)
            received += len(chunk)
    return digest.hexdigest(), received


def matches(path: Path, md5: str) -> bool:
    """Whether the file at `path` has this MD5."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest() == md5


@contextlib.contextmanager
def patience():
    """A block in which downloaders without a time limit, as torchvision's, give a silent server up after `TIMEOUT`."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def files_in(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """Name (relative, with slashes) and content of the files that are `wanted` by their names, of no others.

    `path` is a directory, whose files come in its order, or a zip or tar archive. StoreError where a file cannot be
    read, or an archive is damaged or holds an absolute name, one with "..", a link or a device.
    """
    try:
        if path.is_dir():
            yield from _directory(path, wanted)
        elif zipfile.is_zipfile(path):
            yield from _zip(path, wanted)
        elif _begins(path, ZIP_BEGINS):
            raise StoreError(f"{path} is only part of a zip archive, for its end is missing; get it again")
        else:
            yield from _tar(path, wanted)
    except StoreError:
        raise
    except tarfile.ReadError as error:  # its own words list what each of four compressions found
        raise StoreError(f"{path} is neither a zip nor a tar archive, or only part of one; get it again") from error
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as error:
        raise StoreError(f"{path} cannot be read, is only part of an archive, or locked ({error})") from error


def _begins(path: Path, beginning: bytes) -> bool:
    with open(path, "rb") as file:
        return file.read(len(beginning)) == beginning


def _directory(path: Path, wanted):
    for file in sorted(path.rglob("*")):
        name = file.relative_to(path).as_posix()
        if wanted(name) and file.is_file():
            yield name, file.read_bytes()


def _zip(path: Path, wanted):
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        for member in members:
            kind = stat.S_IFMT(member.external_attr >> 16)
            _check(path, member.filename, member.file_size, regular=kind in (0, stat.S_IFREG, stat.S_IFDIR))
        for member in members:
            if wanted(member.filename) and not member.is_dir():
                yield member.filename, archive.read(member)


def _tar(path: Path, wanted):
    with tarfile.open(path) as archive:
        members = archive.getmembers()
        for member in members:
            _check(path, member.name, member.size, regular=member.isreg() or member.isdir())
        for member in members:
            if wanted(member.name) and member.isreg():
                yield member.name, archive.extractfile(member).read()


def _check(path: Path, name: str, size: int, *, regular: bool) -> None:
    plain = name.replace("\\", "/")
    unsafe = plain.startswith("/") or ".." in plain.split("/") or re.match("[A-Za-z]:", plain)
    if unsafe or not regular or size > MEMBER_BYTES:
        odd = "too large a file" if regular else "a link or a device"
        what = "an absolute path or one with '..'" if unsafe else odd
        raise StoreError(f"{path} holds {what} ({name!r}): it is not what it should be, and nothing of it was used")
