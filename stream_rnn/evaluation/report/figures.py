"""How figures and the names of metrics are written in a report."""

from stream_rnn.metrics.figure import Figure
from stream_rnn.text import format_number, is_known

METRIC_NAMES = {
    "auc": "AUC",
    "log_loss": "log loss",
    "brier": "Brier score",
    "mae": "mean absolute error",
    "rmse": "root mean square error",
    "r2": "R²",
}
IN_UNIT = ("mae", "rmse", "absolute_error", "median", "bias")  # such metrics are in the target's


def interval(figure: Figure | None) -> str:
    """Return between which values a figure lies; empty where nobody knows.

    Example:
        >>> interval(Figure(0.768, 0.7571, 0.779))
        '0.757 to 0.779'
    """
    if figure is None or not is_known(figure.low) or not is_known(figure.high):
        return ""
    return (
        f"{format_number(figure.low, figure.value)} to {format_number(figure.high, figure.value)}"
    )


def metric_name(metric: str, unit: str = "") -> str:
    """Return a metric in words, with the unit where it has one.

    Example:
        >>> metric_name("auc"), metric_name("mae", "s"), metric_name("top_5")
        ('AUC', 'mean absolute error (s)', 'top 5')
    """
    name = METRIC_NAMES.get(metric, metric.replace("_", " "))
    is_in_unit = unit and any(part in metric for part in IN_UNIT)
    return f"{name} ({unit})" if is_in_unit else name
