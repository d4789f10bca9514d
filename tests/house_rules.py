"""Rules of the house as functions from source text to what breaks them; no linter knows them."""

import ast
import functools
import gc
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "stream_rnn"
LINES_MAX = 350
FUNCTION_LINES_MAX = 60
FIELDS_MAX, POSITIONAL_MAX = 5, 3

SHARE_MAX = 0.15  # of all lines, in one room
IMPURE = {"asyncio", "redis", "aiokafka", "faust", "time", "random", "threading", "socket"}
BROAD_HANDLERS = {  # where, and why it may catch everything
    "cli/worker.py": "the outermost loop: what failed was logged, the exit status says the rest",
    "replay/iterate.py": "what went wrong in the thread is raised where the loop is",
    "kafka/record_batches.py": "codecs and aiokafka's parser raise whatever they raise; translated",
    "kafka/tokens.py": "a provider of tokens raises whatever it raises; translated",
    "model/package_cells/find.py": "a cell of another package raises whatever it raises; translated",
    "local/maven.py": "jgo raises whatever its HTTP library and its parsers raise; translated",
}
WEIGHTS_ONLY = "model/weights/torch_file.py"  # may load a state dict, with weights_only=True
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


def impurities(source):
    """Return imports that a pure module may not have."""
    return [name for name in imported(source) if name.split(".")[0] in IMPURE]


def pickles(source, place=""):
    """Return what would run code from a file, except for what ``place`` may do."""
    unsafe = {"pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
    found = [name for name in imported(source) if name.split(".")[0] in unsafe]
    nodes = list(ast.walk(parsed(source)))
    texts = [ast.unparse(n) for n in nodes if isinstance(n, ast.Attribute)]
    found += [text for text in texts if text in {"torch.load", "torch.save"}]
    calls = [n for n in nodes if isinstance(n, ast.Call) and ast.unparse(n.func) == "torch.load"]
    is_safe = all("weights_only=True" in ast.unparse(call) for call in calls)
    return (
        found
        if place != WEIGHTS_ONLY or not is_safe
        else [name for name in found if name not in {"torch.load", "pickle.UnpicklingError"}]
    )


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


READERS = ("batches", "read_dead_letters", "records_at", "_records", "records", "read")
"""Functions that return an asynchronous generator with an open reader of Kafka."""


def unclosed_readers(source):
    """Return loops, by line, that leave a reader to the end of the event loop if they raise.

    There several generators of one reader are closed at once, which fails with a traceback.
    """
    loops = (ast.AsyncFor, ast.comprehension)
    return [
        node.iter.lineno
        for node in ast.walk(parsed(source))
        if isinstance(node, loops)
        and (isinstance(node, ast.AsyncFor) or node.is_async)
        and isinstance(node.iter, ast.Call)
        and ast.unparse(node.iter.func).rpartition(".")[2] in READERS
    ]


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
