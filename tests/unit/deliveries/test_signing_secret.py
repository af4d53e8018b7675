import base64
from pathlib import Path

import pytest
from support.endpoints import SECRET, endpoint, secret_of
from support.together import outputs_of_all

from app.deliveries.signing_secret import prepare_secrets, secret_file, signing_secrets
from app.errors import StorageUnavailable

GENERATED = endpoint("support", secrets=())


def test_configured_secrets_are_those_that_sign(tmp_path: Path) -> None:
    """All of them, in their order, and nothing is generated beside them."""
    configured = endpoint(secrets=(secret_of(24), SECRET))
    assert signing_secrets(configured, tmp_path) == (secret_of(24), SECRET)
    prepare_secrets([configured], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_secret_is_made_once_and_kept(tmp_path: Path) -> None:
    """It has 32 bytes, in a file that only the owner can read, below directories of the same."""
    data_dir = tmp_path / "new" / "data"
    (secret,) = signing_secrets(GENERATED, data_dir)
    assert len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) == 32
    assert signing_secrets(GENERATED, data_dir) == (secret,)
    file = data_dir / "endpoints" / "support.secret"
    assert file == secret_file(data_dir, "support")
    assert file.read_text() == f"{secret}\n"
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.stat().st_mode & 0o777 for path in (data_dir, file.parent)] == [0o700, 0o700]
    assert list(file.parent.iterdir()) == [file]


def test_each_endpoint_has_its_own(tmp_path: Path) -> None:
    """Whoever knows the secret of one can't sign for another, nor for another installation."""
    found = {
        signing_secrets(endpoint(name, secrets=()), tmp_path / directory)
        for name in ("one", "two")
        for directory in ("here", "there")
    }
    assert len(found) == 4


def test_a_start_makes_all_and_sweeps(tmp_path: Path) -> None:
    """What a killed start has left behind is gone, and what is kept stays as it is."""
    prepare_secrets([GENERATED], tmp_path)
    kept = signing_secrets(GENERATED, tmp_path)
    leftover = secret_file(tmp_path, "support").with_name("support.secret.new")
    leftover.write_text("whsec_")
    prepare_secrets([endpoint("other", secrets=()), GENERATED], tmp_path)
    names = sorted(path.name for path in leftover.parent.iterdir())
    assert names == ["other.secret", "support.secret"]
    assert signing_secrets(GENERATED, tmp_path) == kept


def test_processes_that_start_together_agree(tmp_path: Path) -> None:
    """Eight processes that make the secret at the same moment all return the same."""
    code = (
        "import sys; from pathlib import Path\n"
        "from support.endpoints import endpoint\n"
        "from app.deliveries.signing_secret import signing_secrets\n"
        "given = endpoint('support', secrets=())\n"
        "# at once\n"
        "print(*signing_secrets(given, Path(sys.argv[1])), end='')"
    )
    tests = str(Path(__file__).parents[2])
    code = f"import sys; sys.path.insert(0, {tests!r})\n{code}"
    secrets = outputs_of_all(code, [[str(tmp_path / "data")]] * 8)
    assert {(secret,) for secret in secrets} == {signing_secrets(GENERATED, tmp_path / "data")}


@pytest.mark.parametrize(
    "text", ["", "\n", "whsec_", f"{secret_of(23)}\n", "whsec_not base64", "token", "\0\xff"]
)
def test_a_damaged_file_is_refused(tmp_path: Path, text: str) -> None:
    """A secret that was cut short signs nothing; the error names the endpoint and no path."""
    file = secret_file(tmp_path, "support")
    file.parent.mkdir()
    file.write_text(text, encoding="latin-1")
    with pytest.raises(StorageUnavailable, match="endpoint support") as caught:
        signing_secrets(GENERATED, tmp_path)
    assert str(tmp_path) not in str(caught.value)
    assert file.read_text(encoding="latin-1") == text


def test_a_link_to_nothing_is_not_followed(tmp_path: Path) -> None:
    """A secret that was on a disk which is not mounted is not replaced by another."""
    file = secret_file(tmp_path, "support")
    file.parent.mkdir()
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageUnavailable):
        signing_secrets(GENERATED, tmp_path)
    assert file.is_symlink()
    assert not (tmp_path / "elsewhere").exists()


def test_a_path_below_a_file_is_unavailable(tmp_path: Path) -> None:
    """Where no secret can be kept, none is made up."""
    (tmp_path / "file").touch()
    for act in (lambda d: signing_secrets(GENERATED, d), lambda d: prepare_secrets([GENERATED], d)):
        with pytest.raises(StorageUnavailable) as caught:
            act(tmp_path / "file" / "data")
        assert isinstance(caught.value.__cause__, OSError)
