"""Texts from outside, as a terminal may see them."""


def printable(text: str) -> str:
    r"""Return a text that cannot steer a terminal.

    Example:
        >>> printable("a\x1b[2Jb") == "a\ufffd[2Jb"
        True
    """
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
