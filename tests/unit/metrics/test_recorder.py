from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.metrics_files import Read

from app.errors import ERRORS
from app.metrics.recorder import (
    METHODS,
    OBJECT_OPERATIONS,
    OTHER_METHOD,
    UNMATCHED,
    NotStored,
    Recorder,
)

MAIL_RULES = ("/mail/inbound", "/email")
PROBE_RULES = ("/health", "/ready", "/metrics")


@pytest.fixture
def recorder(in_slot: Callable[[int], None]) -> Recorder:
    """Return a recorder in the first slot that knows two endpoints."""
    in_slot(0)
    recorder = Recorder()
    recorder.know_endpoints(["/mail/inbound", "/health", UNMATCHED], ["/mail/inbound"])
    return recorder


def rows(read: Read, name: str) -> dict[tuple[str, ...], float]:
    """Return the values of `name` that aren't 0, by their labels in the order of their names."""
    found = read().items()
    return {key[1:]: value for key, value in found if key[0] == name and value}


def test_a_request_is_counted_with_time_and_size(recorder: Recorder, read: Read) -> None:
    """Seconds and bytes of each are summed by method, endpoint and status."""
    for seconds, size in ((0.5, 100), (0.25, 50)):
        recorder.request("POST", "/mail/inbound", 200, seconds, size)
    recorder.request("POST", "/mail/inbound", 401, 1, 1)
    key, other = ("/mail/inbound", "POST", "200"), ("/mail/inbound", "POST", "401")
    assert rows(read, "http_request_duration_seconds_count") == {key: 2, other: 1}
    assert rows(read, "http_request_duration_seconds_sum") == {key: 0.75, other: 1}
    assert rows(read, "http_response_size_bytes_sum") == {key: 150, other: 1}


@pytest.mark.parametrize("method", ["", "get", "BREW", "TRACE", "CONNECT", "X" * 100])
def test_unknown_methods_are_one(recorder: Recorder, read: Read, method: str) -> None:
    """A method that HTTP APIs don't use is no label."""
    recorder.request(method, "/health", 405, 0, 0)
    counted = rows(read, "http_request_duration_seconds_count")
    assert counted == {("/health", OTHER_METHOD, "405"): 1}


def test_known_methods_are_told_apart(recorder: Recorder, read: Read) -> None:
    """Each of METHODS has a series of its own."""
    for method in METHODS:
        recorder.request(method, "/health", 200, 0, 0)
    counted = rows(read, "http_request_duration_seconds_count")
    assert counted == {("/health", method, "200"): 1 for method in METHODS}


def test_a_stored_message_has_size_and_time(recorder: Recorder, read: Read) -> None:
    """Both are summed, each in its own histogram."""
    recorder.stored(1000, 0.5)
    recorder.stored(2000, 0.25)
    assert rows(read, "email_size_bytes_sum") == {(): 3000}
    assert rows(read, "email_size_bytes_count") == {(): 2}
    assert rows(read, "email_processing_duration_seconds_sum") == {(): 0.75}


def test_messages_without_an_endpoint_are_counted(recorder: Recorder, read: Read) -> None:
    """From 0 on, so that the first one is a rise."""
    assert read()["messages_without_endpoint_total",] == 0
    recorder.without_endpoint()
    recorder.without_endpoint()
    assert rows(read, "messages_without_endpoint_total") == {(): 2}


@pytest.mark.parametrize("outcome", ["duplicate", "rejected", "error"])
def test_other_outcomes_are_counted(recorder: Recorder, read: Read, outcome: NotStored) -> None:
    """Each by its name."""
    recorder.not_stored(outcome)
    assert rows(read, "emails_processed_total") == {(outcome,): 1}


def test_the_store_is_counted(recorder: Recorder, read: Read) -> None:
    """Failed adds, checks by how they went, and the messages of each commit."""
    recorder.failed_add()
    recorder.check(succeeded=True)
    recorder.check(succeeded=False)
    recorder.commit(3)
    recorder.commit(1)
    assert rows(read, "storage_operations_total") == {
        ("add", "failure"): 1,
        ("check", "success"): 1,
        ("check", "failure"): 1,
    }
    assert rows(read, "storage_commit_batch_size_sum") == {(): 4}
    assert rows(read, "storage_commit_batch_size_count") == {(): 2}


