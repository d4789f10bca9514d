"""The colors of pictures: a diverging scale and the lines, each for a light and a dark background.

The SVG contains each color three times: as an attribute, for renderers without CSS variables; as
the fallback of a CSS variable, which the page around the picture may set; and for dark mode.
"""

LEVELS = 8

Color = tuple[str, str]  # on a light background, on a dark background

PAPER: Color = ("#ffffff", "#14181d")
ZERO: Color = ("#f1f3f5", "#20262d")
LOW: Color = ("#0b57b0", "#63b1ff")
HIGH: Color = ("#b93a00", "#ff9c4a")
FILLS: dict[str, Color] = {
    "paper": PAPER,
    "zero": ZERO,
    "ink": ("#1c2128", "#e8ecf1"),
    "dim": ("#57606a", "#a3aebb"),
    "mark": ("#8a3ffc", "#c9a3ff"),
}
STROKES: dict[str, Color] = {"grid": ("#d5dae0", "#39424d"), "cut": FILLS["mark"]}
LINES: tuple[Color, ...] = (
    ("#0b57b0", "#63b1ff"),
    ("#b93a00", "#ff9c4a"),
    ("#1a7f37", "#57d27a"),
    ("#8250df", "#c9a3ff"),
    ("#57606a", "#a3aebb"),
)


def level_color(level: int) -> Color:
    """Return the color of a level from -8 (blue) through 0 (neutral) to 8 (orange)."""
    end = HIGH if level > 0 else LOW
    share = (abs(level) / LEVELS) ** 0.85
    return _mix(ZERO[0], end[0], share), _mix(ZERO[1], end[1], share)


def swatch(level: int) -> str:
    """Return the SVG attributes of a stroke in the color of a level."""
    return f'class="sr-{_name(level)}" stroke="{level_color(level)[0]}"'


def style() -> str:
    """Return the style sheet of a picture."""
    light = "".join(_rules(0))
    dark = "".join(_rules(1))
    return f"{light}@media (prefers-color-scheme:dark){{{dark}}}"


def _rules(paper: int) -> list[str]:
    fills = {**FILLS, **{f"line{i}": color for i, color in enumerate(LINES)}}
    levels = {_name(n): level_color(n) for n in range(-LEVELS, LEVELS + 1) if n}
    strokes = {**STROKES, **levels}
    rules = [_rule(name, "fill", name, color[paper]) for name, color in fills.items()]
    rules += [_rule(name, "stroke", name, color[paper]) for name, color in strokes.items()]
    numbered = enumerate(LINES)
    return rules + [_rule(f"stroke{i}", "stroke", f"line{i}", c[paper]) for i, c in numbered]


def _rule(name: str, attribute: str, variable: str, color: str) -> str:
    return f".sr-trace .sr-{name}{{{attribute}:var(--sr-{variable},{color})}}"


def _name(level: int) -> str:
    return f"{'p' if level > 0 else 'n'}{abs(level)}"


def _mix(first: str, second: str, share: float) -> str:
    pairs = [(int(first[i : i + 2], 16), int(second[i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)
