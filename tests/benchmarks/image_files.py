"""Small stand-ins for the files of public image sources, and a server on this machine that hands them out."""

import contextlib
import gzip
import hashlib
import io
import pickle
import struct
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
from PIL import Image

from alkit.benchmarks.sources import decode

NOWHERE = "http://127.0.0.1:9/"  # the discard port: refused at once


def noise(count, *shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "png")
    return buffer.getvalue()


def tar(files: dict[str, bytes], *odd: tarfile.TarInfo) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        for member in odd:
            archive.addfile(member)
    return buffer.getvalue()


def zipped(files: dict) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def put(folder, files: dict[str, bytes]):
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def idx(array: np.ndarray) -> bytes:
    """MNIST's file format, compressed."""
    return gzip.compress(struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes(), mtime=0)


def mnist(monkeypatch, *, train=20, test=10, url=NOWHERE) -> dict[str, bytes]:
    """MNIST's four raw files with few images, which torchvision is told to expect, and to look for at `url`."""
    from torchvision.datasets import MNIST

    files = {}
    for split, count, seed in (("train", train, 1), ("t10k", test, 2)):
        files[f"{split}-images-idx3-ubyte.gz"] = idx(noise(count, 28, 28, seed=seed))
        files[f"{split}-labels-idx1-ubyte.gz"] = idx(np.arange(count, dtype=np.uint8) % 10)
    monkeypatch.setattr(MNIST, "resources", [(name, md5(data)) for name, data in files.items()])
    monkeypatch.setattr(MNIST, "mirrors", [url])
    return files


def cifar100(monkeypatch, *, url=NOWHERE) -> bytes:
    """CIFAR-100's archive with 20 + 10 images of 10 classes in 2 superclasses, which torchvision is told to expect."""
    from torchvision.datasets import CIFAR100

    files = {"meta": {"fine_label_names": list("abcdefghij"), "coarse_label_names": ["first", "second"]}}
    for split, count in (("train", 20), ("test", 10)):
        labels = [i % 10 for i in range(count)]
        coarse = [label // 5 for label in labels]
        files[split] = {"data": noise(count, 3072), "fine_labels": labels, "coarse_labels": coarse}
    stored = {name: pickle.dumps(value) for name, value in files.items()}
    archive = tar({f"cifar-100-python/{name}": data for name, data in stored.items()})
    for name, value in (
        ("url", f"{url}cifar-100-python.tar.gz"), ("tgz_md5", md5(archive)),
        ("train_list", [["train", md5(stored["train"])]]), ("test_list", [["test", md5(stored["test"])]]),
        ("meta", {**CIFAR100.meta, "md5": md5(stored["meta"])}),
    ):  # fmt: skip
        monkeypatch.setattr(CIFAR100, name, value)
    return archive


def notmnist(monkeypatch, *, per_class=2, url=NOWHERE, change=None) -> bytes:
    """notMNIST_small.tar.gz with few images and its two broken files, which the downloader is told to expect."""
    letters = {
        f"notMNIST_small/{letter}/{i}.png": png(noise(1, 28, 28, seed=10 * i + k)[0])
        for k, letter in enumerate("ABCDEFGHIJ")
        for i in range(per_class)
    }
    broken = {f"notMNIST_small/{name}": b"" for name in decode.NOTMNIST_BROKEN}
    archive = tar({**letters, **broken, **(change or {})})
    monkeypatch.setattr(decode, "NOTMNIST_URLS", (f"{url}{decode.NOTMNIST}",))
    monkeypatch.setattr(decode, "NOTMNIST_IMAGES", 10 * per_class)
    monkeypatch.setattr(decode, "NOTMNIST_SIZE", len(archive))
    monkeypatch.setattr(decode, "NOTMNIST_MD5", md5(archive))
    return archive


class Server:
    """Files by name at `url`; `cut` ends each answer after so many bytes, though the header says otherwise."""

    def __init__(self, url: str):
        self.url, self.files, self.cut, self.asked = url, {}, None, []


@contextlib.contextmanager
def serving():
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            name = self.path.lstrip("/")
            data = server.files.get(name)
            if data is None:
                return self.send_error(404)
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command == "GET":
                server.asked.append(name)
                self.wfile.write(data[: server.cut])

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        server = Server(f"http://127.0.0.1:{http.server_port}/")
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()
