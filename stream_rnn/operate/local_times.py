"""Local times that were read as UTC: what the leads of all ``time_ahead`` records have in common."""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from stream_rnn.model.zones import load_zone

TIME_AHEAD = "time_ahead"
QUARTER_S = 900
TOLERANCE_S = 60  # between the event and its record
QUARTERS_MAX = 14 * 4  # no zone is further ahead of UTC
SAMPLES_MAX = 500
CANDIDATES_SHOWN = 3
_LEAD = re.compile(r"the event is (\d+) s later")
_BUCKET_MS = 6 * 3_600_000
_ZONES = (  # zones of many people, from west to east, one of each kind of daylight saving
    *("Europe/London", "Europe/Lisbon", "Europe/Berlin", "Africa/Lagos", "Europe/Helsinki"),
    *("Africa/Johannesburg", "Africa/Cairo", "Asia/Jerusalem", "Europe/Istanbul", "Asia/Riyadh"),
    *("Asia/Tehran", "Asia/Dubai", "Asia/Kabul", "Asia/Karachi", "Asia/Kolkata", "Asia/Kathmandu"),
    *("Asia/Dhaka", "Asia/Yangon", "Asia/Bangkok", "Asia/Shanghai", "Asia/Singapore"),
    *("Australia/Perth", "Asia/Tokyo", "Australia/Adelaide", "Australia/Brisbane"),
    *("Australia/Sydney", "Pacific/Auckland"),
)


@dataclass(slots=True)
class LocalTimes:
    """Collects how far events are ahead of their records.

    Attributes:
        quarters: Samples: quarter hours of a lead, and the time of a record in milliseconds.
        leads: Different leads, in quarter hours.
        records: Number of records whose lead is a whole number of quarter hours.
        others: Number of records with another lead.
    """

    quarters: dict[tuple[int, int], int] = field(default_factory=dict)
    leads: set[int] = field(default_factory=set)
    records: int = 0
    others: int = 0

    def add(self, reason: str, timestamp_ms: int) -> None:
        """Add a dead letter with the error ``time_ahead``.

        Args:
            reason: Reason of the dead letter.
            timestamp_ms: Timestamp of the record.
        """
        match = _LEAD.search(reason)
        lead_s = int(match[1]) if match else 0
        quarters = round(lead_s / QUARTER_S)
        is_near = abs(lead_s - quarters * QUARTER_S) <= TOLERANCE_S
        if not (is_near and 1 <= quarters <= QUARTERS_MAX):
            self.others += 1
            return
        self.records += 1
        self.leads.add(quarters)
        if len(self.quarters) < SAMPLES_MAX:
            self.quarters.setdefault((quarters, timestamp_ms // _BUCKET_MS), timestamp_ms)

    def hint(self) -> str:
        """Return a sentence, if all records look like local times; otherwise empty."""
        if self.others or not self.records:
            return ""
        hours = " or ".join(f"{quarters / 4:g}" for quarters in sorted(self.leads))
        unit = "hour" if self.leads == {4} else "hours"
        zones = [zone for zone in _ZONES if self._fits(zone)][:CANDIDATES_SHOWN]
        such_as = f", such as {' or '.join(zones)}" if zones else ""
        return (
            f"look like local times {hours} {unit} ahead: set zone in event.time{such_as}, or let "
            "the producer write UTC"
        )

    def _fits(self, zone: str) -> bool:
        """Return whether a zone was ahead of UTC by the lead of every sample."""
        try:
            info = load_zone(zone)
        except ValueError:
            return False
        for (quarters, _), timestamp_ms in self.quarters.items():
            try:
                moment = datetime.fromtimestamp(timestamp_ms / 1000, UTC).astimezone(info)
            except (ValueError, OverflowError, OSError):
                return False
            if moment.utcoffset() != timedelta(seconds=quarters * QUARTER_S):
                return False
        return True
