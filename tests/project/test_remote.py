"""A remote that machines share: a folder, S3, SSH; and one line for everything that can be wrong with it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import object_storage
import pytest
from dvc.repo import Repo
from small_disks import fill, needs_mounts, small_disk

from pipeline.commands.remote import main
from pipeline.core.errors import ConfigurationError
from pipeline.project import git, remote
from pipeline.project.remote import RemoteError

ROOT = Path(__file__).parents[2]
PIPELINE = """
stages:
  double:
    cmd: cat in.txt in.txt > out.txt && echo ran >> ran.log
    deps: [in.txt]
    outs: [out.txt]
"""


def call(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def dvc(*arguments):
    return call(sys.executable, "-m", "dvc", *arguments)


def runs():
    return Path("ran.log").read_text().count("ran")


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A clone with one stage that ran for two inputs."""
    folder = tmp_path_factory.mktemp("template")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        call("git", "init", "-q")
        call("git", "config", "user.name", "Ada")
        call("git", "config", "user.email", "ada@example.org")
        dvc("init", "-q")
        Path("dvc.yaml").write_text(PIPELINE)
        Path("ran.log").write_text("")
        for text in ("one\n", "two\n" * 5000):
            Path("in.txt").write_text(text)
            dvc("repro", "-q")
        Path(".gitignore").write_text("/out.txt\n/ran.log\n")
        call("git", "add", "-A")
        call("git", "commit", "-qm", "two")
    return folder


@pytest.fixture
def machine(template, tmp_path, monkeypatch):
    """The first machine, as the current folder."""
    folder = shutil.copytree(template, tmp_path / "first")
    monkeypatch.chdir(folder)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    return folder


def configure(address, **settings):
    with Repo() as repo:
        with repo.config.edit() as config:
            config["remote"]["store"] = {"url": address}
            config["core"]["remote"] = "store"
        with repo.config.edit("local") as config:
            config["remote"]["store"] = settings


def second(machine, monkeypatch):
    """Another machine: a clone with the configuration of the first, and nothing in its cache."""
    folder = machine.parent / "second"
    call("git", "clone", "-q", str(machine), str(folder))
    monkeypatch.chdir(folder)
    for name in ("config", "config.local"):
        if (machine / ".dvc" / name).exists():
            shutil.copy(machine / ".dvc" / name, folder / ".dvc" / name)
    Path("ran.log").write_text("")


def expect_shared(machine, monkeypatch):
    """What the first machine computed, the second does not: the committed result, and an earlier one."""
    assert re.fullmatch(r"\d+ files pushed to store \(.*\)", main(push=True))
    second(machine, monkeypatch)
    assert "outputs are not there" not in main(pull=True)
    assert Path("out.txt").read_text() == "two\n" * 10_000
    dvc("repro", "-q")
    Path("in.txt").write_text("one\n")
    dvc("repro", "--pull")
    assert Path("out.txt").read_text() == "one\none\n"
    assert runs() == 0


def test_a_folder_is_shared(machine, monkeypatch, tmp_path):
    configure(str(tmp_path / "store"))
    expect_shared(machine, monkeypatch)


def test_what_was_not_pushed_is_counted(machine, monkeypatch, tmp_path):
    configure(str(tmp_path / "store"))
    second(machine, monkeypatch)
    assert main(pull=True).endswith("1 outputs are not there: `make repro` makes them")


def test_without_a_remote_the_line_says_how_to_add_one(machine):
    with pytest.raises(ConfigurationError, match="dvc remote add"):
        main(push=True)


def test_a_plugin_that_is_not_installed_is_named(machine):
    configure("hdfs://host/folder")
    with pytest.raises(ConfigurationError, match=r"dvc-hdfs.*make extras"):
        main(push=True)


def test_a_password_in_the_address_is_not_printed():
    assert git.without_password("ssh://ada:secret@host/folder") == "ssh://ada@host/folder"
    assert git.without_password("/a/folder") == "/a/folder"


@needs_mounts
def test_a_full_disk_is_named(machine, tmp_path):
    with small_disk(tmp_path / "disk", 1) as disk:
        configure(str(disk / "store"))
        main(push=True)
        Path("in.txt").write_text("three\n" * 100_000)
        dvc("repro", "-q")
        fill(disk, 100)
        with pytest.raises(RemoteError, match="full"):
            main(push=True)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with object_storage.s3(tmp_path_factory.mktemp("s3")) as found:
        yield found


def use(server, *, port=0, bucket=object_storage.BUCKET, key="", secret=""):
    configure(
        # The tests share a server, and what one pushed another would not push again.
        f"s3://{bucket}/{Path.cwd().parent.name}",
        endpointurl=f"http://127.0.0.1:{port or server.port}",
        region="us-east-1",
        access_key_id=key or server.key,
        secret_access_key=secret or server.secret,
    )


@pytest.mark.slow
def test_s3_is_shared(machine, monkeypatch, server):
    use(server)
    expect_shared(machine, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ({"key": "AKIAWRONG"}, "refused: .*Access Key Id"),
        ({"secret": "wrong"}, "refused: .*signature"),
        ({"bucket": "absent"}, "no such bucket"),
    ],
)
def test_what_a_user_has_to_correct_is_a_configuration_error(machine, server, wrong, line):
    use(server, **wrong)
    with pytest.raises(ConfigurationError, match=line):
        main(push=True)


@pytest.mark.slow
def test_a_server_that_is_down_full_or_silent_is_unavailable(machine, server, monkeypatch):
    use(server, port=object_storage.free_port())
    with pytest.raises(RemoteError, match="Could not connect"):
        main(push=True)
    with object_storage.full() as port:
        use(server, port=port)
        with pytest.raises(RemoteError, match="full"):
            main(push=True)
    monkeypatch.setattr(remote, "PATIENCE", 3.0)
    with object_storage.silent() as port:
        use(server, port=port)
        with pytest.raises(RemoteError, match="no answer within 3 s"):
            main(push=True)


@pytest.mark.slow
def test_a_push_that_is_cut_off_can_be_repeated(machine, server):
    with object_storage.cutting(server.port, 20_000) as port:
        use(server, port=port)
        with pytest.raises(RemoteError, match="run again once it answers"):
            main(push=True)
    with object_storage.slow(server.port, 200_000) as port:
        use(server, port=port)
        assert "pushed" in main(push=True)


@pytest.mark.slow
def test_ssh_is_shared_and_a_wrong_key_is_refused(machine, monkeypatch, tmp_path):
    folder = tmp_path / "ssh"
    folder.mkdir()
    with object_storage.ssh(folder) as (port, key):
        call("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "other"))
        configure(f"ssh://127.0.0.1{tmp_path}/store", **object_storage.ssh_settings(port, folder / "other"))
        with pytest.raises(ConfigurationError, match="refused"):
            main(push=True)
        configure(f"ssh://127.0.0.1{tmp_path}/store", **object_storage.ssh_settings(port, key))
        expect_shared(machine, monkeypatch)
    with pytest.raises(RemoteError):
        main(push=True)
