"""What there is to compute: shared stages once, and a key that changes with everything that decides the result."""

import shutil
import sys

import pytest
import study_project
from small_clone import ROOT, run

from pipeline.cluster import driver, plan, session
from pipeline.cluster.plan import Plan
from pipeline.config.sections import Cluster, Resources
from pipeline.core.errors import ConfigurationError
from pipeline.project import dvc
from pipeline.project.ray_address import ADDRESS_VARIABLE

TARGETS = ("textbook", "lenet5")


@pytest.fixture(scope="module")
def committed(tmp_path_factory):
    """The project, committed and not reproduced."""
    folder = tmp_path_factory.mktemp("plan")
    (folder / "stages").mkdir()
    (folder / "stages/tiny.py").write_text("1")
    (folder / "dvc.yaml").write_text(study_project.CHAINS)
    (folder / "pipeline").symlink_to(ROOT / "pipeline")
    shutil.copy(ROOT / "params.yaml", folder)
    run(folder, "git", "init", "-q")
    run(folder, "git", "config", "user.name", "test")
    run(folder, "git", "config", "user.email", "test@localhost")
    run(folder, "dvc", "init", "-q")
    run(folder, "git", "add", "dvc.yaml", "stages", "params.yaml", ".dvc")
    run(folder, "git", "commit", "-qm", "a project")
    return folder


@pytest.fixture
def project(committed, monkeypatch):
    monkeypatch.chdir(committed)
    monkeypatch.delenv(ADDRESS_VARIABLE, raising=False)
    plan.forget()
    yield committed
    plan.forget()


def planned():
    found = Plan()
    for seed in (1, 2):
        for strategy in TARGETS:
            found.add(f"{strategy}-{seed}", (f"seed={seed}",), f"evaluate@{strategy}")
    return found


def test_runs_share_the_stages_that_would_be_equal(project):
    found = planned()
    stages = [task.stage.name for task in found.tasks.values()]
    assert {name: stages.count(name) for name in stages} == {
        "compose@mnist": 1,
        **{f"{kind}@{strategy}": 2 for kind in ("train", "evaluate") for strategy in TARGETS},
    }
    runs = found.runs
    assert runs["textbook-1"]["train@textbook"] == runs["lenet5-1"]["train@textbook"]
    assert runs["textbook-1"]["train@textbook"] != runs["textbook-2"]["train@textbook"]
    assert runs["textbook-1"]["compose@mnist"] == runs["lenet5-2"]["compose@mnist"]
    order = list(found.tasks)
    assert all(order.index(key) > order.index(each) for key, task in found.tasks.items() for each in task.upstream)


def test_a_key_changes_with_the_code_as_git_has_it(project):

    def keys():
        plan.forget()
        found = Plan()
        found.add("run", (), "evaluate@lenet5")
        return set(found.tasks)

    before = keys()
    (project / "stages/tiny.py").write_text("2")
    assert keys() == before
    run(project, "git", "commit", "-qam", "changed")
    assert not keys() & before


def test_what_comes_from_outside_has_to_be_there(project):
    with pytest.raises(ConfigurationError, match="compose@mnist: not fetched"):
        plan.expect_sources(planned(), [])


@pytest.mark.parametrize(
    ("url", "secret"), [("s3://bucket", "secret_access_key"), ("webdavs://host/folder", "token")], ids=["s3", "webdav"]
)
def test_the_secrets_of_a_remote_stay_where_they_are(project, monkeypatch, capsys, url, secret):
    (project / ".dvc/config.local").unlink(missing_ok=True)
    run(project, "dvc", "remote", "add", "-f", "-d", "store", url)
    run(project, "dvc", "remote", "modify", "--local", "store", secret, "hidden")
    assert driver._remote()["settings"][secret] == "hidden"
    monkeypatch.setenv(ADDRESS_VARIABLE, "10.0.0.1:6379")
    sent = driver._remote()["settings"]
    assert sent["url"] == url
    assert secret not in sent
    assert "each node needs its own" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("ssh://ada:s3cr%40t@host:2222/folder", "ssh://ada@host:2222/folder"),
        ("webdavs://ada:@host/folder", "webdavs://ada@host/folder"),
        ("ssh://ada@host/folder", "ssh://ada@host/folder"),
    ],
)
def test_a_password_in_the_address_of_a_remote_stays_where_it_is(project, monkeypatch, capsys, url, sent):
    (project / ".dvc/config.local").unlink(missing_ok=True)
    run(project, "dvc", "remote", "add", "-f", "-d", "store", url)
    assert driver._remote()["settings"]["url"] == url
    monkeypatch.setenv(ADDRESS_VARIABLE, "10.0.0.1:6379")
    assert driver._remote()["settings"]["url"] == sent
    assert ("the password in url" in capsys.readouterr().err) == (url != sent)


def test_a_stage_that_does_not_exist_is_named():
    resources = {"default": Resources(), "train": Resources(cores=2), "train@slice": Resources(gpus=1)}
    cluster = Cluster(resources=resources)
    driver.check_settings(cluster, ["train@slice", "fetch@mnist"])
    assert [cluster.of(stage).cores for stage in ("train@ctc", "fetch@mnist")] == [2, 1]
    assert cluster.of("train@slice").gpus == 1
    with pytest.raises(ConfigurationError, match=r"cluster\.resources\.train: no such stage"):
        driver.check_settings(cluster, ["fetch@mnist"])


def test_definitions_are_those_of_the_params(project):
    found = dvc.definitions({"seed": 3, "budget": 1, "strategies": {"textbook": {"batch": 2}}})
    assert found["evaluate@textbook"].params == {"seed": 3, "budget": 1, "strategies.textbook": {"batch": 2}}
    assert found["train@lenet5"].upstream == {"compose@mnist", "train@textbook"}
    assert found["evaluate@textbook"].outs["metrics/evaluation/mnist/textbook.json"] is False


@pytest.mark.parametrize(("on", "alone", "named"), [("spark", True, "spark"), ("ray", False, "leave --jobs")])
def test_where_it_runs_is_checked(on, alone, named):
    with pytest.raises(ConfigurationError, match=named):
        session.expect_place(on, alone=alone)


def test_without_ray_the_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigurationError, match="ray: not installed; make setup"), session.connected():
        pass
