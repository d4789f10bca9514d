"""The report in a real browser: at no usual width does a table hide a column."""

import asyncio
import re
import shutil

import pytest

from stream_rnn.evaluation.report.html import render
from stream_rnn.metrics.figure import Figure
from tests.unit.test_report import evaluation, groups, head

MODELS = ("memory", "memoryless", "naive")
BIG = Figure(17_908_539.4, 16_217_775.1, 19_206_270.2)
MEASURE = """<script>addEventListener("load", () => {
  document.querySelectorAll("details").forEach((one) => { one.open = true; });
  const hidden = [...document.querySelectorAll(".scroll")].filter((one) => one.scrollWidth > one.clientWidth);
  document.title = "hidden:" + hidden.map((one) => one.getAttribute("aria-label")).join(",") + ";" + document.querySelectorAll(".scroll").length;
});</script>"""


@pytest.mark.tools
@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium: Debian's package")
@pytest.mark.parametrize("width", [1280, 1024, 800, 500])
async def test_no_table_hides_a_column(width, tmp_path):
    """Three models with intervals of big numbers, and long names of heads."""
    some = [
        head(name, metric="rmse", models={m: {"rmse": BIG, "mae": BIG} for m in MODELS}, worth=BIG,
             by_memory=groups("14-35", "1,301-1,499"))
        for name in ("failed", "bytes_of_the_next_transfer")
    ]  # fmt: skip
    html = re.sub(
        r'<meta http-equiv="Content-Security-Policy"[^>]*>', MEASURE, render(evaluation(*some), [])
    )
    page = tmp_path / "report.html"
    page.write_text(html)
    process = await asyncio.create_subprocess_exec(
        "chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/c",
        f"--window-size={width},2000", "--virtual-time-budget=2000", "--dump-dom", page.as_uri(),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    found = re.search(r"<title>hidden:(.*);(\d+)</title>", out.decode())
    assert found[1] == ""
    assert int(found[2]) > 5
