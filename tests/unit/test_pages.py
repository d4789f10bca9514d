"""The pages beside the code are held by the code that they describe."""

import ast
import inspect
import json
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

import stream_rnn
from stream_rnn.errors import DecodeError
from stream_rnn.fold.dead_letters import dead_letter
from stream_rnn.fold.decoder import Decoder, LogRecord
from stream_rnn.fold.fields import key_element_getter
from stream_rnn.fold.skip_reasons import SKIP_REASONS
from stream_rnn.metrics.scores import better, main_metric, score
from stream_rnn.model.bundle import BundleFile, load_bundle
from stream_rnn.model.cells import CellSpec
from stream_rnn.model.event import Event, EventTime
from stream_rnn.model.features import (
    Boolean,
    Calendar,
    Categorical,
    FeatureSpec,
    Numeric,
    SincePrevious,
)
from stream_rnn.model.file_format import FileFormat
from stream_rnn.model.heads import Binary, Multiclass, Regression, TimeToNext
from stream_rnn.predictions import Prediction, PredictionReader
from stream_rnn.predictions.writer import PredictionWriter
from stream_rnn.settings import Settings
from stream_rnn.training.run import BUNDLE_NAMES, MEMORYLESS_NAME

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "stream_rnn"
ROOMS = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
MODULES = {path.name for path in PACKAGE.glob("*.py")} - {"__init__.py"}
PAGES = sorted(PACKAGE.rglob("README.md"))
HERE = [PACKAGE / name / "README.md" for name in ("", "predictions", "spec", "model", "evaluation")]

KINDS = (Numeric, Boolean, Categorical, SincePrevious, Calendar)
HEADS = {
    "binary": Binary(kind="binary", name="a", path="a"),
    "multiclass": Multiclass(kind="multiclass", name="a", path="a", classes=tuple("abcdef")),
    "regression": Regression(kind="regression", name="a", path="a"),
    "time_to_next": TimeToNext(kind="time_to_next", name="a"),
}


def page(room):
    """Return the text of a room's page."""
    return (PACKAGE / room / "README.md").read_text(encoding="utf-8")


def blocks(text, language):
    """Return the fenced blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def rows(text, first):
    """Return the cells of the table whose first column has this head, of the first that has."""
    table = re.search(rf"^\| {re.escape(first)} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert table is not None, first
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table[1].splitlines()]


def named(cells):
    """Return what stands in backquotes in the first cells."""
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell[0])]


def section(text, title):
    """Return what stands below a heading, up to the next one."""
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", text, re.MULTILINE | re.DOTALL)
    assert found is not None, title
    return found[1]


# --- every page ------------------------------------------------------------------------------------


def test_each_room_with_a_reader_of_its_own_has_a_page():
    """Three readers, and the room that all of them meet."""
    assert set(HERE) <= set(PAGES)


def test_every_file_of_the_package_is_shipped():
    """Pages, scripts and data too: what is no module is named in ``pyproject.toml``."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["stream_rnn"]
    shipped = {path for pattern in patterns for path in PACKAGE.glob(pattern)}
    files = [path for path in PACKAGE.rglob("*") if path.is_file()]
    others = {path for path in files if path.suffix not in (".py", ".pyc")}
    assert others - shipped == set()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_that_is_named_exists(path):
    """By its path from the package, or from the checkout."""
    text = path.read_text(encoding="utf-8")
    for name in re.findall(r"(?<![\w/])((?:\w+/)+\w+\.(?:py|lua))\b", text):
        assert any((top / name).is_file() for top in (ROOT, PACKAGE)), name


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_python_examples_import_what_exists(path):
    """Every import of an example is a name of the package."""
    for example in blocks(path.read_text(encoding="utf-8"), "python"):
        for node in ast.walk(ast.parse(example)):
            if isinstance(node, ast.ImportFrom):
                module = __import__(node.module, fromlist=["x"])
                assert all(hasattr(module, alias.name) for alias in node.names)


# --- the architecture ------------------------------------------------------------------------------


