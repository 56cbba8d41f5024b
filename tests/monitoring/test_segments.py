import gzip
import multiprocessing
import os
import resource
import time

import pytest

from pipeline.monitoring.segments import SegmentWriter, content, is_open, segments, size

BOUND, SEGMENT = 200_000, 10_000


def writer(folder, **changed):
    return SegmentWriter(folder, **{"most_bytes": BOUND, "segment_bytes": SEGMENT, "days": 30.0, **changed})


def lines_of(folder):
    return [line for path in segments(folder) for line in content(path).splitlines()]


def write_many(folder, name, count):
    made = writer(folder, most_bytes=10**8)
    for number in range(0, count, 10):
        sum(made.write([b"%s %d\n" % (name, number + index) for index in range(10)]))
    made.close()


def test_lines_come_back_in_order_and_full_segments_are_compressed(tmp_path):
    made = writer(tmp_path)
    given = [b"%06d\n" % number for number in range(4000)]
    assert sum(made.write(given)) == 4000
    assert [path.suffix for path in segments(tmp_path)] == [".gz", ".gz", ".jsonl"]
    assert lines_of(tmp_path) == [line.rstrip() for line in given]
    made.close()
    assert {path.suffix for path in segments(tmp_path)} == {".gz"}


def test_the_bound_holds_at_every_moment_and_the_oldest_lines_go(tmp_path):
    made, largest = writer(tmp_path), 0
    for number in range(3000):
        sum(made.write([b"%d %s\n" % (number, os.urandom(150).hex().encode())]))
        if number % 10 == 0:
            largest = max(largest, size(tmp_path))
    assert BOUND / 2 < largest <= BOUND
    numbers = [int(line.split()[0]) for line in lines_of(tmp_path)]
    assert numbers == list(range(numbers[0], 3000))


def test_processes_write_at_once_and_no_line_is_lost_or_mixed(tmp_path):
    context = multiprocessing.get_context("fork")
    names = [b"a" * 30, b"b" * 50, b"c" * 70]
    processes = [context.Process(target=write_many, args=(tmp_path, name, 2000)) for name in names]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert sorted(lines_of(tmp_path)) == sorted(b"%s %d" % (name, number) for name in names for number in range(2000))


def test_a_segment_of_a_killed_process_is_read_without_its_last_broken_line_and_goes_when_it_is_old(tmp_path):
    path = tmp_path / "00000000000001-1-0.jsonl"
    path.write_bytes(b"whole\nbrok")
    assert (content(path), is_open(path)) == (b"whole\n", False)
    os.utime(path, (1, 1))
    made = writer(tmp_path)
    sum(made.write([b"x\n"]))
    assert not path.exists()
    assert [is_open(found) for found in segments(tmp_path)] == [True]


def test_lines_older_than_the_days_are_removed(tmp_path):
    made = writer(tmp_path)
    sum(made.write([b"old\n"]))
    made.close()
    (path,) = segments(tmp_path)
    for age, left in ((29, 1), (31, 0)):
        then = time.time() - age * 86400
        os.utime(path, (then, then))
        made.tick()
        assert len(segments(tmp_path)) == left


def test_a_bound_that_is_too_small_for_the_processes_is_an_error_of_the_disk(tmp_path):
    first, second = (writer(tmp_path, most_bytes=30_000) for _ in range(2))
    sum(first.write([b"x\n"]))
    with pytest.raises(OSError, match="too small for 2 processes"):
        sum(second.write([b"x\n"]))


def test_a_line_that_did_not_fit_on_the_disk_leaves_no_part_behind(tmp_path):
    made = writer(tmp_path)
    sum(made.write([b"first\n"]))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            sum(made.write([b"second\n"]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    sum(made.write([b"third\n"]))
    assert lines_of(tmp_path) == [b"first", b"third"]


def test_a_segment_that_was_compressed_and_left_by_a_killed_process_counts_once(tmp_path):
    (tmp_path / "00000000000001-1-0.jsonl").write_bytes(b"x\n")
    (tmp_path / "00000000000001-1-0.jsonl.gz").write_bytes(gzip.compress(b"x\n"))
    assert lines_of(tmp_path) == [b"x"]
