"""Progress bars, on standard error."""

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

if TYPE_CHECKING:
    from stream_rnn.training import progress as training


WIDE = 130  # columns of a terminal in which everything has room


class SpeedColumn(ProgressColumn):
    """Records or events per second, as soon as there are any."""

    def __init__(self, unit: str) -> None:
        super().__init__(Column(no_wrap=True))  # the bar becomes narrower instead
        self._unit = unit

    def render(self, task: Task) -> Text:
        """Return the text of the column."""
        return Text("" if not task.speed else f"{task.speed:,.0f} {self._unit}")


class TrainingBars(Progress):
    """One progress bar for each network in training; a narrow terminal shows the most needed."""

    def __init__(self, console: Console) -> None:
        is_wide = console.width >= WIDE
        loss = "loss {task.fields[loss]:.4f}  best validation {task.fields[best]:.4f}"
        columns: list[ProgressColumn] = [
            TextColumn("{task.description}", table_column=Column(overflow="ellipsis")),
            TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
            TextColumn("{task.fields[phase]}", table_column=Column(overflow="ellipsis")),
            TextColumn(loss if is_wide else "best {task.fields[best]:.4f}"),
            SpeedColumn("events/s"),
            TextColumn("left at most" if is_wide else "left"),
            TimeRemainingColumn(compact=not is_wide, table_column=Column(no_wrap=True)),
        ]
        if is_wide:
            columns.insert(1, BarColumn())
            columns.insert(-2, TimeElapsedColumn(Column(no_wrap=True)))
        super().__init__(*columns, console=console)
        self._bars: dict[str, Any] = {}

    def __call__(self, name: str, progress: "training.Progress") -> None:
        """Update the bar of a network."""
        fields: dict[str, Any] = {
            "epoch": progress.epoch,
            "epochs": progress.epochs,
            "phase": progress.phase,
            "loss": progress.training_loss,
            "best": progress.validation_loss,
            "total": progress.events_max,
            "completed": progress.events,
        }
        if name not in self._bars:  # training that resumes has its first events behind it
            self._bars[name] = self.add_task(name, **fields)
        self.update(self._bars[name], **fields)


class RecordBars(Progress):
    """One progress bar for each log: records read, and their total where it is known."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        super().__init__(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            SpeedColumn("records/s"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,  # an empty line would remain
        )
        self._bars: dict[str, Any] = {}

    def __call__(self, name: str, records: int, total: int | None = None) -> None:
        """Advance the bar of a log by a number of records."""
        if name not in self._bars:
            self._bars[name] = self.add_task(name, total=total)
        self.advance(self._bars[name], records)
