"""The words of field names: which names are those of entities, ids, times, actions and labels.

A name counts by its last word, as in English and German compounds: a ``device_id`` is a device, an
``Order Date`` is a date and no order.
"""

import re
import unicodedata
from collections.abc import Sequence


def words(text: str) -> frozenset[str]:
    """Return the words of a text as a set."""
    return frozenset(text.split())


THING_WORDS = words(
    "user unit device dev customer cust account acct client patient machine engine vehicle car "
    "truck host node sensor player member visitor person employee driver card meter asset "
    "equipment robot aircraft tail vessel household entity motor turbine pump battery bike well "
    "series subject tenant student athlete animal phone imei vin mac ip msisdn symbol ticker tag "
    "contract subscriber cell inverter actor hostname serial gerät geraet maschine kunde anlage fahrzeug zähler konto "
    "nutzer benutzer teilnehmer cliente appareil dispositivo equipo"
)
EPISODE_WORDS = words(
    "case session ticket order trip claim visit incident shipment loan application journey ride "
    "flight process trace cart batch fall vorgang auftrag sitzung bestellung caso pedido"
)
PLACE_WORDS = words(
    "store shop station site location line room building branch warehouse product item article "
    "sku service pod container plant house home filiale werk"
)
ENTITY_WORDS = THING_WORDS | EPISODE_WORDS | PLACE_WORDS
ID_WORDS = words("id ids key uuid guid")
NUMBER_WORDS = words("no nr num number nummer name concept code serial ref hash pk")
TIME_WORDS = words(
    "time timestamp ts tstamp date datetime at when created occurred epoch moment dt utc zeit datum "
    "zeitpunkt zeitstempel uhrzeit nano nanos fecha hora heure timestampms"
)
OTHER_TIME_WORDS = words(  # of times that lie ahead, or that belong to the entity
    "due birth dob born expiry expires expired expiration valid scheduled planned estimated "
    "expected promised target deadline warranty hire installed install registered signup birthday "
    "joined since"
)
LATER_TIME_WORDS = words(  # of times at which somebody else handled the event
    "ingest ingested ingestion received processed processing updated modified loaded inserted "
    "sent shipped delivered closed end finished finish ended ship delivery changed stored kafka "
    "connector append"
)
COUNTER_WORDS = words("cycle step seq sequence tick round turn index position number no nr zyklus")
ACTION_WORDS = words(
    "activity action event status state type stage phase step operation page aktivität tätigkeit "
    "ereignis zustand"
)
CLASS_WORDS = (
    ID_WORDS
    | ACTION_WORDS
    | words(
        "code kind class category mode flag group zone label channel country region severity "
        "priority level gender sex currency language version firmware brand model method tier"
    )
)
LABEL_WORDS = words(
    "label target outcome failed failure fail fault churn churned fraud default defaulted anomaly "
    "alarm cancelled canceled delayed late broken breakdown converted survived died readmitted "
    "ausfall y"
)
VALUE_WORDS = words(
    "value reading amount measurement duration latency consumption power load demand price temperature temp sales "
    "quantity qty count total wert betrag menge preis temperatur verbrauch valor"
)


def split_words(name: str) -> frozenset[str]:
    """Split a name into lower-case words; ``userid`` contains ``user`` and ``id``, too.

    Example:
        >>> sorted(split_words("CaseID")), sorted(split_words("created_at"))
        (['case', 'id'], ['at', 'created'])
    """
    return frozenset((*_plain_words(name), *ordered_words(name)))


def ordered_words(name: str) -> tuple[str, ...]:
    """Split a name into lower-case words, in order; ``userid`` becomes ``user`` and ``id``.

    Example:
        >>> ordered_words("Order Date"), ordered_words("userid"), ordered_words("HTTPCode2")
        (('order', 'date'), ('user', 'id'), ('http', 'code'))
    """
    parts: list[str] = []
    for part in _plain_words(name):
        ending = next((end for end in ("id", "key", "uuid") if part.endswith(end)), "")
        if ending and part.removesuffix(ending) in ENTITY_WORDS:
            parts += [part.removesuffix(ending), ending]
        else:
            parts.append(part)
    return tuple(parts)


def entity_word(parts: Sequence[str]) -> str:
    """Return the word for an entity that a field is named after; empty if there is none.

    Args:
        parts: Names on the path of the field.

    Example:
        >>> [entity_word([n]) for n in ("device_id", "CaseID", "Order Date", "order_status", "dev")]
        ['device', 'case', '', '', 'dev']
        >>> entity_word(["who", "user", "id"])
        'user'
    """
    found = [word for part in parts[-2:] for word in ordered_words(part)]
    while found and found[-1] in (ID_WORDS | NUMBER_WORDS) - THING_WORDS:
        found.pop()
    return found[-1] if found and found[-1] in ENTITY_WORDS else ""


def is_id_name(parts: Sequence[str]) -> bool:
    """Return whether a field is named as an id or a key is."""
    last = ordered_words(parts[-1])
    return bool(last) and (last[-1] in ID_WORDS or _ends_in_id(parts[-1]))


def is_action_name(parts: Sequence[str]) -> bool:
    """Return whether a field is named as an action or a state is.

    The activity of the event logs of process mining (XES) is ``concept:name``.

    Example:
        >>> [is_action_name([name]) for name in ("ActivityID", "order_status", "status_code")]
        [True, True, False]
    """
    found = list(ordered_words(parts[-1]))
    while len(found) > 1 and found[-1] in ID_WORDS | {"name"}:
        found.pop()
    return found == ["concept"] or (bool(found) and found[-1] in ACTION_WORDS)


def last_word(parts: Sequence[str]) -> str:
    """Return the last word of the name of a field; empty if it has none."""
    found = ordered_words(parts[-1])
    return found[-1] if found else ""


def _ends_in_id(name: str) -> bool:
    return bool(re.search(r"[a-z](ID|Id|Key)$", name))


def _plain_words(name: str) -> list[str]:
    name = unicodedata.normalize("NFKC", name)
    spaced = re.sub(r"(?<=[a-zß-ÿ])(?=[A-ZÀ-Þ])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
    return [part.lower() for part in re.findall(r"[^\W\d_]+", spaced)]
