"""The ends of logs in the report of a failed test."""

from tests.log_tails import LOG_TAIL, log_tails


def test_only_the_ends_of_files_are_read(tmp_path):
    """A log on a full disk is a device, from which one can read for ever."""
    (tmp_path / "full.log").symlink_to("/dev/full")
    (tmp_path / "gone.log").symlink_to(tmp_path / "missing")
    (tmp_path / "worker").mkdir()
    (tmp_path / "worker" / "0.log").write_text(LOG_TAIL * "a" + "b")
    assert dict(log_tails(tmp_path)) == {"end of worker/0.log": (LOG_TAIL - 1) * "a" + "b"}
