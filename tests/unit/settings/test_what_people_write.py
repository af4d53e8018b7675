"""What people write into files and environments, and what it is understood as."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from app.settings import Settings, inspect, load
from app.settings.model import Retention
from app.settings.sources import STANDARD_FILES

GOOD_TOKEN = "k7" * 16
NOTHING = Path("/dev/null")
LARAVEL = {
    "MAIL_MAILER": "smtp",
    "MAIL_USERNAME": "null",
    "MAIL_PASSWORD": "null",
    "MAIL_ENCRYPTION": "tls",
    "MAIL_FROM_ADDRESS": "hello@example.com",
    "MAIL_FROM_NAME": "${APP_NAME}",
}


def written(tmp_path: Path, text: str, name: str = "gomail.yaml") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return path


def loaded(tmp_path: Path, text: str) -> Settings:
    return load(environ={}, config=written(tmp_path, text))


def error_lines(environ: Mapping[str, str] | None = None, config: Path = NOTHING) -> list[str]:
    return [str(error) for error in inspect(None, environ or {}, config).errors]


def warning_lines(environ: Mapping[str, str] | None = None, config: Path = NOTHING) -> list[str]:
    return [str(warning) for warning in inspect(None, environ or {}, config).warnings]


@pytest.mark.parametrize("number", ["03110", "0_1", "1_000", "1:30", "0b11", "0o", "-00"])
def test_what_yaml_1_2_takes_for_text_is_no_number(tmp_path: Path, number: str) -> None:
    """YAML 1.1 read 03110 as octal and 1:30 as 90: a port that nobody meant."""
    assert error_lines(config=written(tmp_path, f"port: {number}\n")) == [
        f'port: "{number}" is text, not a whole number (allowed: 1 to 65535)'
    ]
    token = written(tmp_path, f"bearer_token: [{number}{number}{number}{number}x]\n")
    assert error_lines(config=token) == []


@pytest.mark.parametrize(("number", "meant"), [("3110", 3110), ("0xC26", 3110), ("0o17", 15)])
def test_numbers_of_yaml_1_2_are_numbers(tmp_path: Path, number: str, meant: int) -> None:
    """Decimal, and hexadecimal and octal as YAML 1.2 writes them."""
    assert loaded(tmp_path, f"port: {number}\n").server.port == meant


@pytest.mark.parametrize(
    ("word", "meant"),
    [("yes", True), ("on", True), ("True", True), ("'true'", True), ("no", False), ("Off", False)],
)
def test_truth_values_are_understood_as_they_always_were(
    tmp_path: Path, word: str, meant: bool
) -> None:
    """Yes and on are text in YAML 1.2; where a truth value belongs they stay one."""
    assert loaded(tmp_path, f"metrics_enabled: {word}\n").metrics.enabled is meant
    environ = {"MAIL_METRICS_ENABLED": word.strip("'")}
    assert load(environ=environ, config=NOTHING).metrics.enabled is meant


def test_no_is_text_where_text_belongs(tmp_path: Path) -> None:
    """Norway's domain is one in YAML 1.2."""
    assert loaded(tmp_path, "blocked_domains: [no]\n").mail.blocked_domains == {"no"}


@pytest.mark.parametrize(
    ("size", "count"),
    [("10MB", 10**7), ("25MiB", 26214400), ("10k", 10_000), ("64 KiB", 65536), ("2048b", 2048)],
)
def test_a_size_may_have_a_unit(tmp_path: Path, size: str, count: int) -> None:
    """MB counts in thousands, MiB in 1024s, in a file and in a variable alike."""
    assert loaded(tmp_path, f'max_message_size: "{size}"\n').mail.max_message_size == count
    environ = {"MAIL_MAX_MESSAGE_SIZE": size}
    assert load(environ=environ, config=NOTHING).mail.max_message_size == count


@pytest.mark.parametrize(("size", "count"), [("2TB", 2 * 10**12), ("1TiB", 2**40), ("0", 0)])
def test_a_disk_full_has_a_unit_too(tmp_path: Path, size: str, count: int) -> None:
    """retention_max_bytes may be in TB; 0 is no limit."""
    assert load(environ={"MAIL_RETENTION_MAX_BYTES": size}, config=NOTHING).retention == Retention(
        days=0, max_bytes=count, deduplication_days=7
    )


