"""Stages side by side: DVC runs one after the other, so several runs of DVC share them out."""

from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from pipeline.project import dvc
from pipeline.project.progress import Progress

Chain = tuple[str, ...]
"""Stages that run one after the other in one run of DVC."""


def chains(dependencies: Mapping[str, set[str]]) -> dict[Chain, set[Chain]]:
    """Join stages that can only follow each other: a run of DVC takes two seconds before it does anything.

    Args:
        dependencies: by stage, the stages on which it depends directly, in an order in which they can run.

    Returns:
        The chains, by each those that must end before it begins; in an order in which they can run.
    """
    followers: dict[str, list[str]] = {name: [] for name in dependencies}
    for name, before in dependencies.items():
        for each in before:
            followers[each].append(name)
    chain_of: dict[str, list[str]] = {}
    for name, before in dependencies.items():
        (only,) = before if len(before) == 1 else (None,)
        if only is not None and len(followers[only]) == 1:
            chain_of[name] = chain_of[only]
        else:
            chain_of[name] = []
        chain_of[name].append(name)
    return {
        tuple(chain_of[name]): {tuple(chain_of[each]) for each in before}
        for name, before in dependencies.items()
        if chain_of[name][0] == name
    }


def run(command: str, progress: Progress, dependencies: Mapping[str, set[str]], jobs: int) -> None:
    """Run stages, up to `jobs` at a time.

    After a failure, and after Ctrl-C, nothing else begins; what runs, runs to its end, so that DVC keeps its results.

    Args:
        command: what the user called, for the message.
        progress: gets the output, and has the logs.
        dependencies: by stage, the stages on which it depends directly, in an order in which they can run.
        jobs: chains at a time, at least 1.

    Raises:
        Stopped: a stage or DVC failed, the first that did.
        KeyboardInterrupt: the user pressed Ctrl-C, and what ran has ended.
    """
    waiting = chains(dependencies)
    finished: set[Chain] = set()
    lanes = [progress.lane(number + 1) for number in range(jobs)]
    running: dict[Future[None], tuple[Chain, Progress]] = {}
    failure: BaseException | None = None

    def begin(pool: ThreadPoolExecutor) -> None:
        for chain in [chain for chain, before in waiting.items() if before <= finished]:
            if not lanes:
                return
            lane = lanes.pop()
            del waiting[chain]
            future = pool.submit(dvc.follow, command, lane, "--wait-for-lock", "repro", "--single-item", *chain)
            running[future] = (chain, lane)

    with ThreadPoolExecutor(jobs) as pool:
        while waiting or running:
            try:
                if failure is None:
                    begin(pool)
                if not running:
                    break
                ended, _ = wait(running, return_when=FIRST_COMPLETED)
            except KeyboardInterrupt as interrupt:
                failure = interrupt
                continue
            for future in ended:
                chain, lane = running.pop(future)
                lanes.append(lane)
                finished.add(chain)
                failure = failure or future.exception()
    if failure is not None:
        raise failure
