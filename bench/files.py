"""Files that are whole or absent: written under a temporary name, flushed to disk, then renamed.

Of a directory the checksums are flushed, which tell what a power failure has left of its files.
"""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import json
import math
import os
import shutil
import socket
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, TypeVar

from bench.errors import BenchError

SUMS = "SHA256SUMS"  # in a directory, of all its files; of a file by itself beside it, see :func:`seal`

T = TypeVar("T")


@contextmanager
def atomic(path: str | Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open ``path`` for writing; it appears, complete, when the block ends, and not at all if the block fails.

    A symbolic link is followed; what is there and is no regular file (a device, a directory) is never replaced.
    """
    path = _replaceable(Path(path))
    with _writing(path):
        handle, temporary = _in(path.parent, lambda: tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}."))
        try:
            text = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
            with open(handle, mode, **text) as stream:  # type: ignore[call-overload]
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            umask = os.umask(0)
            os.umask(umask)
            os.chmod(temporary, 0o666 & ~umask)
            os.replace(temporary, path)
        finally:
            Path(temporary).unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """:class:`BenchError` where :func:`atomic` could not write now; nothing is left of the try."""
    with _writing(path):
        real = _replaceable(path)
        there = next(folder for folder in real.parents if folder.exists())
        with tempfile.NamedTemporaryFile(dir=there, prefix=f".{real.name}."):
            pass


def _replaceable(path: Path) -> Path:
    """The file that a path stands for, links followed; :class:`BenchError` where what is there is none."""
    real = Path(os.path.realpath(path))
    if real.exists() and not real.is_file():
        raise BenchError(f"cannot write {path}: it is there and no regular file")
    return real


@contextmanager
def atomic_directory(path: str | Path) -> Iterator[Path]:
    """A directory that appears, complete, when the block ends; an older one in its place is replaced.

    It holds the checksums of its files, for :func:`check`.
    """
    path = Path(path)
    with _writing(path):
        temporary = Path(_in(path.parent, lambda: tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.")))
        try:
            yield temporary
            _write_sums(temporary / SUMS, sorted(path for path in temporary.rglob("*") if path.is_file()))
            temporary.chmod(0o755)
            if path.exists():
                older = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
                os.replace(path, older)
                os.replace(temporary, path)
                shutil.rmtree(older)
            else:
                os.replace(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _in(folder: Path, make: Callable[[], T]) -> T:
    """What is made in a folder, which is made before; :func:`claimed` of another process may remove it in between."""
    for _ in range(100):
        with suppress(FileNotFoundError, FileExistsError):
            folder.mkdir(parents=True, exist_ok=True)
            return make()
    folder.mkdir(parents=True, exist_ok=True)  # there is another reason
    return make()


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """What cannot be written is one line that names it."""
    try:
        yield
    except OSError as error:
        raise BenchError(f"cannot write {path}: {error.strerror or error}") from error


@contextmanager
def claimed(path: Path) -> Iterator[None]:
    """While the block, which writes the file ``path``, runs, another process's claim to it is refused.

    The claim is a lock of ``.name.lock`` beside it, which network file systems see and a killed process loses. Where a
    file system knows no locks, none is taken. Folders that are made for it and in which nothing was written are gone
    with it.
    """
    made = [folder for folder in path.parents if not folder.exists()]  # the innermost first
    try:
        with _locked(path):
            yield
    finally:
        for folder in made:
            with suppress(OSError):  # something is in it, or another process has removed it
                folder.rmdir()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """The lock of :func:`claimed`."""
    lock = path.with_name(f".{path.name}.lock")
    with _writing(path):
        stream = _in(path.parent, lambda: open(lock, "a+b", buffering=0))  # noqa: SIM115
    with stream:
        if not _has(stream, lock):
            stream.seek(0)
            who = stream.read().decode() or "another process"
            raise BenchError(f"{path}: {who} is writing it: wait for that, or end it, and run again")
        try:
            stream.truncate(0)
            with suppress(OSError):  # a full disk: what is to be written there will say so
                stream.write(f"process {os.getpid()} on {socket.gethostname()}".encode())
            yield
        finally:
            lock.unlink(missing_ok=True)


def _has(stream: IO[bytes], lock: Path) -> bool:
    """Whether this process may write: it has locked the file that the lock's name is of, or there are no locks."""
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # the file system knows no locks
        return True
    try:
        return os.path.samestat(os.fstat(stream.fileno()), lock.stat())
    except FileNotFoundError:  # whoever had it has ended since
        return False


def write_json(path: str | Path, value: Any) -> None:
    """Stable, readable JSON: sorted keys, non-finite numbers refused."""
    text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    with atomic(path) as stream:
        stream.write(text + "\n")


def json_number(number: float) -> float | str:
    """A number that is not finite as ``"inf"``, ``"-inf"`` or ``"nan"``: strict JSON has no other way."""
    return number if math.isfinite(number) else str(float(number))


def read_json(path: str | Path, what: str = "file") -> Any:
    """JSON from disk; a missing or broken file is one clear line."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise BenchError(f"{what} {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise BenchError(f"{what} {path}: not valid JSON ({error})") from None


def read_bytes(path: str | Path, what: str = "file") -> bytes:
    """A file as it is; what cannot be read is one clear line."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise BenchError(f"{what} {path}: cannot be read ({error.strerror or error})") from None


def read_lines(path: str | Path, what: str = "file") -> list[str]:
    """The lines of a UTF-8 file, plain or ``.gz``; see :func:`lines_of`."""
    return lines_of(read_bytes(path, what), path, what)


def lines_of(data: bytes, path: str | Path, what: str = "file") -> list[str]:
    r"""The lines of UTF-8 bytes read from ``path``, gzipped where that ends in ``.gz``. Lines may be empty.

    Only ``\n`` and ``\r\n`` end a line: a text may hold any other character that Unicode counts as a line break. A byte
    order mark at the start is no text.
    """
    try:
        data = gzip.decompress(data) if str(path).endswith(".gz") else data
        text = data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BenchError(f"{what} {path}: line {line} is not UTF-8") from None
    except (OSError, EOFError, zlib.error) as error:
        raise BenchError(f"{what} {path}: cannot be read ({error})") from None
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


def sha256(path: str | Path) -> str:
    """Hex digest of a file's bytes."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def seal(*paths: Path) -> None:
    """Write the checksum of each file beside it, as ``.name.sha256``: lines that ``sha256sum --check`` reads."""
    for path in paths:
        _write_sums(_beside(path), [path])


def check(*paths: Path, remedy: str = "delete {path} and run again") -> None:
    """Raise where a file, or one of a directory, is not what was written; :class:`BenchError` says what to do.

    What has no checksum is taken as it is, and what is not there is for its reader to miss.
    """
    for path in paths:
        beside = [path / SUMS] if path.is_dir() else [_beside(path), path.parent / SUMS]
        sums = next((file for file in beside if file.exists()), None)
        if sums is None or not path.exists():
            continue
        listed = [line.partition("  ") for line in read_lines(sums, "checksums")]
        wanted = [(digest, name) for digest, _, name in listed if path.is_dir() or name == path.name]
        for digest, name in wanted or [("", "")]:
            file = sums.parent / name
            if not file.is_file() or sha256(file) != digest:
                raise BenchError(f"{file}: changed since it was written, by {sums}; {remedy.format(path=path)}")


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.sha256")


def _write_sums(out: Path, files: list[Path]) -> None:
    with atomic(out) as stream:
        stream.writelines(f"{sha256(file)}  {file.relative_to(out.parent).as_posix()}\n" for file in files)
