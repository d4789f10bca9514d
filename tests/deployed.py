"""Reads what is in ``deploy/``."""

import re
import shutil
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

DEPLOY = Path(__file__).parents[1] / "deploy"
PREFIX = "STREAM_RNN_"


def require_checkout() -> None:
    """Skip a module where there is no ``deploy/``."""
    if not DEPLOY.is_dir():
        pytest.skip("only a checkout has deploy/, the wheel has not", allow_module_level=True)


def read(name: str) -> str:
    """Return a file of ``deploy/``."""
    return (DEPLOY / name).read_text(encoding="utf-8")


class Strict(yaml.SafeLoader):
    """Refuses a name that stands twice in a mapping, where YAML would take the last one."""

    def construct_mapping(self, node, deep=False):
        """Return a mapping whose names are distinct."""
        names = [self.construct_object(name, deep=True) for name, _ in node.value]
        assert len(set(names)) == len(names), f"a name stands twice: {names}"
        return super().construct_mapping(node, deep)


def parse(text: str):
    """Return the one document of a text."""
    return yaml.load(text, Strict)


def settings_in(pairs: dict[str, str]) -> dict[str, str]:
    """Return those of an environment's variables that are settings, by the setting's name."""
    return {k.removeprefix(PREFIX).lower(): v for k, v in pairs.items() if k.startswith(PREFIX)}


def program(name: str) -> str | None:
    """Return where a program is: on the PATH, or beside this Python."""
    return shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))


def needs(*names: str) -> pytest.MarkDecorator:
    """Skip a test by the names of the programs that are missing."""
    missing = [name for name in names if program(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"no {' and no '.join(missing) or 'program'}")


def stages(dockerfile: str) -> list[list[tuple[str, str]]]:
    """Return the stages of a Dockerfile: lists of (instruction, arguments)."""
    text = re.sub(r"\\\n\s*", "", dockerfile)
    found = []
    for line in text.splitlines():
        if line[:1].isalpha():
            word, _, rest = line.partition(" ")
            found.append((word, rest.strip()))
    starts = [n for n, (word, _) in enumerate(found) if word == "FROM"] + [len(found)]
    return [found[a:b] for a, b in pairwise(starts)]


def sent(dockerignore: str) -> list[str]:
    """Return what is sent to the engine, of a list that begins by leaving out everything."""
    lines = [line for line in dockerignore.splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*", "this reader knows no other kind"
    return [line[1:] for line in lines if line.startswith("!")]
