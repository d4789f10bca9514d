"""Formatting of metric values, intervals and metric names in a report."""

from stream_rnn.metrics.figure import Figure
from stream_rnn.text import format_duration, format_number, is_known

METRIC_NAMES = {
    "auc": "AUC",
    "log_loss": "log loss",
    "brier": "Brier score",
    "mae": "mean absolute error",
    "rmse": "root mean square error",
    "r2": "R²",
    "pinball": "pinball loss",
    "coverage": "coverage of the interval",
    "width": "width of the interval",
}
IN_UNIT = (
    "mae",
    "rmse",
    "pinball",
    "width",
    "absolute_error",
    "median",
    "bias",
)  # in the unit of the target


def is_in_unit(metric: str) -> bool:
    """Return whether the values of a metric are in the unit of the target."""
    return any(part in metric for part in IN_UNIT)


def is_duration(metric: str, unit: str) -> bool:
    """Return whether the values of a metric are durations."""
    return unit == "s" and is_in_unit(metric)


def format_metric(
    value: float | None, metric: str = "", unit: str = "", like: float | None = None
) -> str:
    """Format the value of a metric, as a duration if it is one.

    Args:
        value: Value; ``None`` and NaN are written as a dash.
        metric: Name of the metric.
        unit: Unit of the target.
        like: Value whose number of decimals is used; ``None`` chooses by ``value``.

    Example:
        >>> format_metric(128448, "mae", "s"), format_metric(0.76812, "r2", "s")
        ('35.7 h', '0.768')
    """
    return (format_duration if is_duration(metric, unit) else format_number)(value, like)


def format_difference(value: float | None, metric: str, unit: str = "") -> str:
    """Format a difference of two values of a metric, with its sign; ``None`` is a dash."""
    text = format_metric(value, metric, unit)
    return f"+{text}" if value is not None and value > 0 else text


def interval(figure: Figure | None, metric: str = "", unit: str = "") -> str:
    """Format the interval of a figure; an empty text if it has none.

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
    """Return the readable name of a metric, with its unit unless its values are durations.

    Example:
        >>> metric_name("auc"), metric_name("mae", "K"), metric_name("top_5")
        ('AUC', 'mean absolute error (K)', 'top 5')
    """
    name = METRIC_NAMES.get(metric, metric.replace("_", " "))
    return f"{name} ({unit})" if unit not in ("", "s") and is_in_unit(metric) else name
