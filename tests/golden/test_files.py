import os
import stat

import pytest

from golden.errors import GossetError
from golden.files import read_bytes, replacing, writable, write_text


def write(path):
    with replacing(path) as beside:
        beside.write_text("new")


def test_links_are_followed(tmp_path):
    target, link, second = tmp_path / "data" / "file", tmp_path / "link", tmp_path / "second"
    target.parent.mkdir()
    target.write_text("old")
    link.symlink_to("data/file")
    second.symlink_to(link)
    for write_to in (lambda: write(second), lambda: write_text(second, "newer")):
        write_to()
        assert second.is_symlink() and link.is_symlink() and target.read_text().startswith("new")
    assert target.read_text() == "newer" and [path.name for path in target.parent.iterdir()] == ["file"]


def test_what_a_dangling_link_leads_to_is_made(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "file")
    write(tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "file").read_text() == "new"


@pytest.mark.parametrize(
    "kind", ["fifo", "device", "folder", "link to a fifo", "link to a folder", "loop", "long", "null"]
)
def test_what_is_no_file_is_refused_and_left(kind, tmp_path):
    path, words = tmp_path / "there", kind.split()[-1]
    if "fifo" in kind:
        os.mkfifo(tmp_path / "pipe")
        path, words = tmp_path / "pipe", "named pipe"
    elif "folder" in kind:
        path.mkdir()
    elif kind == "loop":
        path.symlink_to(tmp_path / "back")
        (tmp_path / "back").symlink_to(path)
        words = "circle"
    elif kind == "device":
        path = "/dev/null"
    elif kind == "long":
        path, words = tmp_path / ("a" * 300), "too long"
    elif kind == "null":
        path = f"{tmp_path}/a\0b"
    if kind.startswith("link"):
        (tmp_path / "link").symlink_to(path)
        path = tmp_path / "link"
    before = sorted((entry.name, entry.lstat().st_mode) for entry in tmp_path.iterdir())
    for function in (writable, write, lambda p: write_text(p, "new")):
        with pytest.raises(GossetError, match=f"Cannot write .*{words}"):
            function(path)
    assert sorted((entry.name, entry.lstat().st_mode) for entry in tmp_path.iterdir()) == before
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_a_check_leaves_nothing(tmp_path):
    assert writable(tmp_path / "a" / "b" / "c") == tmp_path / "a" / "b" / "c"
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("")
    with pytest.raises(GossetError, match="Cannot write"):
        writable(tmp_path / "file" / "below")


def test_names_as_long_as_there_are_can_be_written(tmp_path):
    path = tmp_path / ("a" * 250 + ".npy")
    write(path)
    assert path.read_text() == "new"


def test_permissions_of_a_file_stay(tmp_path):
    path = tmp_path / "file"
    write(path)
    path.chmod(0o640)
    write(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_file_that_does_not_end_is_not_read():
    with pytest.raises(GossetError, match="a device"):
        read_bytes("/dev/zero")
    with pytest.raises(GossetError, match="more than 1,000 bytes"):
        read_bytes("/dev/zero", 1000)
