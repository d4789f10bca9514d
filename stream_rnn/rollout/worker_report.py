"""What each worker reports beside the plan, and what a roll-out refuses because of it.

A worker writes its report under the id by which the group knows it, and the report expires.  So
whoever knows the members of the group finds a report of each one that knows roll-outs: a worker of
an earlier version has none, and the report of one that has died counts no more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stream_rnn.errors import ConfigError
from stream_rnn.rollout.plan import FoldId, FoldName, Stage

REPORT_BYTES_MAX = 100_000
REPORT_EXPIRES_S = 30.0
REFUSAL_LENGTH_MAX = 500
NAMED_MAX = 3
SETTINGS_MAX = 50
RETRY = "a worker that has just started reports within seconds: try again"

ShortText = Annotated[str, Field(max_length=100)]


class WorkerReport(BaseModel):
    """The report of one worker.

    Attributes:
        format: Version of the report's content.
        version: Version of the package.
        own: Fold of the worker's own bundle.
        loaded: Ids of the folds whose bundles are loaded, with its own.
        refused: Reason why the worker cannot run a fold of the plan, for each such fold.
        stage: Stage of the plan as it was last read; ``None`` without a plan.
        candidates: Partitions in which a candidate is folding.
        shadow: Reason why the candidates' predictions are not published; ``None`` if there is none.
        settings: Settings that change a fold, as texts; ``None`` if they are not reported.
        events_per_s: Events per second of the time that micro-batches took; ``None`` before the
            first one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    version: str = Field(max_length=100)
    own: FoldName
    loaded: tuple[FoldId, ...] = Field(max_length=100)
    refused: dict[FoldId, Annotated[str, Field(max_length=REFUSAL_LENGTH_MAX)]] = {}
    stage: Stage | None = None
    candidates: tuple[int, ...] = ()
    shadow: str | None = Field(None, max_length=REFUSAL_LENGTH_MAX)
    settings: dict[ShortText, ShortText] | None = Field(None, max_length=SETTINGS_MAX)
    events_per_s: float | None = Field(None, ge=0)

    def encode(self) -> bytes:
        """Return the report as JSON."""
        return self.model_dump_json(exclude_none=True).encode()

    @classmethod
    def decode(cls, content: bytes | None) -> Self | None:
        """Parse a report; ``None`` if there is none that this version understands."""
        if content is None or len(content) > REPORT_BYTES_MAX:
            return None
        try:
            return cls.model_validate_json(content)
        except ValidationError:
            return None


@dataclass(frozen=True, slots=True)
class Workers:
    """The members of the group, each with its report.

    Attributes:
        reports: Report of each member, by a name for people; ``None`` for a member without one.
    """

    reports: Mapping[str, WorkerReport | None]

    @property
    def known(self) -> list[WorkerReport]:
        """All reports."""
        return [report for report in self.reports.values() if report is not None]

    @property
    def own_folds(self) -> dict[str, FoldName]:
        """Folds of the workers' own bundles, by their ids."""
        return {report.own.fold_id: report.own for report in self.known}

    def require_reports(self) -> None:
        """Raise unless every member of the group knows roll-outs.

        Raises:
            ConfigError: A member has no report.
        """
        silent = [name for name, report in self.reports.items() if report is None]
        if silent:
            raise ConfigError(
                f"{len(silent)} of {len(self.reports)} members of the group report nothing to "
                f"roll-outs: {_list(silent)}; {RETRY}. If it is a worker of an earlier version, it "
                "would undo a cut-over: replace it first. If Redis refuses SET to it, its log says so"
            )

    def require_settings(self, given: Mapping[str, str]) -> None:
        """Raise if a worker has other settings that change a fold, so that it could not run the given.

        Args:
            given: These settings of the command, as texts.

        Raises:
            ConfigError: There is such a worker.
        """
        for name, report in self.reports.items():
            own = report.settings if report is not None else None
            if own is None or own == given:
                continue
            names = sorted(n for n in own.keys() | given.keys() if own.get(n) != given.get(n))
            differ = ", ".join(f"{n} {own.get(n)} instead of {given.get(n)}" for n in names)
            raise ConfigError(
                f"{name} has {differ}, so it cannot run the fold that the bundle makes with the "
                "settings of this command: give the command the settings of the workers"
            )

    def require_loaded(self, fold_ids: Sequence[str]) -> None:
        """Raise unless every worker has loaded the bundles of some folds.

        Raises:
            ConfigError: There is no worker, or one that has not loaded a bundle.
        """
        self.require_reports()
        if not self.reports:
            raise ConfigError(
                "no worker of the app runs, so nothing shows that the workers can load the bundle "
                "to promote: start them first"
            )
        for name, report in self.reports.items():
            for fold_id in fold_ids:
                if report is not None and fold_id not in report.loaded:
                    why = report.refused.get(fold_id)
                    raise ConfigError(
                        f"{name} cannot run fold {fold_id}: {why}"
                        if why
                        else f"{name} has not loaded the bundle of fold {fold_id} yet; {RETRY}"
                    )


def _list(names: Sequence[str]) -> str:
    more = len(names) - NAMED_MAX
    return "; ".join(names[:NAMED_MAX]) + (f"; and {more} more" if more > 0 else "")