def test_only_a_size_has_a_unit_and_says_so(tmp_path: Path) -> None:
    """A unit makes no sense for a port; what isn't a size names one."""
    config = written(tmp_path, 'port: "3k"\nmax_message_size: 10XB\n')
    assert error_lines(config=config) == [
        'port: "3k" is text, not a whole number (allowed: 1 to 65535)',
        'max_message_size: "10XB" is text, not a whole number'
        " (allowed: 1024 to 1073741824, or a size such as 25MB or 25MiB)",
    ]


def test_a_word_of_a_choice_may_have_any_case(tmp_path: Path) -> None:
    """INFO is what most programs call it."""
    assert loaded(tmp_path, "log_level: WARNING\nlog_format: Text\n").logging.level == "warning"
    assert load(environ={"MAIL_LOG_LEVEL": "INFO"}, config=NOTHING).logging.level == "info"


def test_one_text_where_a_list_belongs_is_a_list(tmp_path: Path) -> None:
    """One domain needs no brackets, and several may have commas as in a variable."""
    settings = loaded(
        tmp_path, "blocked_domains: spam.example\nallowed_recipient_domains: a.example, b.example\n"
    )
    assert settings.mail.blocked_domains == {"spam.example"}
    assert settings.mail.allowed_recipient_domains == {"a.example", "b.example"}


def test_a_token_of_the_file_keeps_its_comma(tmp_path: Path) -> None:
    """A token isn't a list that somebody forgot the brackets of."""
    settings = loaded(tmp_path, f"bearer_token: '{GOOD_TOKEN},{GOOD_TOKEN}'\n")
    assert settings.authentication.bearer_tokens == (f"{GOOD_TOKEN},{GOOD_TOKEN}",)


def test_domains_may_be_written_in_unicode(tmp_path: Path) -> None:
    """They are compared in ASCII, like those of messages."""
    settings = loaded(
        tmp_path, "allowed_recipient_domains: [Straße.example]\nprimary_domain: bücher.example\n"
    )
    assert settings.mail.allowed_recipient_domains == {"xn--strae-oqa.example"}
    assert settings.mail.primary_domain == "xn--bcher-kva.example"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("MAIL_HOST", "mail.example.com"),
        ("MAIL_PORT", "8080"),
        ("MAIL_BEARER_TOKEN", GOOD_TOKEN),
        ("MAIL_LOG_LEVEL", "debug"),
        ("MAIL_METRICS_PATH", "/m"),
        ("MAIL_RATE_LIMIT_URL", "redis://127.0.0.1"),
        ("MAIL_DATA_DIR", "/srv/mail"),
    ],
)
def test_white_space_at_the_ends_of_a_variable_is_removed(name: str, text: str) -> None:
    """For every key alike: a copied line end never becomes part of a value."""
    padded = load(environ={name: f" \t{text}\r\n"}, config=NOTHING)
    assert padded == load(environ={name: text}, config=NOTHING)


def test_a_variable_of_white_space_alone_sets_nothing(tmp_path: Path) -> None:
    """It leaves the file its say."""
    config = written(tmp_path, "host: 127.0.0.2\n")
    assert load(environ={"MAIL_HOST": " \n"}, config=config).server.host == "127.0.0.2"


def test_white_space_at_the_ends_of_a_secret_file_is_removed(tmp_path: Path) -> None:
    """Also spaces, and the mark that Windows puts in front."""
    secret = written(tmp_path, f"\ufeff\n  {GOOD_TOKEN} \n\n", "token")
    environ = {"MAIL_BEARER_TOKEN_FILE": f" {secret} "}
    assert load(environ=environ, config=NOTHING).authentication.bearer_tokens == (GOOD_TOKEN,)


def test_a_fault_in_a_secret_file_names_the_file(tmp_path: Path) -> None:
    """Nobody should look for it in the configuration; the same goes for a warning."""
    secret = written(tmp_path, "weak", "token")
    environ = {"MAIL_BEARER_TOKEN_FILE": str(secret)}
    [line] = error_lines(environ)
    assert line.startswith("bearer_token: is shorter than 8 characters")
    assert line.endswith(f"; in {secret}, see MAIL_BEARER_TOKEN_FILE")
    secret.write_text("k7" * 8, encoding="utf-8")
    assert warning_lines(environ) == [
        f"bearer_token: is shorter than 32 characters; in {secret}, see MAIL_BEARER_TOKEN_FILE"
    ]


