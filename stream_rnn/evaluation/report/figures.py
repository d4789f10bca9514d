"""How figures and the names of metrics are written in a report."""

from stream_rnn.metrics.figure import Figure
from stream_rnn.text import format_duration, format_number, is_known

METRIC_NAMES = {
    "auc": "AUC",
    "log_loss": "log loss",
    "brier": "Brier score",
    "mae": "mean absolute error",
    "rmse": "root mean square error",
    "r2": "R²",
}
IN_UNIT = ("mae", "rmse", "absolute_error", "median", "bias")  # such metrics are in the target's


def is_in_unit(metric: str) -> bool:
    """Tell whether a metric's values are in the unit of what is predicted."""
    return any(part in metric for part in IN_UNIT)


def is_duration(metric: str, unit: str) -> bool:
    """Tell whether a metric's values are times."""
    return unit == "s" and is_in_unit(metric)


def format_metric(
    value: float | None, metric: str = "", unit: str = "", like: float | None = None
) -> str:
    """Return a metric's value: as a duration where it is one, with the decimals of ``like``.

    Example:
        >>> format_metric(128448, "mae", "s"), format_metric(0.76812, "r2", "s")
        ('35.7 h', '0.768')
    """
    return (format_duration if is_duration(metric, unit) else format_number)(value, like)


def format_difference(value: float, metric: str, unit: str = "") -> str:
    """Return a difference of a metric, with its sign."""
    text = format_metric(value, metric, unit)
    return f"+{text}" if value > 0 else text


def interval(figure: Figure | None, metric: str = "", unit: str = "") -> str:
    """Return between which values a figure lies; empty where nobody knows.

    Example:
        >>> interval(Figure(0.768, 0.7571, 0.779))
        '0.757 to 0.779'
        >>> interval(Figure(128448, 126000, 129600), "mae", "s")
        '35 h to 36 h'
    """
    if figure is None or not is_known(figure.low) or not is_known(figure.high):
        return ""
    low, high = (format_metric(v, metric, unit, figure.value) for v in (figure.low, figure.high))
    return f"{low} to {high}"


def metric_name(metric: str, unit: str = "") -> str:
    """Return a metric in words, with its unit; a duration's values have theirs.

    Example:
        >>> metric_name("auc"), metric_name("mae", "K"), metric_name("top_5")
        ('AUC', 'mean absolute error (K)', 'top 5')
    """
    name = METRIC_NAMES.get(metric, metric.replace("_", " "))
    return f"{name} ({unit})" if unit not in ("", "s") and is_in_unit(metric) else name
