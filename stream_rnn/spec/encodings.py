"""The encoding of a delimited text file, found from its first bytes."""

import codecs
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from stream_rnn.spec.questions import Candidate, Question, refuse_to_choose
from stream_rnn.text import printable

BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
ENCODINGS = {
    "cp1252": "Western Europe and America",
    "cp1250": "Central Europe",
    "cp1251": "Cyrillic",
    "cp932": "Japanese",
    "euc_kr": "Korean",
    "gbk": "simplified Chinese",
    "big5": "traditional Chinese",
    "cp437": "DOS, America",
    "cp850": "DOS, Western Europe",
    "mac_roman": "an old Macintosh",
}
LEADS = {  # first bytes of the frequent characters of encodings with two bytes a character
    "cp932": range(0x82, 0x98),
    "gbk": range(0xB0, 0xD8),
    "big5": range(0xA4, 0xC7),
    "euc_kr": range(0xB0, 0xC9),
}
ODD_MAX = 0.2  # share of words that Windows-1252 is unlikely to have
WORDS_MAX = 1_000
WORDS_SHOWN = 3
WORD_MAX = 20
_WORD = re.compile(r"[^\s,;|\"]+")
_BESIDE_LETTERS = dict.fromkeys(
    map(
        ord,
        "\u2018\u2019\u201c\u201d\u201e\u2013\u2014\u2026\u2022\u2122\u20ac"
        "\xa0¡£§©ª«®°±²³\xb4µ·º»¼½¾¿\xd7",
    ),
    " ",
)
_RARE = re.compile(  # letters, and symbols beside letters, that western words hardly have
    r"[ŸŠšŽžƒ\u02c6\u02dcÞþ]|[£±¼½¾§\xb4\u2026\u2022\u2122][^\W\d_]|[^\W\d_][£±¼½¾§\u20ac][^\W\d_]"
)


@dataclass(frozen=True, slots=True)
class FoundEncoding:
    """An encoding.

    Attributes:
        encoding: Name of the encoding.
        text: The first bytes as text.
        confidence: Confidence that the encoding is right, from 0 to 1.
        reason: Reason for an encoding that ``[file]`` must name; empty for one that it need not.
        is_stated: Whether the bytes show an encoding: not those of ASCII, which all encodings have,
            nor those of a byte order mark, which the file has for itself.
    """

    encoding: str
    text: str
    confidence: float = 1.0
    reason: str = ""
    is_stated: bool = True


def find_encoding(head: bytes) -> FoundEncoding:
    """Return the encoding of a file, by its first bytes, and these as text.

    Raises:
        ConfigError: Several encodings are about as likely.
    """
    for mark, encoding in BOMS:
        if head.startswith(mark):
            return FoundEncoding(encoding, head.decode(encoding, "ignore"), is_stated=False)
    for first, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        bytes_tried = head[first:200:2]
        if bytes_tried.count(0) > len(bytes_tried) // 2:
            text = head.decode(encoding, "ignore")
            return FoundEncoding(encoding, text, 0.9, "every second byte is 0, as in UTF-16")
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
        return FoundEncoding("utf-8", text, is_stated=not head.isascii())
    except UnicodeDecodeError as error:
        return _find_older(head, error.start)


def _find_older(head: bytes, start: int) -> FoundEncoding:
    """Return the encoding of a text that is not UTF-8, if it is likely to be Windows-1252.

    Raises:
        ConfigError: It is not; the error lists encodings with words that are decoded by each.
    """
    words = {name: _words(head, name) for name in ENCODINGS}
    western = words["cp1252"]
    if western and _odd_share(western, "cp1252") <= ODD_MAX:
        reason = (
            f"byte {start} is not UTF-8, so the file is read as Windows-1252, of Western Europe and "
            f"America, with words such as {_list_words(western)}; if letters look wrong, name another "
            "encoding, as in --encoding cp932"
        )
        return FoundEncoding("cp1252", head.decode("cp1252", "replace"), 0.7, reason)
    shares = {name: 1 - _odd_share(found, name) for name, found in words.items() if found}
    candidates = [
        Candidate(
            name, share / 2, f"{ENCODINGS[name]}, with words such as {_list_words(words[name])}"
        )
        for name, share in sorted(shares.items(), key=lambda item: -item[1])
    ]
    refuse_to_choose(
        Question(
            f"Byte {start} is not UTF-8, and the file hardly looks like Windows-1252. Which encoding has "
            "it?",
            "--encoding",
            candidates,
            "Take the one whose words are right: a key must equal that of the topic. Other names of "
            "Python's encodings, such as cp1253 and koi8-r, are accepted, too.",
        )
    )
    raise AssertionError("refuse_to_choose always raises")


def _words(head: bytes, encoding: str) -> list[str]:
    """Return the words with letters beyond ASCII; none if the encoding does not read the bytes."""
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(head)
    except UnicodeDecodeError:
        return []
    found = (word for word in _WORD.findall(text) if not word.isascii())
    return list(islice(dict.fromkeys(found), WORDS_MAX))


def _list_words(words: Sequence[str]) -> str:
    return ", ".join(printable(word, WORD_MAX) for word in words[:WORDS_SHOWN])


def _odd_share(words: Sequence[str], encoding: str) -> float:
    """Return the share of words that no language of an encoding is likely to have."""
    lead = LEADS.get(encoding)
    odd = (_is_odd(word) if lead is None else _is_rare(word, encoding, lead) for word in words)
    return sum(odd) / len(words)


def _is_rare(word: str, encoding: str, lead: range) -> bool:
    """Return whether most characters of a word are not among the frequent ones."""
    beyond = [c for c in word if not c.isascii()]
    return 2 * sum(c.encode(encoding)[0] in lead for c in beyond) <= len(beyond)


def _is_odd(word: str) -> bool:
    """Return whether a word mixes letters with symbols or capitals, or has letters of no language."""
    plain = word.translate(_BESIDE_LETTERS)
    if _RARE.search(word) or any(not (c.isascii() or c.isalpha()) for c in plain):
        return True
    letters = [part for part in re.split(r"[\W\d_]+", plain) if not part.isascii()]
    for part in letters:
        scripts = {unicodedata.name(c, "?").partition(" ")[0] for c in part}
        if len(scripts) > 1 or (part != part.upper() and part[1:] != part[1:].lower()):
            return True
        beyond = max(map(len, re.findall(r"[^\x00-\x7f]+", part)))
        if scripts == {"LATIN"} and (beyond >= 3 or beyond == len(part) > 1):
            return True
    return False