def test_the_database_is_counted(recorder: Recorder, read: Read) -> None:
    """Waits for a connection with their seconds, and failures, which begin at 0."""
    assert read()["database_connect_errors_total",] == 0
    recorder.database_connect_error()
    recorder.database_pool_wait(0.5)
    recorder.database_pool_wait(2)
    assert rows(read, "database_connect_errors_total") == {(): 1}
    assert rows(read, "database_pool_wait_seconds_sum") == {(): 2.5}
    assert rows(read, "database_pool_wait_seconds_count") == {(): 2}


def test_the_object_store_is_counted(recorder: Recorder, read: Read) -> None:
    """Each operation by how it went; each begins at 0, so that the first failure is a rise."""
    begun = [key for key in read() if key[0] == "object_store_operations_total"]
    assert len(begun) == 2 * len(OBJECT_OPERATIONS)
    recorder.object_store_operation("put", succeeded=True)
    recorder.object_store_operation("get", succeeded=False)
    assert rows(read, "object_store_operations_total") == {
        ("put", "success"): 1,
        ("get", "failure"): 1,
    }


def test_decisions_are_counted(recorder: Recorder, read: Read) -> None:
    """What the rate limit allows and what it denies."""
    for allowed in (True, False, True):
        recorder.rate_limit(allowed=allowed)
    assert rows(read, "rate_limit_hits_total") == {("allowed",): 2, ("denied",): 1}


def test_only_a_missing_token_is_a_failure_to_authenticate(recorder: Recorder, read: Read) -> None:
    """unauthorized counts twice, other errors once."""
    for code in ("unauthorized", "policy_reject", "unauthorized"):
        recorder.error(code, "/mail/inbound")
    assert rows(read, "auth_failures_total") == {(): 2}
    assert rows(read, "errors_total") == {
        ("/mail/inbound", "unauthorized"): 2,
        ("/mail/inbound", "policy_reject"): 1,
    }


def test_timeouts_begin_at_zero(recorder: Recorder, read: Read) -> None:
    """Those without a whole head too: the first rise of a series has to be one."""
    told = {key[1:] for key in read() if key[0] == "timeouts_total"}
    assert told == {("/mail/inbound",), ("/health",), (UNMATCHED,)}


def possible_requests() -> Iterator[tuple[str, str, int]]:
    """Return method, path and status of all that clients can bring about, a drain included."""
    every = {*METHODS, "BREW"}
    yield from (
        ("POST", path, status)
        for path in MAIL_RULES
        for status in {kind.status for kind in ERRORS.values()}
    )
    for path in (*MAIL_RULES, *PROBE_RULES):
        yield from ((method, path, status) for method in every for status in (405, 503))
    yield from ((method, path, 429) for method in every for path in MAIL_RULES)
    for path in PROBE_RULES:
        yield from ((method, path, 200) for method in ("GET", "HEAD", "OPTIONS"))
    yield from ((method, UNMATCHED, status) for method in every for status in (404, 503))
    yield from (("", UNMATCHED, status) for status in (400, 415, 500))


def test_all_that_clients_can_do_fits_the_files(
    in_slot: Callable[[int], None], tmp_path: Path
) -> None:
    """A file that grows has no space set aside: with a full memory that would end the worker."""
    in_slot(0)
    before = {file: file.stat().st_size for file in tmp_path.iterdir()}
    recorder = Recorder()
    recorder.know_endpoints((*MAIL_RULES, *PROBE_RULES, UNMATCHED), MAIL_RULES)
    for method, path, status in possible_requests():
        recorder.request(method, path, status, 0, 0)
    for code in ERRORS:
        for path in (*MAIL_RULES, *PROBE_RULES, "/unknown"):
            recorder.error(code, path)
    assert {file: file.stat().st_size for file in tmp_path.iterdir()} == before
