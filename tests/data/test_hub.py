"""Fetching from the hub: retries, resuming, the cache, and what a user reads where it fails. No network is needed."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.data import download, hub
from bench.errors import BenchError
from tests.data.hub_server import Server, point_to, serving

REVISION = "0123456789abcdef0123456789abcdef01234567"
HUB = hub.Hub("owner/name", REVISION, "data/{split}-*.parquet", ("text",), splits=("train", "test"))
ROWS = {"train": [f"text  {i}\n" for i in range(300)], "test": ["one", None]}


def table(**columns: list) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.table(columns), stream)
    return stream.getvalue()


FILES = {
    "data/train-00000-of-00002.parquet": table(text=ROWS["train"][:200], label=list(range(200))),
    "data/train-00001-of-00002.parquet": table(text=ROWS["train"][200:], label=list(range(100))),
    "data/test-00000-of-00001.parquet": table(text=ROWS["test"], label=[0, 1]),
    "name.py": b"raise SystemExit('code of the hub was run')",
}


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that would have been slept."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    return slept


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waits: list[float]) -> Iterator[Server]:
    with serving(FILES, REVISION) as running:
        point_to(running.url, tmp_path / "cache", monkeypatch)
        yield running


def test_what_is_wanted_is_fetched_once(server: Server) -> None:
    assert hub.cached(HUB) is None
    folder = hub.fetch(HUB)
    fetched = [str(path.relative_to(folder)) for path in sorted(folder.rglob("*")) if path.is_file()]
    assert fetched == sorted(path for path in FILES if path.endswith(".parquet"))
    assert all((folder / path).read_bytes() == FILES[path] for path in fetched)
    rows, known = hub.read_parquet(HUB, folder)
    assert [text for (text,) in rows["train"]] == [f"text {i}" for i in range(300)] and known == []
    assert rows["test"] == [("one",), ("",)]
    asked = server.asked.copy()
    assert hub.fetch(HUB) == hub.cached(HUB) == folder and server.asked == asked


def test_a_failure_that_passes_costs_time_alone(server: Server, waits: list[float]) -> None:
    test, train = "data/test-00000-of-00001.parquet", "data/train-00000-of-00002.parquet"
    server.failures.update({"GET tree": 2, f"HEAD {test}": 2, f"GET {train}": 2})
    folder = hub.fetch(HUB)
    assert all((folder / path).read_bytes() == data for path, data in FILES.items() if path != "name.py")
    assert not server.failures.total() and len(waits) >= 4


def test_a_connection_that_breaks_off_goes_on_where_it_was(server: Server) -> None:
    path = "data/train-00000-of-00002.parquet"
    server.cut = {path}
    folder = hub.fetch(HUB)
    assert (folder / path).read_bytes() == FILES[path]
    (resumed,) = server.ranges
    start = int(resumed.removeprefix(f"{path} bytes=").rstrip("-"))
    assert 0 < start <= len(FILES[path]) // 2


def test_a_hub_that_stays_down_leaves_no_half_file(server: Server, waits: list[float]) -> None:
    request = "GET data/train-00001-of-00002.parquet"
    server.failures[request] = 1000
    with pytest.raises(BenchError, match=r"^cannot fetch owner/name@0123456 \(.*503.*\): give its files as data_dir"):
        hub.fetch(HUB)
    assert server.asked[request] == len(download.WAITS) + 1 and waits == list(download.WAITS)
    assert hub.cached(HUB) is None
    before = server.asked["GET data/train-00000-of-00002.parquet"]
    server.failures.clear()
    assert hub.fetch(HUB) == hub.cached(HUB)
    assert server.asked["GET data/train-00000-of-00002.parquet"] == before == 1  # what is whole stays


def test_no_such_revision_is_not_asked_for_again(server: Server, waits: list[float]) -> None:
    with pytest.raises(BenchError, match=r"^cannot fetch owner/name@fffffff \(.*404") as caught:
        hub.fetch(hub.Hub("owner/name", "f" * 40, HUB.files, HUB.columns))
    assert "\n" not in str(caught.value) and waits == []


def test_what_is_refused_is_not_asked_for_again(server: Server, waits: list[float]) -> None:
    server.failures["GET data/test-00000-of-00001.parquet"] = 1
    server.status = 403
    with pytest.raises(BenchError, match=r"^cannot fetch owner/name@0123456 \(.*403"):
        hub.fetch(HUB)
    assert waits == []


def test_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waits: list[float]) -> None:
    with serving({}, REVISION) as gone:
        url = gone.url
    point_to(url, tmp_path, monkeypatch)
    with pytest.raises(
        BenchError, match=r"^cannot fetch owner/name@0123456 \(.*refused\): give its files as"
    ) as caught:
        hub.fetch(HUB)
    assert "\n" not in str(caught.value)


def test_a_full_disk_is_the_systems_own_error(server: Server, monkeypatch: pytest.MonkeyPatch, waits) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "blob")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", full)
    with pytest.raises(OSError, match="No space left"):
        hub.fetch(HUB)
    assert waits == []


def test_a_repository_without_the_files(server: Server) -> None:
    with pytest.raises(BenchError, match=r"owner/name@0123456 lacks some of other/train-\*\.parquet"):
        hub.fetch(hub.Hub("owner/name", REVISION, "other/{split}-*.parquet", ("text",)))


def laid_out(folder: Path, without: str = "") -> Path:
    for path, data in FILES.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        if path != without:
            (folder / path).write_bytes(data)
    return folder


def test_a_folder_as_the_repository_or_without_its_first_folder(tmp_path: Path) -> None:
    laid_out(tmp_path)
    assert hub.read_parquet(HUB, tmp_path) == hub.read_parquet(HUB, tmp_path / "data")


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("data/train-00001-of-00002.parquet", r"not all of data/train-\*\.parquet of owner/name"),
        ("data/test-00000-of-00001.parquet", r"none of data/test-\*\.parquet of owner/name"),
    ],
)
def test_a_folder_that_lacks_a_file(tmp_path: Path, missing: str, said: str) -> None:
    with pytest.raises(BenchError, match=said):
        hub.read_parquet(HUB, laid_out(tmp_path, missing))


def test_files_that_are_no_parquet_or_lack_a_column(tmp_path: Path) -> None:
    laid_out(tmp_path)
    with pytest.raises(BenchError, match=r"train-00000-of-00002\.parquet: no column 'story'"):
        hub.read_parquet(hub.Hub("owner/name", REVISION, HUB.files, ("story",), splits=HUB.splits), tmp_path)
    (tmp_path / "data/test-00000-of-00001.parquet").write_bytes(b"<html>not found</html>")
    with pytest.raises(BenchError, match=r"test-00000-of-00001\.parquet: cannot be read as Parquet") as caught:
        hub.read_parquet(HUB, tmp_path)
    assert "\n" not in str(caught.value)


def test_known_files_are_told_from_others(tmp_path: Path) -> None:
    laid_out(tmp_path)
    names = [Path(path).name for path in FILES if path.endswith(".parquet")]
    digests = {Path(path).name: hashlib.sha256(data).hexdigest() for path, data in FILES.items()}
    digests[names[1]] = "0" * 64
    of = hub.Hub("owner/name", REVISION, HUB.files, HUB.columns, splits=HUB.splits, sha256=digests)
    found = hashlib.sha256(FILES[f"data/{names[1]}"]).hexdigest()[:8]
    assert hub.read_parquet(of, tmp_path)[1] == [
        f"{names[0]}, {names[2]}: the hub's file, by sha256",
        f"warning: {names[1]}: not the hub's file: sha256 {found}, not 00000000",
    ]
