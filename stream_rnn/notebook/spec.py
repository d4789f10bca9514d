"""``propose_spec`` and ``load_spec``: what the events of a log are made of."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stream_rnn.model.features import FeatureSpec
from stream_rnn.notebook.html import text
from stream_rnn.overwriting import write_whole
from stream_rnn.replay.frames import Frame, read_frame
from stream_rnn.replay.logs import FRAME_NAME
from stream_rnn.spec.columns import read_sample
from stream_rnn.spec.proposal import Of, ProposalOptions, propose


@dataclass(frozen=True)
class ProposedSpec:
    """A feature spec that was proposed from a log.

    Attributes:
        toml: its text; comments say what each guess was made from.
        spec: the same, as ``train`` takes it.
    """

    toml: str
    spec: FeatureSpec

    def __repr__(self) -> str:
        """Return the text, to be read before training."""
        return self.toml

    def _repr_html_(self) -> str:
        """Return the text as it stands."""
        lines = "\n".join(map(text, self.toml.splitlines()))
        return f"<pre>{lines}</pre>"

    def write(self, path: str | Path) -> None:
        """Write the text to a file, to be changed and read again by ``load_spec``.

        Raises:
            ConfigError: it cannot be written.
        """
        write_whole(Path(path), self.toml, "the spec", lambda _path: None)


def propose_spec(
    log: str | Path | Frame,
    *,
    rows: int = 100_000,
    key: str | Sequence[str] | None = None,
    time: str | None = None,
    target: str | Sequence[str] = (),
    of: Of = "next",
    classes: int = 1000,
) -> ProposedSpec:
    """Propose a feature spec from a log.

    The keywords are the options of ``stream-rnn spec init``.

    Args:
        log: path of a file, or data frame of polars or pandas.
        rows: number of rows to look at, the first ones.
        key: fields that make the key, as a list or separated by commas; ``None``: guess.
        time: field of the event time; ``None``: guess.
        target: field or fields to predict; none: guess.
        of: which value of the target: ``now`` (this event's), ``next`` (the key's next one's) or
            ``label`` (of a labels file).
        classes: largest number of classes of a field.

    Raises:
        ConfigError: there is no key, nothing to learn from, or what was asked for is not there.

    Example:
        >>> from stream_rnn import propose_spec
        >>> from stream_rnn.notebook.example import machines
        >>> proposed = propose_spec(machines(), target="failed")
        >>> proposed.spec.event.key, [head.name for head in proposed.spec.heads]
        (('machine',), ['next_failed'])
    """
    is_path = isinstance(log, str | Path)
    sample = read_sample(Path(log) if is_path else read_frame(log), rows)
    keys = key.split(",") if isinstance(key, str) else key or ()
    targets = (target,) if isinstance(target, str) else tuple(target)
    wanted = ProposalOptions(tuple(part.strip() for part in keys), time, targets, of, classes)
    written = propose(sample, Path(log).name if is_path else FRAME_NAME, wanted)
    return ProposedSpec(written, FeatureSpec.parse(tomllib.loads(written), "proposed"))


def load_spec(path: str | Path) -> FeatureSpec:
    """Read a feature spec from a TOML file.

    Raises:
        SpecError: it is not there, is not TOML, or says something impossible.
    """
    return FeatureSpec.read(path)
