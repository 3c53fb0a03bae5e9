"""What every place of files must do: one abstract class for reading, one for writing too, a subclass a place."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fve_pipeline.files.base import Files

DATA = bytes(range(256)) * 5

ODD_NAMES = [
    "with space",
    "ümlaut/é.bin",
    "日本",
    "a+b",
    "a%20b",
    "a#b",
    "a&b=c",
    "a?b",
    "a'b\"c",
    "a..b",
    ".hidden/x",
    "deep/" * 20 + "x",
    "x" * 200,
]


def together(actions: list[Callable[[], Any]]) -> list[Any]:
    """Results of actions that are all begun at once, each in a thread; what one raises is raised."""
    barrier, results = threading.Barrier(len(actions)), [None] * len(actions)
    raised: list[BaseException] = []

    def do(place: int) -> None:
        barrier.wait()
        try:
            results[place] = actions[place]()
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=do, args=(place,)) for place in range(len(actions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if raised:
        raise raised[0]
    return results


class ReadingConformance:
    """Subclass it with a fixture ``place``: from contents by key, laid there by other means, to the files."""

    Place = Callable[[dict[str, bytes]], Files]

    def test_a_file_is_read_whole_and_in_parts(self, place: Place) -> None:
        files = place({"f/one": DATA, "f/empty": b""})
        assert files.read("f/one") == DATA
        assert files.read("f/empty") == b""
        assert files.size("f/one") == len(DATA)
        assert files.size("f/empty") == 0
        assert files.exists("f/one")
        for start, length in ((0, 10), (300, 1), (0, len(DATA)), (len(DATA) - 4, 4), (7, 0)):
            assert bytes(files.read_range("f/one", start, length)) == DATA[start : start + length]

    def test_a_range_ends_where_the_file_ends(self, place: Place) -> None:
        files = place({"one": DATA, "empty": b""})
        assert files.read_range("one", len(DATA) - 3, 10) == DATA[-3:]
        assert files.read_range("one", len(DATA), 10) == b""
        assert files.read_range("one", len(DATA) + 5, 10) == b""
        assert files.read_range("empty", 0, 1) == b""

    @pytest.mark.parametrize("key", ["nowhere", "f/nowhere", "f/on", "f/one2"])
    def test_what_is_not_there_is_not_found(self, place: Place, key: str) -> None:
        files = place({"f/one": DATA})
        assert not files.exists(key)
        for look in (files.read, files.size, lambda name: files.read_range(name, 0, 4)):
            with pytest.raises(FileNotFoundError):
                look(key)

    def test_keys_below_a_folder_in_order(self, place: Place) -> None:
        keys = ["a/2", "a/10", "a/b/1", "ab/1", "b"]
        files = place(dict.fromkeys(keys, b"x"))
        assert files.list_keys() == sorted(keys)
        assert files.list_keys("a") == ["a/10", "a/2", "a/b/1"]  # and not what only begins like it
        assert files.list_keys("a/b") == ["a/b/1"]
        assert files.list_keys("nowhere") == []

    @pytest.mark.parametrize("key", ODD_NAMES)
    def test_odd_names(self, place: Place, key: str) -> None:
        files = place({key: DATA, "other": b"other"})
        assert files.read(key) == DATA
        assert files.read_range(key, 1, 2) == DATA[1:3]
        assert files.size(key) == len(DATA)
        assert files.list_keys() == sorted([key, "other"])

    def test_a_copy_that_travelled_reads_the_same(self, place: Place) -> None:
        files = place({"f/one": DATA})
        assert files.read("f/one") == DATA  # whatever that opened does not travel
        copy = pickle.loads(pickle.dumps(files))
        assert copy.url == files.url
        assert copy.read("f/one") == DATA

    def test_a_local_path_is_of_the_same_bytes(self, place: Place) -> None:
        path = place({"f/one": DATA}).local_path("f/one")
        assert path is None or path.read_bytes() == DATA

    def test_threads_share_it(self, place: Place) -> None:
        files = place({f"f/{i}": DATA + bytes([i]) for i in range(8)})
        found = together([lambda i=i: files.read(f"f/{i}") for i in range(8)])  # type: ignore[misc]
        assert found == [DATA + bytes([i]) for i in range(8)]


class FilesConformance(ReadingConformance):
    """For places that are written to as well."""

    Place = ReadingConformance.Place

    def test_pieces_become_one_file(self, place: Place) -> None:
        files = place({})
        pieces = (DATA, bytearray(b"two"), memoryview(b"three")[1:], b"")
        files.write_atomic("f/g/one", pieces)
        assert files.read("f/g/one") == DATA + b"twohree"
        files.write_atomic("f/g/one", iter([b"new"]))
        files.write_atomic("f/empty", [])
        assert files.read("f/g/one") == b"new"
        assert files.read("f/empty") == b""
        assert files.list_keys() == ["f/empty", "f/g/one"]

    @pytest.mark.parametrize("before", [{}, {"f/one": b"old"}], ids=["new", "there"])
    def test_a_write_that_fails_leaves_everything_as_it_was(
        self, place: Place, before: dict[str, bytes]
    ) -> None:
        files = place(before)

        def failing() -> Iterator[bytes]:
            yield DATA
            assert {key: files.read(key) for key in files.list_keys()} == before  # nothing half done shows
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            files.write_atomic("f/one", failing())
        assert {key: files.read(key) for key in files.list_keys()} == before

    def test_one_of_several_writers_wins_whole(self, place: Place) -> None:
        files = place({"f/one": b"\xff" * 100_000})
        contents = [bytes([i]) * 100_000 for i in range(4)]
        writes = [lambda data=data: files.write_atomic("f/one", [data[:5], data[5:]]) for data in contents]
        seen = together([*writes, *[lambda: files.read("f/one")] * 4])[4:]
        assert set(seen) <= {b"\xff" * 100_000, *contents}
        assert files.read("f/one") in contents
        assert files.list_keys() == ["f/one"]

    def test_moving(self, place: Place) -> None:
        files = place({"a/one": DATA, "b/two": b"replaced"})
        files.move("a/one", "b/two")
        assert {key: files.read(key) for key in files.list_keys()} == {"b/two": DATA}
        files.move("b/two", "c/d/three")
        assert {key: files.read(key) for key in files.list_keys()} == {"c/d/three": DATA}

    def test_moving_what_is_not_there_leaves_the_target(self, place: Place) -> None:
        files = place({"b/two": DATA})
        with pytest.raises(FileNotFoundError):
            files.move("a/one", "b/two")
        assert files.read("b/two") == DATA

    def test_deleting(self, place: Place) -> None:
        files = place({"a/one": DATA, "a/two": DATA})
        files.delete("a/one")
        files.delete("a/one")
        files.delete("nowhere/at/all")
        assert files.list_keys() == ["a/two"]

    def test_deleting_a_tree_leaves_what_only_begins_like_it(self, place: Place) -> None:
        files = place(dict.fromkeys(["a/1", "a/b/c/2", "ab/3", "a.txt"], DATA))
        files.delete_tree("a")
        files.delete_tree("a")
        files.delete_tree("nowhere")
        assert files.list_keys() == ["a.txt", "ab/3"]
        files.write_atomic("a/1", [b"again"])
        assert files.read("a/1") == b"again"

    def test_writes_of_a_copy_are_seen(self, place: Place) -> None:
        files = place({})
        pickle.loads(pickle.dumps(files)).write_atomic("one", [DATA])
        assert files.read("one") == DATA

    @pytest.mark.parametrize("key", ODD_NAMES)
    def test_odd_names_are_written_moved_and_deleted(self, place: Place, key: str) -> None:
        files = place({})
        files.write_atomic(key, [DATA])
        files.move(key, "plain")
        assert files.list_keys() == ["plain"]
        files.move("plain", key)
        assert files.read(key) == DATA
        files.delete(key)
        assert files.list_keys() == []
