"""`make repro ON=ray`: what is stale of the whole pipeline, on a cluster; the results come back to the workspace."""

from pathlib import Path

from pipeline.cluster import checkout, driver, plan
from pipeline.cluster.plan import Plan
from pipeline.config.params import Params
from pipeline.experiments import keeping, preflight, reproduction, staleness
from pipeline.project import dvc
from pipeline.project.remote import Remote, explained

RUN = "the pipeline"


def reproduce(settings: Params) -> None:
    """Fetch here what was not fetched, run on the cluster what is stale, and pull the results.

    Raises:
        ConfigurationError: code or params are not committed, no remote, no Ray, no node that is large enough.
        Stopped: a stage failed; what did not depend on it ended.
        ClusterError, RemoteError: the cluster or the remote cannot be used.
    """
    preflight.expect_cluster()
    reproduction.fetch(settings, plan.sources())
    plan.forget()
    tasks = Plan()
    tasks.add(RUN, ())
    driver.check_settings(settings.cluster, tasks.runs[RUN])
    progress = driver.run("make repro", tasks, settings.cluster, lambda progress: None)
    # Also after a failure: what ended stays.
    checkout.record([progress.outcomes[key] for key in tasks.tasks if key in progress.outcomes], Path())
    with dvc.opened() as repo:
        remote = Remote.of(repo)
        with explained(remote.name, remote.address):
            repo.pull(allow_missing=bool(progress.failures))
    driver.expect_success(progress)
    keeping.expect_kept("make repro", keeping.recorded(), staleness.upstream(""))
    print(reproduction.results(settings, lambda path: Path(path).read_text(encoding="utf-8")))