def test_a_tilde_is_the_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For data_dir and for each path that a variable or --config names."""
    monkeypatch.setenv("HOME", str(tmp_path))
    written(tmp_path, "data_dir: ~/mail\nthreads: 3\n", "mine.yaml")
    written(tmp_path, GOOD_TOKEN, "token")
    environ = {"MAIL_CONFIG": "~/mine.yaml", "MAIL_BEARER_TOKEN_FILE": "~/token"}
    settings = load(environ=environ)
    assert settings.storage.data_dir == tmp_path.resolve() / "mail"
    assert settings.server.threads == 3
    assert settings.authentication.bearer_tokens == (GOOD_TOKEN,)
    assert load(environ={}, config=Path("~/mine.yaml")).server.threads == 3


def test_the_home_of_nobody_is_refused() -> None:
    """A directory that is called ~somebody is never what was meant."""
    [line] = error_lines({"MAIL_DATA_DIR": "~no-such-user/mail"})
    assert line.startswith("data_dir: ")
    assert "~" in line


def test_the_file_may_be_called_yml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After gomail.yaml, and before those in /etc."""
    assert list(map(str, STANDARD_FILES)) == [
        *("gomail.yaml", "gomail.yml"),
        *("/etc/gomail/gomail.yaml", "/etc/gomail/gomail.yml"),
    ]
    monkeypatch.chdir(tmp_path)
    written(tmp_path, "port: 1001\n", "gomail.yml")
    assert inspect(environ={}).file == tmp_path / "gomail.yml"
    assert load(environ={}).server.port == 1001
    written(tmp_path, "port: 1002\n")
    assert load(environ={}).server.port == 1002


def test_the_environment_of_laravel_is_no_error() -> None:
    """Its variables are warned about, and mail comes in."""
    inspection = inspect(None, LARAVEL, NOTHING)
    assert inspection.errors == ()
    assert [str(warning) for warning in inspection.warnings] == [
        f"{name}: is unknown and ignored" for name in LARAVEL
    ]


def test_a_typing_error_in_a_variable_is_an_error() -> None:
    """A server without the token that it was given would be a trap."""
    assert error_lines({"MAIL_BEARER_TOKN": GOOD_TOKEN, "MAIL_BEARER_TOKEN_FIEL": "/x"}) == [
        "MAIL_BEARER_TOKN: is unknown (nearest: MAIL_BEARER_TOKEN)",
        "MAIL_BEARER_TOKEN_FIEL: is unknown (nearest: MAIL_BEARER_TOKEN_FILE)",
    ]


def test_a_foreign_variable_that_is_related_names_the_known_one() -> None:
    """It may have been meant, and only a line tells."""
    assert warning_lines({"MAIL_TOKEN": "x"}) == [
        "MAIL_TOKEN: is unknown and ignored (nearest: MAIL_BEARER_TOKEN)"
    ]


def test_a_key_in_capitals_names_the_key(tmp_path: Path) -> None:
    """PORT once was told to be write_timeout; what is like nothing names where to look."""
    assert error_lines(config=written(tmp_path, "PORT: 3000\ncolour: blue\n")) == [
        "PORT: is unknown (nearest: port)",
        "colour: is unknown (see flask gomail validate --show-schema)",
    ]


@pytest.mark.parametrize("quoted", [f'"{GOOD_TOKEN}"', f"'{GOOD_TOKEN}'", f'"{GOOD_TOKEN}'])
def test_quotes_around_a_token_are_a_warning(quoted: str) -> None:
    """Docker's --env-file leaves them there, and no client sends them."""
    assert warning_lines({"MAIL_BEARER_TOKEN": quoted}) == [
        "bearer_token: begins or ends with a quotation mark, which counts as part of the token"
    ]
    assert warning_lines({"MAIL_BEARER_TOKEN": GOOD_TOKEN}) == []


def test_the_default_that_make_run_gives_is_only_a_default(tmp_path: Path) -> None:
    """People at a terminal read text, unless the file or the environment says otherwise."""
    environ = {"GOMAIL_DEFAULT_LOG_FORMAT": "text"}
    assert load(environ=environ, config=NOTHING).logging.format == "text"
    config = written(tmp_path, "log_format: json\n")
    assert load(environ=environ, config=config).logging.format == "json"
    by_variable = environ | {"MAIL_LOG_FORMAT": "json"}
    assert load(environ=by_variable, config=NOTHING).logging.format == "json"
