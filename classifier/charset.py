"""Octets to text, whatever the mail says about its charset.

Every function gives clean text: NFC, `\\n` line ends, no lone surrogates. Raises nothing.
"""

from __future__ import annotations

import re
import unicodedata

# Labels seen in mail that Python does not know, and unicode-1-1-utf-7, which it should not guess.
_ALIASES = {
    "unicode-1-1-utf-7": "utf-7",
    "x-unknown": "",
    "unknown-8bit": "",
    "unknown": "",
    "8bit": "",
    "default": "",
    "x-sjis": "cp932",
    "shift_jis": "cp932",
    "ks_c_5601-1987": "cp949",
    "euc-kr": "cp949",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "iso-8859-1": "cp1252",  # as browsers do: C1 controls are never what the writer meant
    "latin1": "cp1252",
    "iso-8859-8-i": "iso-8859-8",
    "iso-8859-8-e": "iso-8859-8",
    "utf8mb4": "utf-8",
    "cp65001": "utf-8",
    "default_charset": "",
    "none": "",
}
# Codecs that are no charsets: "rot13" or "zlib" as a charset must not transform anything.
_TEXT_CODEC = re.compile(
    r"(?:us-)?ascii|ansi_x3.*|utf[-_]?(?:7|8|16|32).*|iso[-_ ]?\d.*|latin[-_]?\d+|l\d|cp[-_]?\d+"
    r"|windows[-_]\d+|koi8.*|gb.*|big5.*|euc.*|shift.*|sjis|s_jis|hz.*|mac.*|tis[-_]?620|viscii"
    r"|ibm[-_]?\d+|\d{3,4}|ks.*|johab|ptcp154|kz.*|uhc|ms\d+|hp-roman8"
)
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u115f\u1160\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]"
)
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]")
_NEWLINE = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")


def decode(data: bytes, charset: str | None) -> tuple[str, str]:
    """The text, and what was wrong in words ('' when nothing was)."""
    named = (charset or "").strip(" \"'\\").lower().removeprefix("charset=")
    codec = _ALIASES.get(named, named).removeprefix("x-")
    codec = _ALIASES.get(codec, codec)
    if codec and _TEXT_CODEC.fullmatch(codec) and not _is_mislabelled(data, codec):
        text = _read_as(data, codec, "strict")
        if text is not None:
            return text, ""
    text, guess = _guess(data, codec)
    if not codec or text.isascii() or (guess == "utf-8" and codec in ("us-ascii", "ascii")):
        return text, ""
    return text, f"not readable as charset {named[:40]!r}; read as {guess}"


def _is_mislabelled(data: bytes, codec: str) -> bool:
    """Plain ASCII labelled UTF-16 or UTF-32 reads as Chinese without any error."""
    return codec.startswith(("utf-16", "utf-32", "utf16", "utf32")) and b"\x00" not in data


def _read_as(data: bytes, codec: str, errors: str) -> str | None:
    try:
        return _scalar(data.decode(codec, errors))
    except (LookupError, ValueError):
        return None


def _guess(data: bytes, codec: str) -> tuple[str, str]:
    """A text at any price, and the name of the charset it was read in."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return _scalar(data.decode("utf-16", "replace")), "utf-16"
    if (text := _read_as(data, "utf-8", "strict")) is not None:
        return text, "utf-8"
    # A few bad octets should not turn all of a text into mojibake.
    if _TEXT_CODEC.fullmatch(codec) and codec not in ("utf-8", "us-ascii", "ascii"):
        text = _read_as(data, codec, "replace")
        if text is not None and text.count("\ufffd") < 0.1 * len(text):
            return text, f"{codec} with gaps"
    if _mostly_utf8(data):
        return data.decode("utf-8", "replace"), "utf-8 with gaps"
    return data.decode("cp1252", "replace"), "windows-1252"


def _mostly_utf8(data: bytes) -> bool:
    read = data.decode("utf-8", "replace")
    bad = read.count("\ufffd")
    return sum(char > "\x7f" for char in read) > 4 * bad


def _scalar(text: str) -> str:
    """Some codecs (utf-7, utf-16) give lone surrogates, which nothing downstream can encode."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def clean(text: str) -> str:
    """Body text as a reader sees it: without controls and the zero-width characters that break
    words apart for filters but not for eyes."""
    if "\r" in text or not text.isascii() or _NEWLINE.search(text):
        text = _NEWLINE.sub("\n", text)
    text = _CONTROL.sub("", text)
    if not text.isascii():
        text = _INVISIBLE.sub("", text).replace("\u00a0", " ")
        text = unicodedata.normalize("NFC", text)
    return text


_LINE_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def one_line(text: str) -> str:
    """A header value: control characters and line separators become spaces."""
    return _LINE_UNSAFE.sub(" ", text).strip()
