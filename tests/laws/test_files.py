"""Laws of files that appear whole."""

import threading

import pytest

from vision.files import appears_whole, write_atomically


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def fail(_descriptor):
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_is_there_before_the_end(tmp_path):
    path = tmp_path / "folder" / "file"
    with appears_whole(path) as fresh:
        fresh.write_bytes(b"whole")
        assert not path.exists()
    assert path.read_bytes() == b"whole"
    assert list(path.parent.iterdir()) == [path]


def test_two_threads_that_write_one_file_do_not_meet(tmp_path):
    path = tmp_path / "file"
    inside = threading.Barrier(2)

    def write(data):
        with appears_whole(path) as fresh:
            inside.wait(10)
            fresh.write_bytes(data)
            inside.wait(10)

    threads = [threading.Thread(target=write, args=(data,)) for data in (b"a" * 9, b"b" * 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_bytes() in {b"a" * 9, b"b" * 9}
    assert list(tmp_path.iterdir()) == [path]
