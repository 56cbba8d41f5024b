"""What a bad disk changes: one byte of any file that DVC keeps is found and named, and the remedy restores it."""

import json
import os
import re
import shlex
import shutil
from pathlib import Path

import pytest
from dvc.cli import main as dvc
from dvc.repo import Repo
from refusals import refuses

from pipeline.core.errors import DataError
from pipeline.project import integrity

DVC = """
stages:
  make:
    cmd: mkdir -p many/below && echo a > many/a && echo bb > many/below/b && echo c > one && echo d > figures
    outs: [many, one, {figures: {cache: false}}]
"""
LINKS = ("copy", "hardlink", "symlink")


@pytest.fixture(params=LINKS)
def project(request, tmp_path, monkeypatch):
    """A project with an output of each kind, and each of DVC's ways from the cache to the workspace."""
    monkeypatch.chdir(tmp_path)
    with Repo.init(no_scm=True) as repo:
        with repo.config.edit() as config:
            config["cache"]["type"] = [request.param]
    (tmp_path / "dvc.yaml").write_text(DVC)
    reproduce()
    return tmp_path


def reproduce(**options):
    with Repo() as repo:
        repo.reproduce(**options)


def changes():
    with Repo() as repo:
        return repo.status()


def follow(remedy):
    """Do what a message says: remove, then restore with DVC's command."""
    remove, restore = re.search(r"`(rm [^`]+)`, then .*?`(dvc (?:repro|checkout)[^`]*)`", remedy).groups()
    for path in shlex.split(remove.removeprefix("rm ").removeprefix("-r ")):
        shutil.rmtree(path) if Path(path).is_dir() else Path(path).unlink()
    assert dvc([*shlex.split(restore)[1:], "--quiet"]) == 0


def flip(path):
    """Change one byte as a bad disk does: neither the time nor the mode tells."""
    before = path.stat()
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    path.chmod(before.st_mode)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def cached(path):
    """Where the cache keeps a file or, for a folder, its list."""
    lock = Path("dvc.lock").read_text()
    known = dict(re.findall(r"path: (\S+)\n\s+hash: md5\n\s+md5: (\S+)", lock))
    out, _, rest = path.partition("/")
    md5 = known[out]
    if rest:
        listed = json.loads(Path(f".dvc/cache/files/md5/{md5[:2]}/{md5[2:]}").read_text())
        md5 = next(entry["md5"] for entry in listed if entry["relpath"] == rest)
    return Path(f".dvc/cache/files/md5/{md5[:2]}/{md5[2:]}")


def test_a_sound_project_has_no_damage(project):
    found = integrity.examine()
    assert found.damaged == ()
    assert found.files >= 5
    assert found.size >= 9
    integrity.expect_intact(["many", "one", "figures"])


def test_one_byte_in_the_cache_is_found_and_the_remedy_restores_it(project):
    for path in ("many", "many/a", "many/below/b", "one"):
        flip(cached(path))
        assert changes() == {}, "DVC does not see it"
        (damage,) = integrity.examine().damaged
        assert (damage.path, damage.place, damage.stage) == (path, str(cached_before(damage)), "make")
        with refuses(DataError, path, damage.place, damage.expected, damage.found, "dvc pull"):
            integrity.expect_intact([path])
        follow(str(damage))
        assert integrity.examine().damaged == ()
        assert Path("many/below/b").read_text() == "bb\n"


def cached_before(damage):
    name = damage.expected + ("" if "/" in damage.path or damage.path == "one" else ".dir")
    return Path(f".dvc/cache/files/md5/{name[:2]}/{name[2:]}")


def test_one_byte_in_the_workspace_is_found(project):
    for path in ("many/a", "one", "figures"):
        if Path(path).is_symlink() or Path(path).stat().st_nlink > 1:
            # It is the file of the cache.
            continue
        flip(Path(path))
        (damage,) = integrity.examine().damaged
        assert (damage.path, damage.place) == (path, path)
        assert "in the workspace" in str(damage)
        if path == "figures":
            Path(path).unlink()
            reproduce()
        else:
            follow(str(damage))
        assert integrity.examine().damaged == ()
        assert changes() == {}


def test_what_was_changed_on_purpose_is_no_damage(project):
    for path in ("one", "figures"):
        Path(path).unlink()
        Path(path).write_text("mine")
    Path("many/a").unlink()
    assert integrity.examine().damaged == ()
    assert "modified" in str(changes())


def test_paths_choose_the_outputs(project):
    flip(cached("many/below/b"))
    integrity.expect_intact(["one", "figures"])
    with refuses(DataError, "many/below/b"):
        integrity.expect_intact(["many/below"])


def test_without_a_project_there_is_nothing_to_compare(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    integrity.expect_intact(["one"])


def test_unprotected_files_of_the_cache_are_hashed_too(project):
    """DVC hashes again only what can be written, and removes it where it differs; here nothing is removed."""
    place = cached("many/a")
    place.chmod(0o644)
    flip(place)
    assert [damage.path for damage in integrity.examine().damaged] == ["many/a"]
    assert place.exists()
