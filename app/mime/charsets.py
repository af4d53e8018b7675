"""Charsets as mail uses their names, the same on every Python.

Many names stand for more than their standard says: software that labels text gb2312 or iso-8859-1
means the larger set that its platform has (WHATWG Encoding Standard, section 4.2).
"""

import codecs
from collections.abc import Mapping
from encodings import normalize_encoding
from encodings.aliases import aliases
from functools import cache

WHEN_UNLABELLED = "cp1252"
"""What 8-bit text without a charset is read as when it isn't UTF-8."""

_MEANT = {
    "ascii": "cp1252",
    "us-ascii": "cp1252",
    "ansi_x3.4-1968": "cp1252",
    "iso-8859-1": "cp1252",
    "iso8859-1": "cp1252",
    "latin1": "cp1252",
    "latin-1": "cp1252",
    "ansi": "cp1252",
    "unicode-1-1-utf-7": "utf-7",
    "utf8": "utf-8",
    "unicode-1-1-utf-8": "utf-8",
    "utf-8mb4": "utf-8",
    "gb2312": "gb18030",
    "gb_2312-80": "gb18030",
    "euc-cn": "gb18030",
    "gbk": "gb18030",
    "x-gbk": "gb18030",
    "cp936": "gb18030",
    "ks_c_5601": "cp949",
    "ks_c_5601-1987": "cp949",
    "ks_c_5601-1989": "cp949",
    "ksc5601": "cp949",
    "ksc_5601": "cp949",
    "euc-kr": "cp949",
    "shift_jis": "cp932",
    "shift-jis": "cp932",
    "sjis": "cp932",
    "x-sjis": "cp932",
    "windows-31j": "cp932",
    "big5": "cp950",
    "cn-big5": "cp950",
    "x-x-big5": "cp950",
    "iso-8859-8-i": "iso8859-8",
    "iso-8859-8-e": "iso8859-8",
    "iso-8859-6-i": "iso8859-6",
    "iso-8859-6-e": "iso8859-6",
    "iso-8859-9": "cp1254",
    "iso-8859-11": "cp874",
    "tis-620": "cp874",
    "windows-874": "cp874",
    "dos-874": "cp874",
    "cp-850": "cp850",
    "cp-437": "cp437",
    "x-mac-roman": "mac-roman",
    "macintosh": "mac-roman",
    "x-mac-cyrillic": "mac-cyrillic",
}
_KNOWN = """
utf-8 utf-7 utf-16 utf-16-le utf-16-be utf-32
iso8859-2 iso8859-3 iso8859-4 iso8859-5 iso8859-6 iso8859-7 iso8859-8 iso8859-10 iso8859-13
iso8859-14 iso8859-15 iso8859-16 koi8-r koi8-u koi8-t kz1048 ptcp154
cp037 cp437 cp500 cp720 cp737 cp775 cp850 cp852 cp855 cp856 cp857 cp858 cp860 cp861 cp862 cp863
cp864 cp865 cp866 cp869 cp874 cp1140 cp1250 cp1251 cp1252 cp1253 cp1254 cp1255 cp1256 cp1257 cp1258
gb18030 hz cp949 johab iso2022-kr cp950 big5hkscs
cp932 shift_jis_2004 shift_jisx0213 euc-jp euc_jis_2004 euc_jisx0213
iso2022-jp iso2022-jp-1 iso2022-jp-2 iso2022-jp-3 iso2022-jp-ext
mac-roman mac-cyrillic mac-greek mac-turkish mac-latin2
"""


def codec_of(charset: str) -> str | None:
    """Return the name of the codec for what mail calls `charset`, None when it is unknown.

    What follows a star names a language (RFC 2231 section 5).
    """
    name = charset.partition("*")[0].strip().strip("'\"").lower()
    return _codecs().get(_normal(_MEANT.get(name, name)))


def _normal(name: str) -> str:
    if not (name.isascii() and name.isprintable()):
        return ""
    return normalize_encoding(name).replace(".", "_")


@cache  # on first use: most commands need none of these 70 modules, which take time to import
def _codecs() -> Mapping[str, str]:
    """Return the codecs by all the names that Python has for them.

    Python isn't asked about names from messages: it would keep each of them for good.
    """
    modules = {name: aliases.get(_normal(name), _normal(name)) for name in _KNOWN.split()}
    found = {module: codecs.lookup(name).name for name, module in modules.items()}
    names = {_normal(alias): found.get(module) for alias, module in aliases.items()}
    return found | {name: codec for name, codec in names.items() if codec is not None}


def decode_unlabelled(raw: bytes) -> str:
    """Return `raw` as UTF-8 if it is that (RFC 6532), else as WHEN_UNLABELLED. Never raises."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode(WHEN_UNLABELLED, "replace")
