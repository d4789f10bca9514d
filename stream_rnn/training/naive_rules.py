"""The naive rules of a bundle: fitted to the training part, chosen by validation, and read again."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from stream_rnn.errors import BundleError
from stream_rnn.metrics.naive_baselines import RULES, Naive, Rule, predict
from stream_rnn.metrics.scores import main_metric, merit, score
from stream_rnn.model.features import FeatureSpec
from stream_rnn.training.examples import Examples, last_targets, targets
from stream_rnn.training.splits import PART_NAMES
from stream_rnn.training.validation import Metrics

NAIVE_NAME = "naive.json"
NAIVE_BYTES_MAX = 64_000_000


def fit_naive_rules(
    spec: FeatureSpec, examples: Examples
) -> tuple[Naive, Metrics, dict[str, Rule]]:
    """Fit the naive rules to the training part, and choose one for each head by validation.

    Returns:
        All rules, the metrics of the chosen rules by part, and the chosen rule of each head.
    """
    targets_of = {head.name: targets(head, examples) for head in spec.heads}
    lasts = {head.name: last_targets(head, examples) for head in spec.heads}
    first = examples.part == 0  # the training part
    seen = {name: target[first] for name, target in targets_of.items()}
    naive = Naive.fit(spec, seen, {name: last[first] for name, last in lasts.items()})
    metrics: Metrics = {}
    rules: dict[str, Rule] = {}
    for head in spec.heads:
        by_rule: dict[Rule, dict[str, dict[str, float]]] = {}
        target = targets_of[head.name]
        for rule in RULES:
            outputs = predict(head, naive.heads[head.name], rule, lasts[head.name], target)
            for number, part in enumerate(PART_NAMES):
                chosen = (examples.part == number) & np.isfinite(target)
                if chosen.any():
                    of_rule = by_rule.setdefault(rule, {})
                    of_rule[part] = score(head, outputs[chosen], target[chosen])
        if by_rule:
            rules[head.name] = _better_rule(main_metric(head), by_rule)
            for part, scores in by_rule[rules[head.name]].items():
                metrics.setdefault(part, {})[head.name] = scores
    return naive.with_rules(rules), metrics, rules


def _better_rule(metric: str, by_rule: Mapping[Rule, dict[str, dict[str, float]]]) -> Rule:
    def value(rule: Rule) -> float:
        parts = by_rule[rule]
        return merit(metric, parts.get("validation", parts.get("training", {})).get(metric, np.nan))

    return max(by_rule, key=value)


def read_naive(bundle: Path) -> Naive | None:
    """Read the naive rules of a bundle; return ``None`` if it has none.

    Raises:
        BundleError: The file is torn, too large, or of another program.
    """
    path = bundle / NAIVE_NAME
    if not path.is_file():
        return None
    if path.stat().st_size > NAIVE_BYTES_MAX:
        raise BundleError(f"{path} has more than {NAIVE_BYTES_MAX} bytes; train the bundle again")
    try:
        return Naive.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise BundleError(f"{path}: {first['msg']}; train the bundle again") from error
