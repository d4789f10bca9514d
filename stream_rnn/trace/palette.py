"""The colours of pictures: a diverging scale and some lines, each for light and for dark paper.

A colour stands three times: as an attribute for renderers without CSS variables, as the fallback
of a variable that the page around may set, and once more for those who prefer dark.
"""

LEVELS = 8

Colour = tuple[str, str]  # on light paper, on dark paper

PAPER: Colour = ("#ffffff", "#14181d")
ZERO: Colour = ("#f1f3f5", "#20262d")
LOW: Colour = ("#0b57b0", "#63b1ff")
HIGH: Colour = ("#b93a00", "#ff9c4a")
FILLS: dict[str, Colour] = {
    "paper": PAPER,
    "zero": ZERO,
    "ink": ("#1c2128", "#e8ecf1"),
    "dim": ("#57606a", "#a3aebb"),
    "mark": ("#8a3ffc", "#c9a3ff"),
}
STROKES: dict[str, Colour] = {"grid": ("#d5dae0", "#39424d"), "cut": FILLS["mark"]}
LINES: tuple[Colour, ...] = (
    ("#0b57b0", "#63b1ff"),
    ("#b93a00", "#ff9c4a"),
    ("#1a7f37", "#57d27a"),
    ("#8250df", "#c9a3ff"),
    ("#57606a", "#a3aebb"),
)


def level_colour(level: int) -> Colour:
    """Return the colour of a level from -8 to 8: from blue through the ground to orange."""
    end = HIGH if level > 0 else LOW
    share = (abs(level) / LEVELS) ** 0.85
    return _mixed(ZERO[0], end[0], share), _mixed(ZERO[1], end[1], share)


def swatch(level: int) -> str:
    """Return the attributes of a stroke that has the colour of a level."""
    return f'class="sr-{_name(level)}" stroke="{level_colour(level)[0]}"'


def style() -> str:
    """Return the style sheet of a picture."""
    light = "".join(_rules(0))
    dark = "".join(_rules(1))
    return f"{light}@media (prefers-color-scheme:dark){{{dark}}}"


def _rules(paper: int) -> list[str]:
    fills = {**FILLS, **{f"line{i}": colour for i, colour in enumerate(LINES)}}
    levels = {_name(n): level_colour(n) for n in range(-LEVELS, LEVELS + 1) if n}
    strokes = {**STROKES, **levels}
    rules = [_rule(name, "fill", name, colour[paper]) for name, colour in fills.items()]
    rules += [_rule(name, "stroke", name, colour[paper]) for name, colour in strokes.items()]
    numbered = enumerate(LINES)
    return rules + [_rule(f"stroke{i}", "stroke", f"line{i}", c[paper]) for i, c in numbered]


def _rule(name: str, attribute: str, variable: str, colour: str) -> str:
    return f".sr-trace .sr-{name}{{{attribute}:var(--sr-{variable},{colour})}}"


def _name(level: int) -> str:
    return f"{'p' if level > 0 else 'n'}{abs(level)}"


def _mixed(one: str, other: str, share: float) -> str:
    pairs = [(int(one[i : i + 2], 16), int(other[i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)
