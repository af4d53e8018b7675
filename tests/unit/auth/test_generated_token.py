from pathlib import Path

import pytest
from support.together import outputs_of_all

from app.auth.generated_token import generated_token, token_file
from app.auth.tokens import TokenKind
from app.errors import StorageUnavailable

BEARER = TokenKind.BEARER


@pytest.mark.parametrize(("kind", "name"), [(BEARER, "token"), (TokenKind.API, "api-token")])
def test_a_token_is_made_once_and_kept(tmp_path: Path, kind: TokenKind, name: str) -> None:
    """The second call returns the first one's token, which only the owner can read."""
    data_dir = tmp_path / "new" / "data"
    token = generated_token(data_dir, kind)
    assert len(token) >= 32
    assert generated_token(data_dir, kind) == token
    assert token_file(data_dir, kind).read_text() == token + "\n"
    assert token_file(data_dir, kind).stat().st_mode & 0o777 == 0o600
    assert data_dir.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in data_dir.iterdir()] == [name]


def test_each_kind_has_its_own(tmp_path: Path) -> None:
    """The generated token for delivery doesn't permit reading."""
    assert generated_token(tmp_path, BEARER) != generated_token(tmp_path, TokenKind.API)


def test_each_installation_has_its_own(tmp_path: Path) -> None:
    """Two data directories get different tokens."""
    assert generated_token(tmp_path / "one", BEARER) != generated_token(tmp_path / "two", BEARER)


def test_processes_that_start_together_agree(tmp_path: Path) -> None:
    """Eight processes that make the token at the same moment all return the same."""
    code = (
        "import sys; from pathlib import Path\n"
        "from app.auth.generated_token import generated_token\n"
        "from app.auth.tokens import TokenKind\n"
        "# at once\n"
        "print(generated_token(Path(sys.argv[1]), TokenKind.BEARER), end='')"
    )
    tokens = outputs_of_all(code, [[str(tmp_path / "data")]] * 8)
    assert set(tokens) == {generated_token(tmp_path / "data", BEARER)}


def test_a_path_below_a_file_is_unavailable(tmp_path: Path) -> None:
    """Where no token can be kept, none is made up, and the path isn't in the error."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageUnavailable) as caught:
        generated_token(tmp_path / "file" / "data", BEARER)
    assert isinstance(caught.value.__cause__, OSError)
    assert str(tmp_path) not in str(caught.value)


def test_an_empty_token_file_is_refused(tmp_path: Path) -> None:
    """A file emptied by accident doesn't make the empty token a valid one."""
    token_file(tmp_path, BEARER).write_text("\n")
    with pytest.raises(StorageUnavailable):
        generated_token(tmp_path, BEARER)
