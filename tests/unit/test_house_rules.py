"""House rules that no linter knows: directions of imports, purity, sizes, broad handlers, paths.

Each rule is a function from source text to what breaks it; each is shown to find a breach.
"""

import ast
import functools
import gc
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "stream_rnn"
LINES_MAX = 350
FUNCTION_LINES_MAX = 60
FIELDS_MAX, POSITIONAL_MAX = 5, 3

FOLD = {
    *("errors", "options", "settings", "text", "kafka", "store", "model", "fold"),
    *("predictions.schema", "predictions.writer"),  # what reads them is no part of a fold
}
MAY_IMPORT = {  # a room, and what it may import; below are the rooms that come before it
    "errors": set(),
    "options": {"errors"},
    "extras": {"errors"},
    "text": set(),
    "overwriting": {"errors"},
    "settings": {"errors"},
    "keys": {"errors"},
    "key_spellings": {"errors", "keys"},
    "kafka": {"errors", "settings"},
    "store": {"errors", "settings"},
    "model": {"errors", "options", "text"},
    "predictions": {"errors", "kafka", "model"},
    "fold": FOLD,
    "testing": FOLD,
    "metrics": {"model"},
    "replay": {*FOLD, "overwriting", "testing"},
    "spec": {*FOLD, "text", "replay"},
    "training": {*FOLD, "extras", "metrics", "replay"},
    "trace": {*FOLD, "text", "keys", "key_spellings", "replay"},
    "evaluation": {*FOLD, "overwriting", "text", "keys", "metrics", "replay", "training", "trace"},
    "audit": {*FOLD, "keys", "key_spellings", "replay"},
    "worker": FOLD,
    "operate": {
        *FOLD,
        *("overwriting", "text", "keys", "key_spellings", "predictions", "replay", "worker"),
    },
    "local": {"errors"},
    "demo": {*FOLD, "metrics", "replay", "local"},
    "notebook": {
        *(*FOLD, "overwriting", "text", "keys", "metrics", "replay", "spec", "training", "trace"),
        *("evaluation", "demo"),
    },
    "__init__": {
        *("errors", "extras", "settings", "model", "predictions", "worker", "notebook"),
    },  # the public names
}
MAY_IMPORT["cli"] = {*MAY_IMPORT, "cli"}
SHARE_MAX = 0.15  # of all lines, in one room
IMPURE = {"asyncio", "redis", "aiokafka", "faust", "time", "random", "threading", "socket"}
BROAD_HANDLERS = {  # where, and why it may catch everything
    "cli/worker.py": "the outermost loop: what failed was logged, the exit status says the rest",
    "replay/iterate.py": "what went wrong in the thread is raised where the loop is",
    "kafka/record_batches.py": "codecs and aiokafka's parser raise whatever they raise; translated",
    "kafka/tokens.py": "a provider of tokens raises whatever it raises; translated",
    "local/kafka.py": "jgo raises whatever its HTTP library and its parsers raise; translated",
}
VAGUE_NAMES = {"utils", "helpers", "manager", "base", "impl", "common", "core"}
SLASH = "/"  # so that this file itself holds no such path
MACHINE_PATH = re.compile(r"(?<![\w.~}])/(?:root|work|home|Users)/\w|(?<![\w.~}])/tmp/\w")


def parsed(source):
    """Parse without collecting garbage: a finalizer that runs meanwhile can make Python 3.11 fail."""
    gc.disable()
    try:
        return ast.parse(source)
    finally:
        gc.enable()


def modules():
    """Return the package's modules."""
    return sorted(PACKAGE.rglob("*.py"))


def texts():
    """Return every text that is shipped or read by people."""
    suffixes = {
        ".py",
        ".lua",
        ".toml",
        ".md",
        ".json",
        ".yaml",
        ".yml",
        ".sh",
        ".jinja",
        ".css",
        ".html",
        ".js",
        ".service",
    }
    found = [path for top in ("stream_rnn", "tests", "deploy") for path in (ROOT / top).rglob("*")]
    named = [ROOT / name for name in ("README.md", "pyproject.toml", ".ci/run")]
    return [p for p in (*found, *named) if p.is_file() and (p.suffix in suffixes or p in named)]