def test_every_room_has_one_line():
    """On the page; the docstring of the package names them all, too."""
    lines = re.findall(r"^\| (?:\[?`[\w./]+`.*?) \|", page(""), re.MULTILINE)
    listed = [name for line in lines for name in re.findall(r"`([\w./]+)`", line)]
    rooms = [name.rstrip("/") for name in listed if name.endswith("/")]
    first = rooms[: len(ROOMS)]
    assert sorted(first) == sorted(ROOMS)
    assert set(listed) >= MODULES
    guide = re.findall(r"(\w+/|\w+\.py)(?=``|  )", stream_rnn.__doc__ or "")
    assert {f"{room}/" for room in ROOMS} | MODULES <= set(guide)


# --- predictions -----------------------------------------------------------------------------------


def test_the_prediction_by_example_is_one():
    """It parses as what readers get, and the table names its fields in its order."""
    example, _connector = blocks(page("predictions"), "json")
    assert Prediction.parse(example.strip().encode()).steps == 17
    fields = named(rows(page("predictions"), "field"))
    assert fields == list(Prediction.model_fields)
    optional = ("key_base64", "surprise")
    assert [name for name in fields if name not in optional] == list(json.loads(example))


def test_the_headers_are_those_that_are_written():
    """Of a prediction, and of a dead letter."""
    writer = PredictionWriter(
        heads=(),
        name="m",
        fingerprint="0" * 64,
        numerics="0" * 8,
        topic="t",
        partition=0,
        app="a",
        fold_id="f",
        top_k=5,
    )
    predictions, dead_letters = page("predictions").split("## Dead letters")
    written = [name for name, _ in writer.headers(3, 0)]
    assert named(rows(predictions, "header")) == written
    error = DecodeError("not_json", "")
    record = LogRecord(0, 0, b"k", b"v")
    letter = dead_letter(record, error, "t", 0, 9, 900_000, writer.fold_headers(0))
    assert named(rows(dead_letters, "header")) == [name for name, _ in letter.headers]


def test_the_reasons_of_dead_letters_are_those_of_the_code():
    """Each once, and no other."""
    assert named(rows(page("predictions"), "`sr-error`")) == list(SKIP_REASONS)


def test_the_arguments_of_the_reader_are_its_own():
    """With their defaults."""
    parameters = inspect.signature(PredictionReader).parameters
    empty = inspect.Parameter.empty
    shown = {
        cells[0].strip("`"): cells[1].strip("`") for cells in rows(page("predictions"), "argument")
    }
    assert shown == {
        name: "" if p.default is empty else repr(p.default).replace("'", '"')
        for name, p in parameters.items()
    }


# --- the feature spec ------------------------------------------------------------------------------


def test_the_feature_spec_by_example_is_one():
    """The example parses, and shows every kind of feature and head."""
    example, *_ = blocks(page("spec"), "toml")
    spec = FeatureSpec.parse(tomllib.loads(example), "README.md")
    assert {type(feature) for feature in spec.features} == set(KINDS)
    assert {head.kind for head in spec.heads} == set(HEADS)


@pytest.mark.parametrize(("part", "first"), [(Event, "option"), (EventTime, "option of `time`")])
def test_the_options_of_an_event_are_its_own(part, first):
    """In any order, because the page explains the common ones first."""
    shown = set(named(row[:1] for row in rows(section(page("spec"), "The event"), first)))
    assert shown == set(part.model_fields)


@pytest.mark.parametrize("number", range(3))
def test_each_event_by_example_is_one(number):
    """The spec reads its record as an event, with its key, its time and its feature."""
    text = section(page("spec"), "Records that are not events themselves")
    record, table = blocks(text, "json")[number], blocks(text, "toml")[number]
    content = {
        "name": "t",
        "heads": [{"name": "w", "kind": "time_to_next"}],
        **tomllib.loads(table),
    }
    spec = FeatureSpec.parse(content, "README.md")
    key, x, time_ms = (
        ("7", 12.5, 1_767_225_600_000),
        ("cart", 7.5, 1_767_225_600_000),
        ("d1", 1.1, 1_767_271_500_000),
    )[number]
    values = [key_element_getter(element)(json.loads(record)) for element in spec.event.key]
    settings = Settings.build(app="a", source="s")

    decoded = Decoder(spec, settings).decode([LogRecord(0, time_ms, b"k", record.encode())])

    assert [*map(str, values)] == [key]
    assert decoded.columns[spec.features[0].path] == [x]
    assert decoded.time_ms.tolist() == [time_ms]


