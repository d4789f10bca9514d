"""The scalings that a spec must state for a network that was trained elsewhere."""

from collections.abc import Callable, Iterator, Mapping
from math import sqrt

from stream_rnn.errors import SpecError
from stream_rnn.model.features import Feature, FeatureSpec, Numeric, SincePrevious, embedded_of
from stream_rnn.model.heads import AnyHead, Quantile, Regression, TimeToNext
from stream_rnn.model.scaled import Fitted
from stream_rnn.model.vector import Vector
from stream_rnn.model.words import Categorical

_NUMBERS = {"standard": ("mean", "std"), "log": ("mean", "std"), "minmax": ("min", "max")}
_EXAMPLES = {"mean": "mean = 12.5", "std": "std = 3.2", "min": "min = 0", "max": "max = 100"}


def check_scalings(spec: FeatureSpec) -> None:
    """Check that the spec states each scaling that training would fit.

    Raises:
        SpecError: A scaled feature or head has no ``fitted``, or lacks one of its numbers; or the
            table of a feature depends on how this package numbers words.
    """
    for feature in spec.features:
        if embedded_of(feature) is not None and not isinstance(feature, Categorical):
            raise SpecError(
                f"feature {feature.name}: a network that was trained elsewhere has no rows for "
                f'kind = "{feature.kind}", whose words are numbered here; use kind = "categorical" '
                "with the vocabulary of the network, in its order"
            )
        if missing := _missing(feature):
            raise SpecError(
                f"feature {feature.name}: its scaling is not stated; write those numbers with which "
                f"the network was trained: fitted = {_stated(feature, missing)}, or scaling = "
                '"none" if it read the value itself'
            )
    for head in spec.heads:
        if missing := _missing_of_head(head):
            raise SpecError(
                f"head {head.name}: the scaling of its target is not stated; write fitted = "
                f"{{{_example(missing)}}}, or fitted = {{mean = 0, std = 1}} if the network predicts "
                "in the unit of the target" + _logarithm(head)
            )


def _missing(feature: Feature) -> tuple[str, ...]:
    if not isinstance(feature, Numeric | SincePrevious | Vector):
        return ()
    needed = _NUMBERS.get(feature.scaling, ())
    if not isinstance(feature, SincePrevious) and feature.missing == "mean":
        needed = tuple(dict.fromkeys((*needed, "mean")))
    if isinstance(feature, Vector):
        places = feature.fitted or (Fitted(),)
        is_stated = all(place.model_fields_set.issuperset(needed) for place in places)
        return () if is_stated else needed
    stated = feature.fitted.model_fields_set if feature.fitted else set()
    return () if stated.issuperset(needed) else needed


def _missing_of_head(head: AnyHead) -> tuple[str, ...]:
    if not isinstance(head, Regression | Quantile | TimeToNext):
        return ()
    stated = head.fitted.model_fields_set if head.fitted else set()
    return () if stated >= {"mean", "std"} else ("mean", "std")


def _logarithm(head: AnyHead) -> str:
    return ", the logarithm of 1 + seconds" if isinstance(head, TimeToNext) else ""


def _stated(feature: Feature, names: tuple[str, ...]) -> str:
    """Return what ``fitted`` of a feature looks like in TOML."""
    one = f"{{{_example(names)}}}"
    return f"[{one}, ...], one for each place" if isinstance(feature, Vector) else one


def _example(names: tuple[str, ...]) -> str:
    return ", ".join(_EXAMPLES[name] for name in names)


def other_scalings(spec: FeatureSpec) -> Iterator[tuple[str, FeatureSpec]]:
    """Yield specs with another scaling of the features, and what the change means."""
    scaled = [
        f for f in spec.features if isinstance(f, Numeric | SincePrevious) and f.scaling != "none"
    ]
    for chosen in [scaled, *([feature] for feature in scaled)]:
        names = ", ".join(feature.name for feature in chosen)
        yield (
            f'the network reads {names} without scaling: write scaling = "none"',
            _changed(spec, {f.name: f.model_copy(update={"scaling": "none"}) for f in chosen}),
        )
        variances = {f.name: _with_std(f, sqrt) for f in chosen if f.fitted is not None}
        yield f"std of {names} is a variance: state its square root", _changed(spec, variances)
    logarithms = [f for f in scaled if f.scaling == "log" and f.fitted is not None]
    for feature in logarithms:
        plain = feature.model_copy(update={"fitted": Fitted(mean=0.0, std=1.0)})
        yield (
            (
                f"the network reads the logarithm of {feature.name} itself: write fitted = "
                "{mean = 0, std = 1}"
            ),
            _changed(spec, {feature.name: plain}),
        )


def _with_std(feature: Numeric | SincePrevious, change: Callable[[float], float]) -> Feature:
    assert feature.fitted is not None
    fitted = feature.fitted.model_copy(update={"std": change(feature.fitted.std)})
    return feature.model_copy(update={"fitted": fitted})


def _changed(spec: FeatureSpec, features: Mapping[str, Feature]) -> FeatureSpec:
    new = tuple(features.get(feature.name, feature) for feature in spec.features)
    return spec.model_copy(update={"features": new})
