from pathlib import Path

import pytest

from app.auth.generated_token import generated_token
from app.errors import StorageUnavailable
from app.ratelimit.redis import RedisLimiter
from app.ratelimit.shared_memory import SharedLimiter
from app.services import Services, bearer_tokens, build, now, prepare
from app.settings import Settings, load
from app.state.shared import SharedState
from app.storage.interface import Query

TOKENS = ["first-token-of-the-two", "zweites-Schlüsselchen"]


def settings(data_dir: Path, **flags: object) -> Settings:
    return load({"data_dir": str(data_dir), **flags}, environ={}, config=Path("/dev/null"))


def test_configured_tokens_are_all_valid(tmp_path: Path) -> None:
    """Every configured token counts, in UTF-8, and none is generated beside them."""
    tokens = bearer_tokens(settings(tmp_path, bearer_token=TOKENS))
    assert tokens == tuple(token.encode() for token in TOKENS)
    assert list(tmp_path.iterdir()) == []


def test_without_a_token_one_is_generated(tmp_path: Path) -> None:
    """The one in the data directory holds, the same at each call."""
    expected = (generated_token(tmp_path).encode(),)
    assert bearer_tokens(settings(tmp_path)) == expected


def test_a_start_prepares_everything(tmp_path: Path) -> None:
    """After `prepare` there are token and tables, and what a crash left behind is gone."""
    data_dir = tmp_path / "data"
    prepare(settings(data_dir))
    leftover = data_dir / "segments" / ("1" * 32 + ".records")
    leftover.write_bytes(b"torn")
    prepare(settings(data_dir))
    assert not leftover.exists()
    assert generated_token(data_dir).encode() in bearer_tokens(settings(data_dir))

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


def limiter_type(tmp_path: Path, **flags: object) -> type:
    services: Services = build(settings(tmp_path, **flags), SharedState())
    services.close()
    return type(services.limiter)


def test_the_settings_choose_the_limiter(tmp_path: Path) -> None:
    """Shared memory by default, Redis or Valkey when one is named, nothing at 0 a minute."""
    assert limiter_type(tmp_path) is SharedLimiter
    assert limiter_type(tmp_path, rate_limit_url="valkey://127.0.0.1/1") is RedisLimiter
    assert limiter_type(tmp_path, rate_limit_per_minute=0) is type(None)


def test_the_time_has_milliseconds() -> None:
    """Ids and rows hold no more, so two views of one moment can be compared."""
    moments = [now() for _ in range(100)]
    assert {moment.microsecond % 1000 for moment in moments} == {0}
    assert moments == sorted(moments)
