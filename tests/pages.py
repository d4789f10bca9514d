"""The pages of the project, and functions that read their parts."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [
    "README.md",
    *sorted(
        str(page.relative_to(ROOT))
        for folder in ("deploy", "stream_rnn", "tests")
        for page in (ROOT / folder).rglob("*.md")
    ),
]


def read(page: str) -> str:
    """Return the text of a page by its path in the repository."""
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    """Return the fenced code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def marked(text: str, name: str) -> str:
    """Return the text between the two marks of a part, which must occur once."""
    (part,) = re.findall(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", text, re.DOTALL)
    return part


def code_lines(text: str) -> list[str]:
    """Return the lines of fenced and indented code; a backslash at the end of a line joins two."""
    fenced = "".join(re.findall(r"^```\w*\n(.*?)^```$", text, re.DOTALL | re.MULTILINE))
    rest = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    indented = "\n".join(re.findall(r"^ {4}(.*)$", rest, re.MULTILINE))
    return re.sub(r"\\\n\s*", "", fenced + indented).splitlines()


def prose_lines(text: str) -> list[str]:
    """Return the lines that are neither code nor rows of a table."""
    rest = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    return [line for line in rest.splitlines() if not line.startswith(("    ", "|"))]
