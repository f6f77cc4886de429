"""Regular expressions of recipes: what is found is what ``re`` finds, and a search that never ends is interrupted."""

import re
import signal
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gpttasks import patterns
from gpttasks.adaptations.lora import LoraOptions
from gpttasks.adaptations.lora_names import unmatched_names
from gpttasks.cli import main
from gpttasks.errors import UserError
from gpttasks.metrics.extraction import Extraction

timed = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the platform has no timers")
USED = [  # of GSM8K, MMLU, MATH, BBH and others
    r"#### (\-?[0-9\.\,]+)",
    r"(-?[$0-9.,]{2,})|(-?[0-9]+)",
    r"(?i)answer is \(?([A-D])\)?",
    r"(?<=the answer is )(.*)(?=.)",
    r"\\boxed\{((?:[^{}]|\{[^{}]*\})*)\}",
    r"<answer>(.*?)</answer>",
    r"\b([ABCD])\b",
    r"(?s)Final Answer:\s*(.+?)\s*$",
    r"^\s*(yes|no)\b",
    r"(?P<number>\d+)\s*(?:apples|pears)",
    r"[0-9]*",
    r"(?m)^A: (\w+)$",
]
TEXTS = [
    "so it is 7.\n#### 1,234",
    "The answer is (B). the answer is C, I think",
    r"thus \boxed{\frac{1}{2}} and \boxed{3}",
    "<answer> 42 </answer> <answer>\n7</answer>",
    "Final Answer: naïve Ünïcode ｆｕｌｌ １２ ٣ ",
    "yes\nA: zwölf\nA: no",
    "3 apples, 12 pears, A or D",
    "",
]
CATASTROPHIC = [r"(a+)+$", r"(a|a)*$", r"(a|aa)+$", r"(?:(?:a*)*)*b", r"(\w+\s?)*:$"]
PIECES = [
    "a",
    "b",
    r"\d",
    r"\w",
    r"\s",
    ".",
    "[ab]",
    "[^a]",
    "(a|b)",
    "(?:ab)?",
    "a*",
    r"\b",
    "^",
    "$",
    "a{1,2}",
    "(b+?)",
]


def expected(pattern, text, match, remove=None):
    """All matches at first, then the first or last of which something is left."""
    parts = []
    for found in re.finditer(pattern, text):
        part = next((group for group in found.groups() if group is not None), found[0])
        part = (re.sub(remove, "", part) if remove else part).strip()
        parts += [part] if part else []
    return parts[0 if match == "first" else -1] if parts else None


@pytest.mark.parametrize("match", ["first", "last"])
@pytest.mark.parametrize("pattern", USED)
def test_patterns_that_are_in_use(pattern, match):
    for text in TEXTS:
        for remove in (None, "[,$]"):
            extraction = Extraction(pattern=pattern, match=match, remove=remove)
            assert extraction.find(text) == expected(pattern, text, match, remove)


@settings(max_examples=300, deadline=None)
@given(
    pattern=st.lists(st.sampled_from(PIECES), min_size=1, max_size=5).map("".join),
    text=st.text("ab1 _\né中\u0301\x1c", max_size=20),
    match=st.sampled_from(["first", "last"]),
)
def test_any_pattern(pattern, text, match):
    assert Extraction(pattern=pattern, match=match).find(text) == expected(pattern, text, match)


@timed
@pytest.mark.parametrize("pattern", CATASTROPHIC)
def test_a_search_that_never_ends(pattern, monkeypatch):
    monkeypatch.setattr(patterns, "SECONDS", 0.05)
    text = "a" * 60 + "! and more " * 50
    with pytest.raises(UserError, match=r"extract.pattern: .* took more than 0.05 s for the text 'aaaa.*…'") as caught:
        Extraction(pattern=pattern).find(text)
    assert pattern in str(caught.value).replace("\\\\", "\\")
    assert signal.getitimer(signal.ITIMER_VIRTUAL)[0] == 0
    assert signal.getsignal(signal.SIGVTALRM) == signal.SIG_DFL


