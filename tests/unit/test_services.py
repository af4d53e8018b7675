from io import BytesIO
from pathlib import Path

import pytest

from app.auth.generated_token import generated_token
from app.auth.tokens import TokenKind, make_token
from app.errors import StorageUnavailable
from app.intake.envelope import PartialEnvelope
from app.intake.partial_message import PartialMessage
from app.intake.receive import BodyKind, Upload
from app.ratelimit.redis import RedisLimiter
from app.ratelimit.shared_memory import SharedLimiter
from app.services import Services, build, now, prepare, valid_tokens
from app.settings import Settings, load
from app.state.shared import SharedState
from app.storage.interface import Query

TOKENS = ["first-token-of-the-two", "zweites-Schlüsselchen"]
API_TOKENS = ["first-token-that-reads", "zweites-Schlüsselchen-zum-Lesen"]


def settings(data_dir: Path, **flags: object) -> Settings:
    return load({"data_dir": str(data_dir), **flags}, environ={}, config=Path("/dev/null"))


def test_configured_tokens_are_all_valid(tmp_path: Path) -> None:
    """Every configured token counts, in UTF-8, and none is generated beside them."""
    found = valid_tokens(settings(tmp_path, bearer_token=TOKENS, api_token=API_TOKENS))
    assert found == (
        *(make_token(TokenKind.BEARER, token) for token in TOKENS),
        *(make_token(TokenKind.API, token) for token in API_TOKENS),
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("missing", TokenKind)
def test_a_token_is_generated_for_a_kind_without_one(tmp_path: Path, missing: TokenKind) -> None:
    """It is the one in the data directory; none is generated for the other kind."""
    configured = {TokenKind.BEARER: TOKENS, TokenKind.API: API_TOKENS}
    del configured[missing]
    found = valid_tokens(settings(tmp_path, **{str(k): v for k, v in configured.items()}))
    generated = generated_token(tmp_path, missing)
    assert [token for token in found if token.kind is missing] == [make_token(missing, generated)]
    assert len(found) == 3
    assert len(list(tmp_path.iterdir())) == 1


def test_a_start_prepares_everything(tmp_path: Path) -> None:
    """After `prepare` there are token and tables, and what a crash left behind is gone."""
    data_dir = tmp_path / "data"
    prepare(settings(data_dir))
    leftover = data_dir / "segments" / ("1" * 32 + ".records")
    leftover.write_bytes(b"torn")
    prepare(settings(data_dir))
    assert not leftover.exists()
    assert {"token", "api-token"} <= {path.name for path in data_dir.iterdir()}

    services = build(settings(data_dir), SharedState())
    assert services.store.count(Query()) == 0
    services.close()


def test_a_data_directory_that_cannot_exist_is_unavailable(tmp_path: Path) -> None:
    """Neither the preparation nor the assembly passes over a place that can't hold mail."""
    (tmp_path / "file").touch()
    unfit = settings(tmp_path / "file" / "data")
    with pytest.raises(StorageUnavailable):
        prepare(unfit)
    with pytest.raises(StorageUnavailable):
        build(unfit, SharedState())


def test_a_start_makes_the_secrets_of_endpoints(tmp_path: Path) -> None:
    """Where none is configured, before anything is to be signed."""
    endpoints = [{"name": "support", "url": "https://app.example.com/"}]
    prepare(settings(tmp_path, webhook_url="https://app.example.com/", endpoints=endpoints))
    names = [path.name for path in (tmp_path / "endpoints").iterdir()]
    assert sorted(names) == ["support.secret", "webhook.secret"]


@pytest.mark.parametrize(
    ("patterns", "is_unrouted"), [(["*@example.com"], False), (["*@example.org"], True)]
)
def test_messages_take_the_configured_routes(
    tmp_path: Path, patterns: list[str], is_unrouted: bool
) -> None:
    """The receiver knows the endpoints of the settings."""
    endpoint = {"name": "a", "url": "https://app.example.com/", "recipients": patterns}
    configured = settings(tmp_path, endpoints=[endpoint])
    prepare(configured)
    services = build(configured, SharedState())
    partial = PartialMessage(PartialEnvelope("ann@example.org", "bob@Example.com"))
    upload = Upload(BytesIO(b"Subject: Hi\n\n"), None, BodyKind.RAW, partial)
    assert services.receiver.receive(upload).is_unrouted is is_unrouted
    services.close()


def built(tmp_path: Path, **flags: object) -> Services:
    services = build(settings(tmp_path, **flags), SharedState())
    services.close()
    return services


@pytest.mark.parametrize("name", ["limit", "api_limit"])
def test_the_settings_choose_the_limiter(tmp_path: Path, name: str) -> None:
    """Shared memory by default, Redis or Valkey when one is named, for both limits."""
    assert isinstance(getattr(built(tmp_path), name).limiter, SharedLimiter)
    services = built(tmp_path, rate_limit_url="valkey://127.0.0.1/1")
    assert isinstance(getattr(services, name).limiter, RedisLimiter)


def test_each_limit_can_be_off(tmp_path: Path) -> None:
    """0 a minute turns one limit off, and leaves the other on."""
    services = built(tmp_path, rate_limit_per_minute=0)
    assert services.limit is None
    assert services.api_limit is not None
    services = built(tmp_path, api_rate_limit_per_minute=0)
    assert services.limit is not None
    assert services.api_limit is None


def test_two_limits_of_one_client_have_two_buckets(tmp_path: Path) -> None:
    """They share memory, but a request counts against one of them only."""
    services = built(
        tmp_path, rate_limit_per_minute=1, rate_limit_burst=2, api_rate_limit_per_minute=30
    )
    limit, api_limit = services.limit, services.api_limit
    assert limit is not None
    assert api_limit is not None
    assert [limit.take("192.0.2.1").allowed for _ in range(3)] == [True, True, False]
    assert [api_limit.take("192.0.2.1").allowed for _ in range(4)] == [True, True, True, False]


def test_the_time_has_milliseconds() -> None:
    """Ids and rows hold no more, so two views of one moment can be compared."""
    moments = [now() for _ in range(100)]
    assert {moment.microsecond % 1000 for moment in moments} == {0}
    assert moments == sorted(moments)


def test_the_inbox_page_is_there_unless_it_is_turned_off(tmp_path: Path) -> None:
    """Under the usual hosts, the address that is listened on, and those of allowed_hosts."""
    prepare(settings(tmp_path))
    flags = {"host": "0.0.0.0", "allowed_hosts": ["Mail.Example.com"]}
    services = build(settings(tmp_path, **flags), SharedState())
    assert services.inbox is not None
    assert services.inbox.hosts == {
        *("localhost", "127.0.0.1", "::1", "0.0.0.0", "mail.example.com"),
    }
    assert services.inbox.login_limit.per_minute == 10
    services.close()
    services = build(settings(tmp_path, inbox_enabled=False), SharedState())
    assert services.inbox is None
    services.close()


def test_failed_logins_are_limited_though_nothing_else_is(tmp_path: Path) -> None:
    """Whatever the rate limits are set to, and by all workers together."""
    prepare(settings(tmp_path))
    free, shared = {"rate_limit_per_minute": 0, "api_rate_limit_per_minute": 0}, SharedState()
    workers = [build(settings(tmp_path, **free), shared) for _ in range(2)]
    taken = [
        worker.inbox.login_limit.take("192.0.2.1").allowed
        for worker in workers * 6
        if worker.inbox is not None
    ]
    assert taken == [True] * 10 + [False] * 2
    for worker in workers:
        worker.close()
