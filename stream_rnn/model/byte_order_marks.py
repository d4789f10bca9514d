"""Byte order marks, which state the encoding of a text file in its first bytes."""

import codecs

_MARKS = (  # the mark of UTF-32 LE begins with that of UTF-16 LE
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def bom_encoding(head: bytes) -> str | None:
    r"""Return the encoding that a byte order mark states, or ``None`` if there is no mark.

    Args:
        head: At least the first four bytes of a file.

    Example:
        >>> bom_encoding("\ufeffkey".encode("utf-16-be")), bom_encoding(b"key")
        ('utf-16', None)
    """
    return next((encoding for mark, encoding in _MARKS if head.startswith(mark)), None)
