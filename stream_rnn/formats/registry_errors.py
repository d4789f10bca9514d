"""What the statuses of a schema registry mean, and what to do about each."""

MESSAGE_CHARACTERS_MAX = 200
REFUSED = (401, 403)
BAD_REQUEST, NOT_FOUND, INCOMPATIBLE, INVALID = 400, 404, 409, 422
READ_ONLY_CODE = 42205
"""Code of a registry or a subject whose mode allows no new schema."""
_LATER = "it, or a proxy before it, is starting or overloaded; try again later"
_REMEDIES = {
    400: "check the path of schema_registry_url, and the log of the registry",
    404: "this has no code of a registry; check the path of schema_registry_url",
    405: "check the path of schema_registry_url, and whether the registry is read-only",
    408: _LATER,
    413: "raise the limit of a request at the registry, or at the proxy before it",
    429: "raise the limit of requests for this user, or try again later",
    500: "the log of the registry has the cause",
    502: _LATER,
    503: _LATER,
    504: _LATER,
}


def status_remedy(status: int) -> str:
    """Return what to do about an HTTP status, as a part of a sentence."""
    if 300 <= status < 400:
        return "it redirects, which no request follows; set schema_registry_url to its final URL"
    return _REMEDIES.get(
        status, "check the path of schema_registry_url, and the log of the registry"
    )


def shown_message(message: object) -> str:
    """Return the message of a registry in brackets; empty if there is none."""
    text = str(message or "")[:MESSAGE_CHARACTERS_MAX]
    text = "".join(one if one.isprintable() else " " for one in text).strip()
    return f" ({text})" if text else ""
