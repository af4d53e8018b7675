import json
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.settings import Inspection, InvalidSettings, inspect, load
from app.settings.schema import properties, variable

# A busy machine is no fault of the settings.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

SECRET = "S3cr3t-Pl4nted-V4lue"

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
keys = st.sampled_from(sorted(properties())) | st.text()
mappings = st.dictionaries(keys, values, max_size=8)
# A secret that sits where it belongs, or is mangled in the ways that happen to people.
planted = st.sampled_from(
    [
        SECRET,
        f"{SECRET} {SECRET}",
        f"{SECRET}\n",
        [SECRET, 5, f" {SECRET}"],
        {SECRET: SECRET},
        [[SECRET]],
        {"value": [SECRET]},
    ]
)
WHSEC = f"whsec_{SECRET}"
members = st.sampled_from(
    [
        *("name", "url", "recipients", "secret_file", "secret", "ca_file", "format", "timeout"),
        WHSEC,
    ]
)
endpoint_lists = st.lists(
    st.dictionaries(members, st.sampled_from([WHSEC, [WHSEC], [1, WHSEC], {WHSEC: WHSEC}, 1, None]))
    | st.sampled_from([WHSEC, [WHSEC], {"url": f"https://x:{SECRET}@y/"}, {"url": SECRET}])
)
broken_lines = st.sampled_from(
    [
        f"bearer_token: *{SECRET}",
        f"bearer_token: !{SECRET} x",
        f"bearer_token: '{SECRET}",
        f"bearer_token: [{SECRET}",
        f"bearer_token: {{{SECRET}: 1, {SECRET}: 2}}",
        f"bearer_token: a: {SECRET}",
        f"bearer_token={SECRET}: x",
        f"bearer_token={SECRET}",
        f'{{"bearer_token: {SECRET}"}}',
        f"bearer_token: {SECRET}\nbearer_token: {SECRET}",
    ]
)


def everything_shown(inspection: Inspection) -> str:
    return (
        repr(inspection)
        + json.dumps(inspection.values)
        + "".join(str(fault) for fault in inspection.errors + inspection.warnings)
    )


@unhurried
@given(mapping=mappings, suffix=st.sampled_from(["json", "yaml"]))
def test_no_mapping_raises_anything_but_invalid_settings(
    tmp_path_factory: pytest.TempPathFactory, mapping: dict[str, object], suffix: str
) -> None:
    """Whatever a file says, the answer is settings or a list of faults."""
    config = tmp_path_factory.getbasetemp() / f"mapping.{suffix}"
    config.write_text(json.dumps(mapping), encoding="utf-8")
    with suppress(InvalidSettings):
        load(environ={}, config=config)


@unhurried
@given(text=st.text())
def test_no_text_raises_anything_but_invalid_settings(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    """Whatever bytes a file holds, the answer is settings or a list of faults."""
    config = tmp_path_factory.getbasetemp() / "text.yaml"
    config.write_bytes(text.encode("utf-8", "surrogatepass"))
    with suppress(InvalidSettings):
        load(environ={}, config=config)


@unhurried
@given(flags=st.dictionaries(keys, values), environ=st.dictionaries(keys.map(variable), st.text()))
def test_no_flag_or_variable_raises_anything_but_invalid_settings(
    flags: dict[str, object], environ: dict[str, str]
) -> None:
    """Whatever flags and variables say, every value shown can be written as JSON."""
    inspection = inspect(flags, {"MAIL_CONFIG": "/dev/null"} | environ)
    assert (inspection.settings is None) == bool(inspection.errors)
    json.dumps(inspection.values, allow_nan=False)


@unhurried
@given(secret=planted, others=st.dictionaries(st.sampled_from(["port", "prot", "host"]), scalars))
def test_a_planted_secret_is_never_shown(
    tmp_path_factory: pytest.TempPathFactory, secret: object, others: dict[str, object]
) -> None:
    """A token, valid or not, is in no fault, warning, value or repr, wherever it comes from."""
    config = tmp_path_factory.getbasetemp() / "planted.yaml"
    config.write_text(json.dumps(others | {"bearer_token": secret}), encoding="utf-8")
    inspections = [
        inspect(environ={}, config=config),
        inspect({"bearer_token": secret}, {"MAIL_CONFIG": "/dev/null"}),
        inspect(environ={"MAIL_BEARER_TOKEN": str(secret), "MAIL_CONFIG": "/dev/null"}),
    ]
    for inspection in inspections:
        assert SECRET not in everything_shown(inspection)


@unhurried
@given(endpoints=endpoint_lists, secret=st.sampled_from([WHSEC, [WHSEC], {WHSEC: 1}]))
def test_a_planted_secret_of_an_endpoint_is_never_shown(
    tmp_path_factory: pytest.TempPathFactory, endpoints: list[object], secret: object
) -> None:
    """In whichever member it is, as key or as value, in the file or in the variable."""
    settings = {"endpoints": endpoints, "webhook_secret": secret, "webhook_url": WHSEC}
    config = tmp_path_factory.getbasetemp() / "endpoints.yaml"
    config.write_text(json.dumps(settings), encoding="utf-8")
    environ = {"MAIL_ENDPOINTS": json.dumps(endpoints), "MAIL_WEBHOOK_SECRET": json.dumps(secret)}
    for inspection in (
        inspect(environ={}, config=config),
        inspect(settings, {"MAIL_CONFIG": "/dev/null"}),
        inspect(environ={"MAIL_CONFIG": "/dev/null"} | environ),
    ):
        assert SECRET not in everything_shown(inspection)


@unhurried
@given(line=broken_lines, before=st.sampled_from(["", "port: 1\n", "prot: 1\n"]))
def test_a_secret_in_a_broken_line_is_never_shown(
    tmp_path_factory: pytest.TempPathFactory, line: str, before: str
) -> None:
    """A file that can't be read is reported without quoting from it."""
    config = tmp_path_factory.getbasetemp() / "broken.yaml"
    config.write_text(before + line, encoding="utf-8")
    inspection = inspect(environ={}, config=config)
    assert inspection.errors
    assert SECRET not in everything_shown(inspection)
