"""The page in headless Chromium: its script runs under its own policy, and the keyboard is enough."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from report_pages import RECIPE, events, run_record, samples

from gpttasks.report import render_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")

KEYS = """
<script>
const press = (key) => document.activeElement.dispatchEvent(new KeyboardEvent("keydown", {key, cancelable: true}));
const state = () => [
  document.activeElement.id,
  ...[...document.querySelectorAll("[role=tab]")].map((tab) => tab.getAttribute("aria-selected") + tab.tabIndex),
  ...[...document.querySelectorAll("[role=tabpanel]")].map((panel) => panel.hidden ? "hidden" : "visible"),
  document.getElementById("shown").textContent,
].join("|");
const said = [];
const note = (what) => said.push(what + "=" + state());
document.getElementById("tab-first").focus();
note("start");
for (const key of ["ArrowRight", "ArrowRight", "ArrowLeft", "Home", "End", "x"]) { press(key); note(key); }
press("Home");
document.getElementById("only-errors").click();
note("errors");
document.getElementById("only-errors").click();
const filter = document.getElementById("filter");
filter.value = "NUMBER 17";
filter.dispatchEvent(new Event("input", {bubbles: true}));
note("filter");
const rows = [...document.querySelectorAll("#panel-first tr[data-wrong]")].filter((row) => !row.hidden);
said.push("rows=" + rows.map((row) => row.cells[0].textContent.trim()).join(","));
const wide = document.documentElement.scrollWidth <= document.documentElement.clientWidth;
said.push("fits=" + wide);
document.title = said.join(";");
</script>
"""


def dump(page, folder, *options):
    """The page's document after its scripts ran, and the messages in the browser's console."""
    command = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
        "--enable-logging=stderr",
        f"--user-data-dir={folder / 'profile'}",
        *options,
        "--dump-dom",
        page.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, timeout=120, check=True)
    console = [line for line in done.stderr.decode("utf-8", "replace").splitlines() if "CONSOLE" in line]
    return done.stdout.decode("utf-8"), console


def test_the_script_runs_under_the_pages_own_policy_and_an_injected_one_does_not(tmp_path):
    html = render_report(run_record(), list(samples(30)), list(events(30)), recipe=RECIPE)
    page = tmp_path / "report.html"
    page.write_text(html, "utf-8")
    dom, console = dump(page, tmp_path)
    assert console == []
    assert re.search(r"<output [^>]*>30 of 30 shown</output>", dom)
    assert re.search(r'id="panel-worst"[^>]* hidden', dom)
    page.write_text(html.replace("</body>", "<script>document.title = 'injected'</script></body>"), "utf-8")
    dom, console = dump(page, tmp_path)
    assert "<title>injected" not in dom
    assert any("Content Security Policy" in line for line in console)


def test_tabs_filter_and_errors_work_by_keyboard_and_nothing_is_wider_than_the_window(tmp_path):
    rows = list(samples(30))
    wrong = sum(row.answer != row.target for row in rows)
    html = render_report(run_record(), rows, list(events(30)), recipe=RECIPE)
    html = re.sub(r"(style|script)-src 'sha256-[^']*'", r"\1-src 'unsafe-inline'", html)
    page = tmp_path / "report.html"
    page.write_text(html.replace("</body>", KEYS + "</body>"), "utf-8")
    dom, console = dump(page, tmp_path, "--window-size=500,900")
    assert console == []
    title = re.search("<title>(.*?)</title>", dom)
    said = dict(entry.split("=", 1) for entry in title[1].split(";"))
    first = "tab-first|true0|false-1|visible|hidden|30 of 30 shown"
    worst = f"tab-worst|false-1|true0|hidden|visible|{wrong} of {wrong} shown"
    assert said["start"] == first
    assert said["End"] == said["x"] == worst
    assert said["Home"] == first
    assert said["ArrowLeft"] == worst  # from the first tab round to the last
    assert said["ArrowRight"] == first  # the second time: round to the first
    assert said["errors"].endswith(f"{wrong} of 30 shown")
    assert said["filter"].endswith("1 of 30 shown")
    assert said["rows"] == "18"
    assert said["fits"] == "true"