def test_the_options_of_a_file_are_those_of_the_spec():
    """With their defaults."""
    shown = {cells[0].strip("`"): cells[1] for cells in rows(page("spec"), "`[file]`")}
    fields = FileFormat.model_fields
    assert list(shown) == list(fields)
    assert {**shown, "missing": ""} == {
        name: "" if name == "missing" else f"`{json.dumps(field.default)}`"
        for name, field in fields.items()
    }


@pytest.mark.parametrize("part", [*KINDS, *map(type, HEADS.values())])
def test_the_options_of_a_kind_are_its_own(part):
    """With their defaults; what training fits is no option."""
    (kind,) = part.model_fields["kind"].annotation.__args__
    shown = {
        cells[0].strip("`"): cells[1]
        for cells in rows(section(page("spec"), f"`{kind}`"), "option")
    }
    fields = {
        name: field
        for name, field in part.model_fields.items()
        if name not in ("kind", "name", "fitted")
    }
    assert shown == {
        name: ""
        if field.is_required()
        else "none"
        if field.default is None
        else f"`{json.dumps(field.default)}`"
        for name, field in fields.items()
    }


# --- the model -------------------------------------------------------------------------------------


def test_the_files_and_fields_of_a_bundle_are_those_of_the_code():
    """And cells have the kinds, options and defaults that they have."""
    text = page("model")
    files = {name.rstrip("/") for name in named(rows(text, "file"))}
    assert files == {name for name in BUNDLE_NAMES if not name.startswith(f"{MEMORYLESS_NAME}/")}
    assert named(rows(text, "field")) == list(BundleFile.model_fields)
    kinds = CellSpec.model_fields["kind"].annotation
    assert named(rows(text, "`kind`")) == list(kinds.__args__)
    shown = {cells[0].strip("`"): cells[1].strip("`") for cells in rows(text, "option")}
    assert shown == {name: str(field.default) for name, field in CellSpec.model_fields.items()}


def test_the_model_steps_as_the_page_says():
    """The example runs, on the bundle of the demo."""
    example, *_ = blocks(page("model"), "python")
    bundle = PACKAGE / "demo" / "bundle"
    names: dict[str, object] = {}
    exec(compile(example.replace('"bundles/delay"', repr(str(bundle))), "README", "exec"), names)
    assert names["h"].shape == (3, 1, 48)
    assert names["probabilities"]["late"].shape == (3,)
    tensors = set(load_bundle(bundle).network.state_dict())
    assert {"embeddings.0.weight", "cell.weight_ih_l0", "head.weight", "head.bias"} <= tensors


# --- the figures -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", HEADS)
def test_the_metrics_of_a_head_are_those_that_are_measured(kind):
    """The main one apart, and each has a meaning and a better end."""
    head, text = HEADS[kind], page("evaluation")
    (cells,) = [cells for cells in rows(text, "kind of head") if cells[0] == f"`{kind}`"]
    output = np.full((4, 6), 1 / 6, np.float32) if kind == "multiclass" else np.zeros(4, np.float32)
    measured = list(score(head, output, np.array([0.0, 1.0, 0.0, 1.0])))
    main, others = (re.findall(r"`(\w+)`", cell) for cell in cells[1:])
    assert main == [main_metric(head)]
    assert sorted([*main, *others]) == sorted(measured)
    ends = {name: row[1] for row in rows(text, "metric") for name in re.findall(r"`(\w+)`", row[0])}
    assert {name: ends[name] for name in measured} == {name: better(name) for name in measured}
