"""The rooms of the package, and what each may import."""

from tests.house_rules import PACKAGE, imported

FOLD = {
    *(
        "errors",
        "extras",
        "options",
        "settings_base",
        "settings",
        "settings_folds",
        "settings_formats",
        "text",
        "formats",
        "kafka",
        "store",
        "model",
        "fold",
    ),
    # what writes predictions and what they are; what reads a topic of them is no part of a fold
    *(f"predictions.{name}" for name in ("schema", "writer", "binary_writers", "ragged")),
    *(f"predictions.{name}" for name in ("wire_schema", "decoder", "subject", "cut_over")),
}
MAY_IMPORT = {  # a room, and what it may import; below are the rooms that come before it
    "errors": set(),
    "options": {"errors"},
    "extras": {"errors"},
    "text": set(),
    "overwriting": {"errors"},
    "settings_base": {"errors"},
    "settings_folds": set(),
    "settings_formats": set(),
    "settings": {"errors", "settings_base", "settings_folds", "settings_formats"},
    "keys": {"errors"},
    "key_wrappers": set(),
    "key_texts": set(),
    "key_spellings": {"errors", "keys", "key_texts", "key_wrappers"},
    "kafka": {"errors", "settings"},
    "store": {"errors", "settings"},
    "model": {"errors", "options", "text"},
    "formats": {"errors", "extras", "kafka", "model", "settings"},
    "predictions": {"errors", "extras", "kafka", "model", "formats", "settings", "text"},
    "fold": FOLD,
    "testing": FOLD,
    "rollout": FOLD,
    "metrics": {"model"},
    "replay": {*FOLD, "overwriting", "testing"},
    "spec": {*FOLD, "text", "replay"},
    "training": {*FOLD, "extras", "metrics", "replay"},
    "trace": {*FOLD, "text", "keys", "key_spellings", "replay"},
    "evaluation": {
        *(*FOLD, "overwriting", "text", "keys", "metrics", "replay", "training", "trace"),
        "rollout",
    },
    "audit": {*FOLD, "keys", "key_spellings", "replay"},
    "worker": {*FOLD, "rollout"},
    "operate": {
        *FOLD,
        *("overwriting", "text", "keys", "key_spellings", "predictions", "replay", "rollout"),
        "worker",
    },
    "local": {"errors"},
    "demo": {*FOLD, "metrics", "replay", "local", "rollout", "operate"},
    "notebook": {
        *(*FOLD, "overwriting", "text", "keys", "metrics", "replay", "spec", "training", "trace"),
        *("evaluation", "demo", "rollout", "operate"),
    },
    "__init__": {
        *("errors", "extras", "settings", "model", "predictions", "worker", "notebook"),
    },  # the public names
}
MAY_IMPORT["cli"] = {*MAY_IMPORT, "cli"}


def wrong_directions(room, source):
    """Return imports of the package that a room may not have."""
    wrong = []
    for name in imported(source):
        package, *inside = name.split(".")
        if package != "stream_rnn":
            continue
        of = inside[0] if inside and inside[0] in MAY_IMPORT else "__init__"
        if not {of, ".".join(inside[:2])} & {room, *MAY_IMPORT[room]}:
            wrong.append(name)
    return wrong


def room_of(path):
    """Return the room of a module: its first folder, or itself."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")
