"""Takes the steps of ``deploy/Dockerfile`` in an empty directory, where no Docker engine is.

Every absolute path of the image is below that directory.  Three things are different: Debian's
compiler and PyTorch's CPU build are not installed, and what the package depends on is linked from
the environment of this process instead of being fetched once more.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from tests.deployed import DEPLOY, read, stages

OFFLINE = {"PIP_NO_BUILD_ISOLATION": "0", "PIP_NO_INDEX": "1"}  # setuptools is linked, too
NOT_HERE = ("apt-get", "download.pytorch.org")
OF_THE_IMAGE = re.compile(r"(?<![\w./$}])/(?=(?:opt|wheel|src|bundles?|tmp)\b)")


class Image:
    """An image below a directory.

    Args:
        root: an empty directory; it stands for ``/``.

    Attributes:
        environment: of the last stage.
        command: its entry point and arguments.
        probe: its health check.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.environment: dict[str, str] = {}
        self.command: list[str] = []
        self.probe: list[str] = []

    def here(self, text: str) -> str:
        """Return a text with the image's paths below the root."""
        return OF_THE_IMAGE.sub(f"{self.root}/", text)

    def build(self) -> None:
        """Take all steps."""
        build, final = stages(read("Dockerfile"))
        self._stage(build)
        self._stage(final)

    def _stage(self, instructions: list[tuple[str, str]]) -> None:
        self.environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
        (self.root / "tmp").mkdir(exist_ok=True)
        cwd = self.root
        for word, rest in instructions:
            match word:
                case "ENV":
                    self._set(rest)
                case "WORKDIR":
                    cwd = Path(self.here(rest))
                    cwd.mkdir(parents=True, exist_ok=True)
                case "COPY":
                    self._copy(rest.split(), cwd)
                case "RUN" if not any(word in rest for word in NOT_HERE):
                    self._run(rest, cwd)
                case "HEALTHCHECK":
                    self.probe = _words(rest[rest.index("CMD") :].removeprefix("CMD"))
                case "ENTRYPOINT" | "CMD":
                    self.command += _words(rest)

    def _set(self, rest: str) -> None:
        for pair in shlex.split(rest):
            name, _, value = pair.partition("=")
            value = value.replace("$PATH", self.environment["PATH"])
            self.environment[name] = self.here(value)

    def _copy(self, words: list[str], cwd: Path) -> None:
        *sources, to = words
        stage = sources[0].startswith("--from=")
        for source in sources[stage:]:
            origin = Path(self.here(source)) if stage else DEPLOY.parent / source
            target = Path(self.here(to)) if stage else cwd / to
            if origin == target:  # both stages are below the same root
                continue
            ignore = shutil.ignore_patterns("__pycache__")
            if not origin.is_dir():
                shutil.copy(origin, target)
            else:
                shutil.copytree(origin, target, ignore=ignore)

    def _run(self, text: str, cwd: Path) -> None:
        environment = {**self.environment, "HOME": str(self.root / "tmp"), **OFFLINE}
        done = subprocess.run(
            ["/bin/sh", "-ec", self.here(text)],
            cwd=cwd,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
        if "-m venv" in text:
            self._link()

    def _link(self) -> None:
        """Let the new environment see what this one has, but for the package itself."""
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        linked = self.root / "linked"
        linked.mkdir()
        for path in Path(sysconfig.get_path("purelib")).iterdir():
            if not re.search(r"stream.rnn|^pip|\.pth$|__pycache__", path.name):
                (linked / path.name).symlink_to(path)
        packages = self.root / "opt" / "stream-rnn" / "lib" / version / "site-packages"
        for path in packages.glob("setuptools*"):  # what comes with Python may be too old
            shutil.rmtree(path)
        (packages / "linked.pth").write_text(f"{linked}\n")


def _words(text: str) -> list[str]:
    """Read the words of an instruction in its JSON form."""
    return [str(word) for word in json.loads(text)]


def unreadable(directory: Path) -> list[Path]:
    """Return what a user without rights could not read."""
    found = []
    for parent, directories, files in os.walk(directory):
        paths = [Path(parent, name) for name in (*directories, *files)]
        wanted = {True: 0o005, False: 0o004}
        found += [
            path
            for path in paths
            if not path.is_symlink() and ~path.stat().st_mode & wanted[path.is_dir()]
        ]
    return found
