"""File names of attachments, made safe to show and to save files under."""

from collections.abc import Mapping

from app.mime.defects import Defect
from app.mime.parameters import parameter
from app.printable import readable

MAX_CHARACTERS = 255
_MAX_EXTENSION_CHARACTERS = 20


def read_filename(
    disposition: Mapping[str, bytes], content_type: Mapping[str, bytes], found: set[Defect]
) -> str | None:
    """Return the file name from the parameters of Content-Disposition, else of Content-Type.

    Without path and unprintable characters, and cut to MAX_CHARACTERS. None if there is no name, or
    nothing is left of it.
    """
    stated = parameter(disposition, "filename", found) or parameter(content_type, "name", found)
    if not stated:
        return None
    name = _shortened(_without_path(readable(stated)))
    if name != stated.strip():
        found.add(Defect.FILENAME_CHANGED)
    return name or None


def _without_path(name: str) -> str:
    last = name.replace("\\", "/").rpartition("/")[2].strip()
    return "" if last in {".", ".."} else last


def _shortened(name: str) -> str:
    if len(name) <= MAX_CHARACTERS:
        return name
    stem, dot, extension = name.rpartition(".")
    if not dot or len(extension) > _MAX_EXTENSION_CHARACTERS:
        return name[:MAX_CHARACTERS]
    return stem[: MAX_CHARACTERS - len(extension) - 1] + dot + extension
