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
)
from rich.text import Text

if TYPE_CHECKING:
    from stream_rnn.training import trainer as training


class TrainingBars(Progress):
    """Progress bars: one for each network that is trained."""

    def __init__(self, console: Console) -> None:
        super().__init__(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
            TextColumn("loss {task.fields[loss]:.4f}  best validation {task.fields[best]:.4f}"),
            TimeElapsedColumn(),
            console=console,
        )
        self._bars: dict[str, Any] = {}

    def __call__(self, name: str, progress: "training.Progress") -> None:
        """Move the bar of one network."""
        if name not in self._bars:
            self._bars[name] = self.add_task(
                name,
                total=progress.epochs,
                epoch=0,
                epochs=progress.epochs,
                loss=float("nan"),
                best=float("nan"),
            )
        self.update(
            self._bars[name],
            completed=progress.epoch - 1 + progress.done,
            epoch=progress.epoch,
            loss=progress.training_loss,
            best=progress.validation_loss,
        )


class SpeedColumn(ProgressColumn):
    """Records a second, once there are some."""

    def render(self, task: Task) -> Text:
        """Say it."""
        return Text("" if not task.speed else f"{task.speed:,.0f} records/s")


class RecordBars(Progress):
    """Progress bars of folds: how many records were read, of how many where that is known."""

    def __init__(self, console: Console) -> None:
        super().__init__(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            SpeedColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,  # else it leaves an empty line
        )
        self._bars: dict[str, Any] = {}

    def __call__(self, name: str, records: int, total: int | None = None) -> None:
        """Move the bar of one fold by some records."""
        if name not in self._bars:
            self._bars[name] = self.add_task(name, total=total)
        self.advance(self._bars[name], records)
