"""Ways to damage a data directory; each function takes its path."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

Damage = Callable[[Path], None]

GARBAGE = bytes(range(256)) * 64


def truncated_database(data_dir: Path) -> None:
    os.truncate(data_dir / "gomail.db", 5_000)


def database_without_end(data_dir: Path) -> None:
    os.truncate(data_dir / "gomail.db", (data_dir / "gomail.db").stat().st_size - 4096)


def garbage_database(data_dir: Path) -> None:
    (data_dir / "gomail.db").write_bytes(GARBAGE)


def garbage_in_both(data_dir: Path) -> None:
    garbage_database(data_dir)
    (data_dir / "gomail.db-wal").write_bytes(GARBAGE)


def missing_database(data_dir: Path) -> None:
    (data_dir / "gomail.db").unlink()


def missing_database_and_log(data_dir: Path) -> None:
    missing_database(data_dir)
    (data_dir / "gomail.db-wal").unlink()


def empty_database(data_dir: Path) -> None:
    os.truncate(data_dir / "gomail.db", 0)


def directory_as_database(data_dir: Path) -> None:
    missing_database(data_dir)
    (data_dir / "gomail.db").mkdir()


def foreign_text_as_database(data_dir: Path) -> None:
    missing_database(data_dir)
    (data_dir / "foreign").write_text("a foreign file\n" * 500, encoding="ascii")
    (data_dir / "gomail.db").symlink_to("foreign")


def empty_foreign_file_as_database(data_dir: Path) -> None:
    missing_database(data_dir)
    (data_dir / "foreign").touch()
    (data_dir / "gomail.db").symlink_to("foreign")


def database_linked_to_nothing(data_dir: Path) -> None:
    missing_database(data_dir)
    (data_dir / "gomail.db").symlink_to("nothing")


def file_as_segments(data_dir: Path) -> None:
    shutil.rmtree(data_dir / "segments")
    (data_dir / "segments").write_bytes(GARBAGE)


def empty_token(data_dir: Path) -> None:
    (data_dir / "token").write_bytes(b"")


def binary_token(data_dir: Path) -> None:
    (data_dir / "token").write_bytes(GARBAGE)


def token_of_zeros(data_dir: Path) -> None:
    (data_dir / "token").write_bytes(bytes(43))


def short_token(data_dir: Path) -> None:
    (data_dir / "token").write_bytes(b"abc\n")


def token_linked_to_nothing(data_dir: Path) -> None:
    (data_dir / "token").unlink()
    (data_dir / "token").symlink_to("nothing")


def directory_as_token(data_dir: Path) -> None:
    (data_dir / "token").unlink()
    (data_dir / "token").mkdir()


def truncated_log(data_dir: Path) -> None:
    log = data_dir / "gomail.db-wal"
    os.truncate(log, log.stat().st_size // 2)


def garbage_log(data_dir: Path) -> None:
    (data_dir / "gomail.db-wal").write_bytes(GARBAGE)


def garbage_in_the_log(data_dir: Path) -> None:
    with (data_dir / "gomail.db-wal").open("r+b") as file:
        file.seek(20_000)
        file.write(GARBAGE)


def missing_log(data_dir: Path) -> None:
    (data_dir / "gomail.db-wal").unlink()


def database_of_zeros(data_dir: Path) -> None:
    size = (data_dir / "gomail.db").stat().st_size
    (data_dir / "gomail.db").write_bytes(bytes(size))


def zeros_in_the_database(data_dir: Path) -> None:
    with (data_dir / "gomail.db").open("r+b") as file:
        file.seek(8192)
        file.write(bytes(4096))


def missing_notes(data_dir: Path) -> None:
    for path in [*data_dir.glob("*.lock"), data_dir / "generation"]:
        path.unlink(missing_ok=True)


HEALED: list[Damage] = [
    missing_database,
    truncated_log,
    garbage_database,
    database_without_end,
    truncated_database,
    garbage_in_both,
    missing_database_and_log,
    empty_database,
    database_of_zeros,
    zeros_in_the_database,
    empty_foreign_file_as_database,
    database_linked_to_nothing,
    missing_log,
    garbage_log,
    garbage_in_the_log,
    missing_notes,
]

LINKED = {empty_foreign_file_as_database, database_linked_to_nothing}

REFUSED: list[Damage] = [
    foreign_text_as_database,
    empty_token,
    token_of_zeros,
    directory_as_database,
    file_as_segments,
    binary_token,
    short_token,
    token_linked_to_nothing,
    directory_as_token,
]

OPENED = {
    file_as_segments,
    empty_token,
    token_of_zeros,
    binary_token,
    short_token,
    token_linked_to_nothing,
    directory_as_token,
}


def add_foreign_things(data_dir: Path) -> None:
    """Add what people and their tools leave in directories, and modes they set."""
    segments = data_dir / "segments"
    for directory in (data_dir, segments):
        (directory / "notes.txt").write_text("a foreign file", encoding="ascii")
        (directory / ".hidden").touch()
        (directory / "backup").mkdir()
        (directory / "backup" / f"{'2' * 32}.records").write_bytes(GARBAGE)
        (directory / "linked").symlink_to("/etc/hostname")
        (directory / "dangling").symlink_to("nothing")
        os.mkfifo(directory / "pipe")
        (directory / "wörter \N{SNOWMAN}\n.records").write_bytes(GARBAGE)
    (segments / f"{'3' * 32}.segment.gz").write_bytes(GARBAGE)
    (segments / f"{'4' * 32}.records").symlink_to("../notes.txt")
    (segments / f"{'5' * 32}.records").symlink_to("nothing")
    (segments / f"{'6' * 32}.records").mkdir()
    os.mkfifo(segments / f"{'7' * 32}.records")
    (data_dir / "token.new").mkdir()
    (data_dir / "shutdowns.json.new").symlink_to("notes.txt")
    data_dir.chmod(0o777)
    segments.chmod(0o777)
    (data_dir / "gomail.db").chmod(0o666)
