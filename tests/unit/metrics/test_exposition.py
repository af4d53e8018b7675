import dataclasses
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from support.linux_process import in_child
from support.metrics_files import Read, values_of

from app.metrics.catalog import CATALOG
from app.metrics.delivery_families import DeliveryFigures
from app.metrics.delivery_recorder import DeliveryRecorder
from app.metrics.exposition import Exposition
from app.metrics.limits import limits
from app.metrics.recorder import Recorder
from app.metrics.slot_values import forget_gauges
from app.metrics.stored import Figures
from app.settings import Settings, Storage
from app.settings.model import WAITING_THREADS, assemble
from app.settings.schema import defaults
from app.state.processes import MASTER
from app.state.shared import SharedState
from app.state.shutdowns import record_shutdown
from app.version import __version__

FIGURES = Figures(
    messages=7,
    bytes=7000,
    deleted={"retention": 2, "request": 1},
    passed_over=3,
    retention_ran_at=1_700_000_000,
    kept_for_delivery=5,
    deliveries=DeliveryFigures(
        counts={("webhook", "pending"): 3, ("webhook", "dead"): 1, ("former", "pending"): 2},
        oldest_pending={"webhook": 90.5, "former": 1000},
        paused=frozenset(),
    ),
)


class Stored:
    """What the store tells; None when it can't be read."""

    def __init__(self) -> None:
        self.figures: Figures | None = FIGURES

    def __call__(self) -> Figures | None:
        return self.figures


