"""The encoding of a delimited text file, found from its first bytes."""

import codecs
from dataclasses import dataclass

BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
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
    """Return the encoding of a file, by its first bytes, and these as text."""
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
        reason = (
            f"byte {error.start} is not UTF-8, so the file is read as Windows-1252, of Western "
            "Europe and America; if letters look wrong, name another, such as cp1250 or cp932"
        )
        return FoundEncoding("cp1252", head.decode("cp1252", "replace"), 0.7, reason)