def relative(path):
    """Return a path as it is seen from the package, or from the checkout."""
    return str(path.relative_to(PACKAGE if path.is_relative_to(PACKAGE) else ROOT))


def imported(source):
    """Return the modules that a module imports, anywhere in it, with the names taken from them."""
    found = set()
    for node in ast.walk(parsed(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def wrong_directions(room, source):
    """Return imports of the package that a room may not have."""
    wrong = []
    for name in imported(source):
        package, *inside = name.split(".")
        if package != "stream_rnn":
            continue
        of = inside[0] if inside and inside[0] in MAY_IMPORT else "__init__"
        if not {of, ".".join(inside[:2])} & {room, *MAY_IMPORT[room]}:
            wrong.append(name)
    return wrong


def room_of(path):
    """Return the room of a module: its first folder, or itself."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def impurities(source):
    """Return imports that a pure module may not have."""
    return [name for name in imported(source) if name.split(".")[0] in IMPURE]


def pickles(source):
    """Return what would run code from a file."""
    unsafe = {"pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
    found = [name for name in imported(source) if name.split(".")[0] in unsafe]
    texts = [ast.unparse(n) for n in ast.walk(parsed(source)) if isinstance(n, ast.Attribute)]
    return found + [text for text in texts if text in {"torch.load", "torch.save"}]


def long_functions(source):
    """Return functions with too many lines."""
    return [
        node.name
        for node in ast.walk(parsed(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > FUNCTION_LINES_MAX
    ]


def broad_handlers(source):
    """Return the lines of handlers that catch everything and do not raise it again."""
    found = []
    for node in ast.walk(parsed(source)):
        caught, last = "", None
        if isinstance(node, ast.ExceptHandler):
            caught, last = ast.unparse(node.type) if node.type else "Exception", node.body[-1]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress"):
            caught = ast.unparse(node)
        raises_again = isinstance(last, ast.Raise) and last.exc is None
        if re.search(r"\b(Base)?Exception\b", caught) and not raises_again:
            found.append(node.lineno)
    return found


def untold_tasks(source):
    """Return functions that make a task and neither await it nor tell its end."""
    return [
        node.name
        for node in ast.walk(parsed(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and "create_task(" in ast.unparse(node)
        and "unexpected_end(" not in ast.unparse(node)
    ] + (["Service.task"] if "Service.task" in source else [])


def bare_exceptions(source):
    """Return handlers of foreign exceptions, by line, that cite one without ``reason``.

    An exception may have no text, and then the message says nothing.
    """
    ours = {
        name.split(".")[-1] for name in imported(source) if name.startswith("stream_rnn.errors.")
    }
    found = []
    for handler in ast.walk(parsed(source)):
        if not isinstance(handler, ast.ExceptHandler) or handler.name is None or not handler.type:
            continue
        kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
        if {ast.unparse(kind) for kind in kinds} <= ours:
            continue
        for node in ast.walk(handler):
            text, name = ast.unparse(node), handler.name
            is_cited = isinstance(node, ast.FormattedValue) and re.fullmatch(
                rf"({name}|(str|type|repr)\({name}\)(\.__name__)?|.* or {name})",
                ast.unparse(node.value),
            )
            is_text = isinstance(node, ast.Call) and re.fullmatch(rf"(str|repr)\({name}\)", text)
            is_logged = (
                isinstance(node, ast.Call)
                and text.startswith("logger.")
                and any(ast.unparse(argument) == name for argument in node.args)
            )
            if is_cited or is_text or is_logged:
                found.append(node.lineno)
    return found


def creating_clients(source):
    """Return clients of Kafka that would create a topic by asking for it."""
    calls = [n for n in ast.walk(parsed(source)) if isinstance(n, ast.Call)]
    names = {ast.unparse(call.func).rpartition(".")[2] for call in calls}
    return sorted(names & {"AIOKafkaConsumer", "AIOKafkaProducer", "AIOKafkaAdminClient"})


def bare_stops(source):
    """Return where a client of Kafka is stopped without a deadline, by line.

    A client is what comes from a function such as ``new_producer`` or ``_new_consumer``, and a
    parameter or an attribute of such a type.
    """
    makes = re.compile(r"(.*\.)?(_?new_(consumer|producer|admin)|disable_topic_creation)")
    kinds = re.compile(r"\b(AIOKafka(Consumer|Producer|AdminClient)|CheckedAdminClient|Consumer)\b")

    def is_made(node):
        return isinstance(node, ast.Call) and bool(makes.fullmatch(ast.unparse(node.func)))

    nodes, clients = list(ast.walk(parsed(source))), set()
    for node in nodes:
        if isinstance(node, ast.Assign) and is_made(node.value):
            clients |= {ast.unparse(target) for target in node.targets}
        elif isinstance(node, ast.NamedExpr) and is_made(node.value):
            clients.add(node.target.id)
        elif isinstance(node, ast.AnnAssign) and kinds.search(ast.unparse(node.annotation)):
            clients.add(ast.unparse(node.target))
        elif isinstance(node, ast.arg) and node.annotation is not None:
            clients |= {node.arg} if kinds.search(ast.unparse(node.annotation)) else set()
    stops = [
        node.lineno
        for node in nodes
        if isinstance(node, ast.Attribute)
        and node.attr in ("stop", "close", "__aexit__")
        and (ast.unparse(node.value) in clients or is_made(node.value))
    ]
    return stops + [  # a client as a context manager stops itself
        one.context_expr.lineno
        for node in nodes
        if isinstance(node, ast.AsyncWith)
        for one in node.items
        if is_made(one.context_expr) or ast.unparse(one.context_expr) in clients
    ]


@functools.cache
def dataclasses_of(source):
    """Return the dataclasses that a module defines, and how many fields each has."""
    return {
        node.name: sum(isinstance(one, ast.AnnAssign) for one in node.body)
        for node in ast.walk(parsed(source))
        if isinstance(node, ast.ClassDef) and "dataclass" in map(_decorator, node.decorator_list)
    }


def _decorator(node):
    return ast.unparse(node.func if isinstance(node, ast.Call) else node)


def positional_fields(source):
    """Return the lines that give a dataclass of many fields more than three by position."""
    many = {name for name, count in dataclasses_of(source).items() if count > FIELDS_MAX}
    for node in ast.walk(parsed(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("stream_rnn."):
            path = (ROOT / node.module.replace(".", SLASH)).with_suffix(".py")
            fields = dataclasses_of(path.read_text(encoding="utf-8")) if path.is_file() else {}
            many |= {a.name for a in node.names if fields.get(a.name, 0) > FIELDS_MAX}
    return [
        node.lineno
        for node in ast.walk(parsed(source))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in many
        and len(node.args) > POSITIONAL_MAX
    ]


def machine_paths(text):
    """Return paths that exist on somebody's machine only."""
    return MACHINE_PATH.findall(text)


@pytest.mark.parametrize("path", modules(), ids=relative)
def test_imports_go_one_way(path):
    """What is below knows nothing of what is above; imports inside of functions count."""
    assert wrong_directions(room_of(path), path.read_text(encoding="utf-8")) == []


def test_the_rooms_have_an_order():
    """Each may import rooms that stand before it in the table, so there is no circle."""
    rooms = list(MAY_IMPORT)
    for number, room in enumerate(rooms):
        below = {name.partition(".")[0] for name in MAY_IMPORT[room]}
        assert below <= {*rooms[: number + 1]}, room
    assert {room_of(path) for path in modules()} == set(rooms)


def test_no_room_has_most_of_the_lines():
    """A folder that does six jobs is split before it is one."""
    lines = dict.fromkeys(MAY_IMPORT, 0)
    for path in modules():
        lines[room_of(path)] += len(path.read_text(encoding="utf-8").splitlines())
    limit = SHARE_MAX * sum(lines.values())
    assert {room: count for room, count in lines.items() if count > limit} == {}


@pytest.mark.parametrize("path", sorted((PACKAGE / "model").glob("*.py")), ids=relative)
def test_the_model_is_pure(path):
    """No asyncio, Redis, Kafka, clock or chance."""
    assert impurities(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", modules(), ids=relative)
def test_nothing_is_pickled(path):
    """States and bundles are data."""
    assert pickles(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", modules(), ids=relative)
def test_files_and_functions_are_short(path):
    """The limits hold for everybody."""
    source = path.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= LINES_MAX
    assert long_functions(source) == []


@pytest.mark.parametrize("path", modules(), ids=relative)
def test_everything_is_caught_in_known_places_only(path):
    """A broad handler hides bugs; each has its reason in this file."""
    found = broad_handlers(path.read_text(encoding="utf-8"))
    assert not found or relative(path) in BROAD_HANDLERS


@pytest.mark.parametrize("path", modules(), ids=relative)
def test_clients_of_kafka_come_from_where_they_never_create_a_topic(path):
    """A broker with auto-creation makes a topic for whoever asks for it by name."""
    found = creating_clients(path.read_text(encoding="utf-8"))
    assert found == [] or relative(path) == "kafka/clients.py"


@pytest.mark.parametrize("path", modules(), ids=relative)
def test_every_client_of_kafka_is_stopped_within_a_deadline(path):
    """One whose broker is away waits for it, a producer without end."""
    found = bare_stops(path.read_text(encoding="utf-8"))
    assert found == [] or relative(path) == "kafka/clients.py"


@pytest.mark.parametrize("place", BROAD_HANDLERS)
def test_an_exception_to_the_rule_is_still_needed(place):
    """Else it is to be deleted."""
    assert broad_handlers((PACKAGE / place).read_text(encoding="utf-8"))


@pytest.mark.parametrize("part", ["worker", "operate", "fold", "predictions"])
def test_the_end_of_every_task_is_told(part):
    """Of what runs for long: a task that nobody awaits may end and nobody notices."""
    for path in (PACKAGE / part).rglob("*.py"):
        assert untold_tasks(path.read_text(encoding="utf-8")) == [], relative(path)


@pytest.mark.parametrize("path", modules(), ids=relative)
def test_a_foreign_exception_is_cited_by_its_reason(path):
    """No message ends in an empty reason."""
    assert bare_exceptions(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", modules(), ids=relative)
def test_a_dataclass_of_many_fields_is_built_by_keyword(path):
    """Two numbers in the wrong order look right."""
    assert positional_fields(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", modules(), ids=relative)
def test_names_say_something(path):
    """A module is named after its job."""
    assert not {*path.relative_to(PACKAGE).with_suffix("").parts} & VAGUE_NAMES


def test_no_file_holds_a_path_of_a_machine():
    """What is shipped works anywhere."""
    found = {relative(path): machine_paths(path.read_text(encoding="utf-8")) for path in texts()}
    assert {place: paths for place, paths in found.items() if paths} == {}


@pytest.mark.parametrize(
    ("rule", "breach"),
    [
        (lambda source: wrong_directions("fold", source), "from stream_rnn.worker import plugin"),
        (
            lambda source: wrong_directions("model", source),
            "def f():\n    import stream_rnn.kafka.connection",
        ),
        (
            lambda source: wrong_directions("fold", source),
            "from stream_rnn.predictions.reader import PredictionReader",
        ),
        (
            lambda source: wrong_directions("fold", source),
            "from stream_rnn.predictions import PredictionReader",
        ),
        (lambda source: wrong_directions("worker", source), "from stream_rnn import cli"),
        (lambda source: wrong_directions("errors", source), "from stream_rnn import __version__"),
        (impurities, "def f():\n    from time import monotonic"),
        (impurities, "import asyncio.locks"),
        (pickles, "import pickle"),
        (pickles, "import torch\nmodel = torch.load('x')"),
        (long_functions, "def f():\n" + "    pass\n" * FUNCTION_LINES_MAX),
        (broad_handlers, "try:\n    pass\nexcept Exception:\n    pass"),
        (broad_handlers, "try:\n    pass\nexcept:\n    pass"),
        (broad_handlers, "try:\n    pass\nexcept (ValueError, BaseException) as e:\n    raise e"),
        (broad_handlers, "with contextlib.suppress(Exception):\n    pass"),
        (untold_tasks, "def f():\n    asyncio.create_task(work())"),
        (bare_exceptions, "try:\n    pass\nexcept OSError as error:\n    raise X(f'no: {error}')"),
        (
            bare_exceptions,
            "try:\n    pass\nexcept OSError as error:\n    raise X(f'no: {error.strerror or error}')",
        ),
        (
            bare_exceptions,
            "try:\n    pass\nexcept OSError as error:\n    raise X(f'{type(error).__name__}')",
        ),
        (
            bare_exceptions,
            "try:\n    pass\nexcept OSError as error:\n    logger.info('no: %s', error)",
        ),
        (bare_exceptions, "try:\n    pass\nexcept OSError as error:\n    say(str(error))"),
        (creating_clients, "aiokafka.AIOKafkaConsumer(group_id=None)"),
        (bare_stops, "one = new_producer()\nasync def f():\n    await one.stop()"),
        (bare_stops, "self._one = self._new_consumer()\nclose(self._one.stop)"),
        (bare_stops, "self._one: AIOKafkaProducer\nawait self._one.stop()"),
        (bare_stops, "async def f(admin: CheckedAdminClient):\n    await admin.close()"),
        (
            bare_stops,
            "async def f():\n    async with kafka_clients.new_admin() as admin:\n        x()",
        ),
        (bare_stops, "one = new_producer()\nasync def f():\n    async with one:\n        x()"),
        (positional_fields, "from stream_rnn.fold.recovery import Start\nStart(4, 1, 1, 1)"),
        (
            positional_fields,
            "@dataclass(frozen=True)\nclass A:\n"
            + "".join(f"    a{i}: int\n" for i in range(6))
            + "A(1, 2, 3, *more)",
        ),
        (machine_paths, f"path = '{SLASH}root/x'"),
        (machine_paths, f"see {SLASH}tmp/x"),
    ],
)
def test_each_rule_finds_a_breach(rule, breach):
    """A rule that cannot fail is no rule."""
    assert rule(breach)


@pytest.mark.parametrize(
    ("rule", "fine"),
    [
        (
            lambda source: wrong_directions("fold", source),
            "from stream_rnn.predictions.writer import PredictionWriter",
        ),
        (lambda source: wrong_directions("model", source), "from stream_rnn.errors import X"),
        (long_functions, "def f():\n" + "    pass\n" * (FUNCTION_LINES_MAX - 1)),
        (broad_handlers, "try:\n    pass\nexcept BaseException:\n    x()\n    raise"),
        (
            bare_exceptions,
            "try:\n    pass\nexcept OSError as error:\n    raise X(f'no: {reason(error)}')",
        ),
        (
            bare_exceptions,
            "from stream_rnn.errors import X\ntry:\n    f()\nexcept X as e:\n    logger.info('%s', e)",
        ),
        (
            bare_stops,
            "one = new_producer()\nawait stop_producer(one, 1)\nself.close()\nfile.close()",
        ),
        (bare_stops, "async with self._producer.transaction():\n    x()"),
        (positional_fields, "from stream_rnn.fold.recovery import Start\nStart(4, 1, 1, lost=1)"),
        (positional_fields, "from stream_rnn.keys import Start\nStart(4, 1, 1, 1)"),
        (machine_paths, "from tests/work/x and $TMPDIR/tmp/x"),
    ],
)
def test_no_rule_finds_a_breach_where_there_is_none(rule, fine):
    """A rule that always fails is switched off soon."""
    assert not rule(fine)
