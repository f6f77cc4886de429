"""One bad module per rule: the kit names exactly what importing it does."""

from __future__ import annotations

import pytest

from gpttasks.testing import check_import


@pytest.mark.parametrize(
    ("source", "rule"),
    [
        ("import time; time.sleep(1.2)", "quick-import"),
        ("import sys, types; sys.modules['torch'] = types.ModuleType('torch')", "light-import"),
        ("import socket\ntry: socket.getaddrinfo('example.org', 80)\nexcept OSError: pass", "no-network-at-import"),
        ("open('left-behind.txt', 'w').close()", "no-files-at-import"),
        ("print('hello')", "silent-import"),
        ("raise KeyError('nothing')", "imports"),
        ("import os; os._exit(3)", "imports"),
        ("import os; os.environ['TOKENIZERS_PARALLELISM'] = 'maybe'", "leaves-the-process-alone"),
        ("import random; random.seed(1)", "leaves-the-process-alone"),
        ("import logging; logging.basicConfig()", "leaves-the-process-alone"),
        ("import subprocess, sys; subprocess.run([sys.executable, '-c', ''])", "leaves-the-process-alone"),
        (
            "import threading, time; threading.Thread(target=time.sleep, args=(3,), daemon=True).start()",
            "leaves-the-process-alone",
        ),
    ],
)
def test_bad_imports(source, rule, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.py").write_text(source + "\n")
    (fault,) = check_import(tmp_path / "bad.py")
    assert fault.rule == rule
    assert fault.kind == "import"


def test_a_good_import(tmp_path):
    (tmp_path / "good.py").write_text("from gpttasks import Task\n")
    assert check_import(tmp_path / "good.py") == []
