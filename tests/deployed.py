"""Reads the files of ``deploy/`` for the tests of the deployment."""

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
    """Skip a module outside of a checkout, where ``deploy/`` does not exist."""
    if not DEPLOY.is_dir():
        pytest.skip("only a checkout has deploy/; the wheel does not", allow_module_level=True)


def read(name: str) -> str:
    """Return the text of a file of ``deploy/``."""
    return (DEPLOY / name).read_text(encoding="utf-8")


class Strict(yaml.SafeLoader):
    """A YAML loader that refuses duplicate names in a mapping, of which YAML would use the last."""

    def construct_mapping(self, node, deep=False):
        """Return a mapping; fail if a name occurs twice."""
        names = [self.construct_object(name, deep=True) for name, _ in node.value]
        assert len(set(names)) == len(names), f"a name occurs twice: {names}"
        return super().construct_mapping(node, deep)


def parse(text: str):
    """Parse a text with a single YAML document."""
    return yaml.load(text, Strict)


def settings_in(pairs: dict[str, str]) -> dict[str, str]:
    """Return the settings among environment variables, by the name of the setting."""
    return {k.removeprefix(PREFIX).lower(): v for k, v in pairs.items() if k.startswith(PREFIX)}


def program(name: str) -> str | None:
    """Return the path of a program on the PATH or beside this Python; ``None`` if it is missing."""
    return shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))


def needs(*names: str) -> pytest.MarkDecorator:
    """Return a mark that skips a test if one of these programs is missing."""
    missing = [name for name in names if program(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"no {' and no '.join(missing) or 'program'}")


def stages(dockerfile: str) -> list[list[tuple[str, str]]]:
    """Return the stages of a Dockerfile, each a list of (instruction, arguments)."""
    text = re.sub(r"\\\n\s*", "", dockerfile)
    instructions = []
    for line in text.splitlines():
        if line[:1].isalpha():
            word, _, rest = line.partition(" ")
            instructions.append((word, rest.strip()))
    starts = [n for n, (word, _) in enumerate(instructions) if word == "FROM"]
    starts.append(len(instructions))
    return [instructions[a:b] for a, b in pairwise(starts)]


def sent(dockerignore: str) -> list[str]:
    """Return the files of the build context; the list must begin by excluding everything."""
    lines = [line for line in dockerignore.splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*", "the list must begin by excluding everything"
    return [line[1:] for line in lines if line.startswith("!")]