@pytest.fixture
def stored() -> Stored:
    """Return a store that can be read."""
    return Stored()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return the default settings, with a data directory that exists, a database and a bucket."""
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    given = {"workers": 3, "threads": 4, "webhook_url": "https://app.example.com/mail"}
    shared = {"database_url": "postgresql:///gomail", "object_store_url": "s3://gomail"}
    return assemble(defaults() | {"data_dir": str(data_dir)} | given | shared)


@pytest.fixture
def shared() -> SharedState:
    """Return shared memory in which nothing has happened."""
    return SharedState()


@pytest.fixture
def exposition(
    tmp_path: Path, settings: Settings, shared: SharedState, stored: Stored
) -> Exposition:
    """Return what is exposed of all that."""
    return Exposition(tmp_path, settings, shared.slots, shared.processes, stored)


@pytest.fixture
def scrape(exposition: Exposition) -> Read:
    """Return a function that collects samples: values by name and labels, ordered by theirs."""
    registry = CollectorRegistry()
    registry.register(exposition)

    return lambda: values_of(registry.collect())


def test_each_metric_is_there_once_before_anything_happens(exposition: Exposition) -> None:
    """Families of the catalogue and no others, each described as the catalogue has it."""
    names = [metric.name.removesuffix("_total") for metric in CATALOG]
    assert sorted(family.name for family in exposition.collect()) == sorted(names)
    assert [family.name for family in exposition.describe()] == names
    kinds = {metric.name.removesuffix("_total"): (metric.kind, metric.help) for metric in CATALOG}
    for family in exposition.collect():
        assert (family.type, family.documentation) == kinds[family.name]


def test_what_follows_from_other_numbers_is_derived(
    in_slot: Callable[[int], None], scrape: Read
) -> None:
    """Requests, stored messages and successful adds are those that the histograms counted."""
    in_slot(0)
    recorder = Recorder()
    recorder.know_endpoints(["/health"], [])
    recorder.request("GET", "/health", 200, 0.1, 5)
    recorder.request("GET", "/health", 200, 0.1, 5)
    recorder.stored(10, 0.1)
    recorder.not_stored("duplicate")
    recorder.commit(2)
    recorder.failed_add()
    found = scrape()
    assert found["http_requests_total", "/health", "GET", "200"] == 2
    assert found["emails_processed_total", "success"] == 1
    assert found["emails_processed_total", "duplicate"] == 1
    assert found["storage_operations_total", "add", "success"] == 2
    assert found["storage_operations_total", "add", "failure"] == 1


def test_the_samples_have_the_labels_of_the_catalogue(
    in_slot: Callable[[int], None], exposition: Exposition, shared: SharedState
) -> None:
    """No label more and none less, but for the bounds of histograms."""
    in_slot(0)
    recorder = Recorder()
    recorder.request("GET", "/", 200, 0.1, 5)
    recorder.error("unauthorized", "/")
    recorder.timeout("/")
    recorder.stored(10, 0.1)
    recorder.commit(1)
    recorder.without_endpoint()
    recorder.database_pool_wait(0.1)
    DeliveryRecorder(["webhook"]).attempt("webhook", "delivered", 0.1)
    shared.processes.begin(MASTER)
    labels = {metric.name.removesuffix("_total"): set(metric.labels) for metric in CATALOG}
    for family in exposition.collect():
        assert family.samples, family.name
        for sample in family.samples:
            assert sample.labels.keys() - {"le"} == labels[family.name]


def test_what_is_in_flight_and_the_drain_are_told(scrape: Read, shared: SharedState) -> None:
    """Both come from the slots."""
    shared.slots.enter()
    assert (scrape()["http_active_requests",], scrape()["server_draining",]) == (1, 0)
    shared.slots.drain()
    assert scrape()["server_draining",] == 1


def test_a_disk_that_is_gone_costs_its_own_metrics_only(scrape: Read, settings: Settings) -> None:
    """Space is told as long as it can be, and the rest always."""
    found = scrape()
    assert 0 < found["storage_free_bytes",] <= found["storage_size_bytes",]
    settings.storage.data_dir.rmdir()
    found = scrape()
    assert not {("storage_free_bytes",), ("storage_size_bytes",)} & found.keys()
    assert found["build_info", __version__] == 1


def test_what_the_store_counts_is_told_while_it_can_be_read(scrape: Read, stored: Stored) -> None:
    """Each figure under its name; without them the rest is there all the same."""
    found = scrape()
    assert (found["stored_messages",], found["stored_bytes",]) == (7, 7000)
    assert found["messages_deleted_total", "retention"] == 2
    assert found["messages_deleted_total", "request"] == 1
    assert found["storage_records_passed_over_total",] == 3
    assert found["storage_retention_last_run_timestamp_seconds",] == 1_700_000_000
    assert found["storage_messages_kept_for_delivery",] == 5
    stored.figures = None
    names = {key[0] for key in scrape()}
    assert not {name for name in names if name.startswith(("stored_", "messages_deleted"))}
    assert "build_info" in names


def test_shutdowns_are_those_on_record(scrape: Read, settings: Settings) -> None:
    """Counts, sums and buckets for each type, whatever happened in between."""
    for seconds in (0.7, 3):
        record_shutdown(settings.storage.data_dir, "graceful", seconds)
    found = scrape()
    assert found["shutdowns_total", "graceful"] == 2
    assert found["shutdowns_total", "forced"] == 0
    assert found["shutdown_duration_seconds_sum", "graceful"] == pytest.approx(3.7)
    bounds = ("0.5", "1.0", "2.5", "5.0", "10.0", "30.0", "60.0", "+Inf")
    name = "shutdown_duration_seconds_bucket"
    counts = [found[name, bound, "graceful"] for bound in bounds]
    assert counts == [0, 1, 1, 2, 2, 2, 2, 2]


def test_shutdowns_stay_while_their_record_cannot_be_read(scrape: Read, settings: Settings) -> None:
    """A disk that is gone and comes back looks like no shutdown, neither then nor later."""
    data_dir = settings.storage.data_dir
    record_shutdown(data_dir, "forced", 3)
    assert scrape()["shutdowns_total", "forced"] == 1
    (data_dir / "shutdowns.json").rename(data_dir / "away")
    found = scrape()
    assert found["shutdowns_total", "forced"] == 1
    assert found["shutdown_duration_seconds_count", "forced"] == 1


def test_limits_are_those_of_the_settings(scrape: Read, settings: Settings) -> None:
    """What is told is what is in force; requests at once are summed over the workers."""
    found = scrape()
    told = {key[1]: value for key, value in found.items() if key[0] == "config_limit"}
    assert told == limits(settings)
    assert told["max_message_size"] == settings.mail.max_message_size
    assert told["requests_at_once"] == 3 * (4 + WAITING_THREADS)
    mail = dataclasses.replace(settings.mail, max_message_size=99)
    assert limits(dataclasses.replace(settings, mail=mail))["max_message_size"] == 99


def test_the_database_is_told_of_only_where_there_is_one(
    in_slot: Callable[[int], None], tmp_path: Path, settings: Settings, shared: SharedState
) -> None:
    """Without these settings their metrics and limits would be noise on every dashboard."""
    in_slot(0)
    recorder = Recorder()
    recorder.database_connect_error()
    recorder.object_store_operation("put", succeeded=True)

    def told(storage: Storage) -> set[str]:
        changed = dataclasses.replace(settings, storage=storage)
        exposition = Exposition(tmp_path, changed, shared.slots, shared.processes, Stored())
        found = values_of(exposition.collect())
        names = {key[0] for key in found} | {key[1] for key in found if key[0] == "config_limit"}
        return {name for name in names if name.startswith(("database_", "object_", "storage_t"))}

    of_database = {
        *("database_connect_errors_total", "database_pool_connections", "database_pool_size"),
        *(f"database_pool_wait_seconds_{end}" for end in ("bucket", "count", "sum")),
        "storage_timeout",
    }
    assert told(settings.storage) == of_database | {"object_store_operations_total"}
    assert told(dataclasses.replace(settings.storage, objects=None)) == of_database
    assert told(Storage(settings.storage.data_dir)) == set()


def test_connections_of_the_living_are_added_up(
    in_slot: Callable[[int], None], tmp_path: Path, scrape: Read
) -> None:
    """Those of a worker that has ended are closed, and its successor begins with none."""
    for slot in (0, 1):
        in_slot(slot)
        Recorder().database_pool(in_use=slot + 1, idle=3)
    name = "database_pool_connections"
    assert (scrape()[name, "in_use"], scrape()[name, "idle"]) == (3, 6)
    forget_gauges(tmp_path, 1)
    assert (scrape()[name, "in_use"], scrape()[name, "idle"]) == (1, 3)
    in_slot(0)
    Recorder()
    assert (scrape()[name, "in_use"], scrape()[name, "idle"]) == (0, 0)


def test_processes_are_told_by_their_place(scrape: Read, shared: SharedState) -> None:
    """The master under its name, a worker under its number, the dead ones not at all."""
    shared.processes.begin(MASTER)
    in_child(lambda: shared.processes.begin(7))
    shared.processes.end(7)
    found = scrape()
    workers = {key[-1] for key in found if key[0] == "process_open_fds"}
    assert workers == {"master"}
    assert found["python_threads", "master"] >= 1
    assert found["process_resident_memory_bytes", "master"] > 1_000_000
    assert found["process_cpu_seconds_total", "master"] == pytest.approx(sum(os.times()[:2]), abs=1)


def states_of(found: Mapping[tuple[str, ...], float], endpoint: str) -> list[str]:
    """Return the states that an endpoint is said to be in."""
    name = "delivery_endpoint_state"
    return [key[2] for key, value in found.items() if key[:2] == (name, endpoint) and value]


def test_deliveries_are_those_of_the_queue(scrape: Read) -> None:
    """Each state of each endpoint, configured or not, and how long the oldest has waited."""
    found = scrape()
    counts = {key[1:]: value for key, value in found.items() if key[0] == "deliveries"}
    assert len(counts) == 2 * 4
    assert (counts["webhook", "pending"], counts["webhook", "dead"]) == (3, 1)
    assert (counts["webhook", "delivered"], counts["former", "pending"]) == (0, 2)
    assert found["delivery_oldest_pending_seconds", "webhook"] == 90.5


def test_an_endpoint_is_in_one_state(
    in_slot: Callable[[int], None], scrape: Read, stored: Stored
) -> None:
    """Open or closed as the delivery process says; paused, if the queue or the settings say so."""
    in_slot(0)
    assert states_of(scrape(), "webhook") == ["closed"]
    recorder = DeliveryRecorder(["webhook"])
    assert states_of(scrape(), "webhook") == ["closed"]
    recorder.breaker("webhook", is_open=True)
    assert states_of(scrape(), "webhook") == ["open"]
    assert states_of(scrape(), "former") == ["paused"]
    deliveries = dataclasses.replace(FIGURES.deliveries, paused=frozenset({"webhook"}))
    stored.figures = dataclasses.replace(FIGURES, deliveries=deliveries)
    assert states_of(scrape(), "webhook") == ["paused"]


def test_attempts_are_counted_from_nought(in_slot: Callable[[int], None], scrape: Read) -> None:
    """Each outcome of each configured endpoint is there before it happens."""
    in_slot(0)
    recorder = DeliveryRecorder(["webhook"])
    outcomes = ("delivered", "refused", "timeout", "unreachable")
    found = scrape()
    assert [found["delivery_attempts_total", "webhook", each] for each in outcomes] == [0] * 4
    recorder.attempt("webhook", "timeout", 30)
    found = scrape()
    assert found["delivery_attempts_total", "webhook", "timeout"] == 1
    assert found["delivery_attempt_duration_seconds_sum", "webhook"] == 30
