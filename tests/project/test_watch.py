"""The watch of tests/support: what it finds, and what it lets pass."""

import os
import subprocess
import sys

import pytest
import watch


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A folder that may be written, beside one that may not; the home folder is a canary."""
    monkeypatch.setenv("HOME", str(watch.canary(tmp_path / "home")))
    watch.canary(tmp_path / "outside")
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def changes(work, act):
    """What the watch finds of an act, by path relative to the parent of the work folder."""
    with pytest.raises(watch.Touched) as caught, watch.only(work, roots=[work.parent]):
        act(work.parent)
    found = {path.relative_to(work.parent).as_posix(): kind for path, kind in caught.value.changes.items()}
    assert all(str(path) in str(caught.value) for path in caught.value.changes)
    return found


def restored(folder):
    path = folder / "outside/.bashrc"
    status, content = path.stat(), path.read_bytes()
    path.write_bytes(b"x" * len(content))
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def passing(folder):
    (folder / "outside/x/new").touch()
    (folder / "outside/x/new").unlink()


@pytest.mark.parametrize(
    ("act", "found"),
    [
        (lambda folder: (folder / "outside/model.onnx").write_text("x"), {"outside/model.onnx": "changed"}),
        (lambda folder: (folder / "outside/etc/passwd").open("a").close(), None),
        (lambda folder: (folder / "outside/model.onnx").unlink(), {"outside/model.onnx": "deleted"}),
        (lambda folder: (folder / "beside").write_text("x"), {"beside": "created"}),
        (lambda folder: (folder / "a/b").mkdir(parents=True), {"a": "created", "a/b": "created"}),
        (
            lambda folder: (folder / "outside/x/y/z").rename(folder / "outside/w"),
            {"outside/w": "created", "outside/x/y/z": "deleted"},
        ),
        (
            lambda folder: (folder / "outside/model.onnx").rename(folder / "outside/manifest.json"),
            {"outside/manifest.json": "changed", "outside/model.onnx": "deleted"},
        ),
        (lambda folder: (folder / "outside/.bashrc").chmod(0o755), {"outside/.bashrc": "changed"}),
        (lambda folder: (folder / "outside/link").symlink_to("x"), {"outside/link": "created"}),
        (lambda folder: (folder / "work/file").write_text("x"), None),
        (restored, {"outside/.bashrc": "changed"}),
        (passing, {"outside/x": "changed"}),
    ],
)
def test_it_names_what_was_written_deleted_and_renamed(work, act, found):
    if found is None:
        with watch.only(work, roots=[work.parent]):
            act(work.parent)
    else:
        assert changes(work, act) == found


def test_it_watches_parent_home_checkout_and_others_by_default(work, tmp_path, monkeypatch):
    monkeypatch.setattr(watch, "CHECKOUT", watch.canary(tmp_path / "project"))
    far = watch.canary(tmp_path / "far")
    assert {root.path for root in watch.roots(work, far)} == {
        tmp_path, tmp_path / "home", tmp_path / "project", far,
    }  # fmt: skip
    with pytest.raises(watch.Touched, match="authorized_keys"), watch.only(work):
        (tmp_path / "home/.ssh/authorized_keys").write_text("x")


def test_it_finds_what_a_process_did_and_reports_beside_an_error(work):
    script = "import pathlib; pathlib.Path('../outside/new').touch(); raise SystemExit(3)"
    with pytest.raises(watch.Touched, match=r"created .*outside/new") as caught, watch.only(work):
        subprocess.run([sys.executable, "-c", script], cwd=work, check=True)
    assert isinstance(caught.value.__context__, subprocess.CalledProcessError)