@timed
def test_the_pattern_of_what_is_removed(monkeypatch):
    monkeypatch.setattr(patterns, "SECONDS", 0.05)
    with pytest.raises(UserError, match=r"extract.remove: .* '\(a\+\)\+\$' took more than"):
        Extraction(pattern=r"(?s).+", remove="(a+)+$").find("a" * 60 + "!")


@timed
def test_the_timer_of_a_search_around_another_goes_on():
    with patterns.bounded_search("a", "b", "outer"):
        with patterns.bounded_search("a", "b", "inner"):
            pass
        assert 0 < signal.getitimer(signal.ITIMER_VIRTUAL)[0] < patterns.SECONDS + 1


@timed
def test_a_search_within_another_takes_the_time_of_both(monkeypatch):
    monkeypatch.setattr(patterns, "SECONDS", 0.3)

    def search():
        with patterns.bounded_search("outer", "", "key"):
            for _ in range(10):
                with patterns.bounded_search("inner", "", "key"):
                    busy(0.2)

    with pytest.raises(UserError, match="the regular expression 'outer'"):
        search()


@timed
def test_the_timer_of_a_profiler_goes_on():
    ticks = []
    before = signal.signal(signal.SIGVTALRM, lambda number, frame: ticks.append(number))
    signal.setitimer(signal.ITIMER_VIRTUAL, 0.02, 0.02)
    try:
        with patterns.bounded_search("a", "b", "key"):
            busy(0.05)
        busy(0.2)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    assert len(ticks) > 2


@timed
def test_the_time_of_other_threads_does_not_count(monkeypatch):
    monkeypatch.setattr(patterns, "SECONDS", 0.1)
    end = threading.Event()
    other = threading.Thread(target=lambda: [busy(0.01) for _ in iter(end.is_set, True)])
    other.start()
    try:
        with patterns.bounded_search("a", "b", "key"):
            time.sleep(0.4)
    finally:
        end.set()
        other.join()


def busy(seconds):
    """Compute for so much processor time of this thread."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        sum(range(20_000))  # the timer counts no time in the system


def test_other_threads_search_without_a_limit():
    found = []
    thread = threading.Thread(target=lambda: found.append(Extraction(pattern=r"\d+").find("it is 72")))
    thread.start()
    thread.join()
    assert found == ["72"]


@timed
def test_targets_of_lora(monkeypatch):
    from peft import LoraConfig
    from torch import nn

    monkeypatch.setattr(patterns, "SECONDS", 0.05)
    model = nn.Sequential()
    model.add_module("a" * 60, nn.Linear(2, 2))
    with pytest.raises(UserError, match=r"adapt.targets: .* took more than 0.05 s for the text 'aaaa"):
        unmatched_names(model, LoraConfig(target_modules="(a+)+!"))


@pytest.mark.parametrize("pattern", ["(", "a{99999999999999999999}", "(" * 20_000 + ")" * 20_000])
@pytest.mark.filterwarnings("ignore")
def test_what_is_no_regular_expression(pattern):
    for make in (
        lambda: Extraction(pattern=pattern),
        lambda: Extraction(pattern="a", remove=pattern),
        lambda: LoraOptions(targets=pattern),
    ):
        with pytest.raises(ValidationError, match="is not a regular expression"):
            make()


@timed
def test_a_run_with_such_a_pattern_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(patterns, "SECONDS", 0.05)
    (tmp_path / "test.jsonl").write_text('{"question": "what?", "answer": "' + "a" * 60 + '!"}\n')
    (tmp_path / "recipe.yaml").write_text(
        "backbone: mock\ntask: {use: generation, data: {path: .}, prompt: '{{ question }}', references: answer}\n"
        "head: generate\nadapt: none\nscore: {metrics: [{use: exact_match, extract: '(a+)+$'}]}\n"
    )
    assert main(["run", "recipe.yaml", "--out", "out"]) == 2
    assert "the regular expression '(a+)+$' took more than 0.05 s for the text 'aaaa" in capsys.readouterr().err
