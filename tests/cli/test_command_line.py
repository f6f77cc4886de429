"""What all verbs share: exit statuses, JSON documents, messages, help."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gpttasks.cli import main
from gpttasks.errors import DataError, GpttasksError, Interrupted, Problem, RunFailed
from gpttasks.records.run import Run, RunRecord

VERBS = ("run", "check", "predict", "export", "list", "show", "new")
RECORD = RunRecord(
    state="failed", name="x", folder="runs/x", digest="0" * 64, seed=1, started="2026-01-01T00:00:00+00:00"
)


def command(*arguments, **options):
    return subprocess.run([sys.executable, "-m", "gpttasks", *arguments], capture_output=True, text=True, **options)


@pytest.fixture
def failing(monkeypatch):
    """Makes ``gpttasks run`` raise a given error instead of running."""

    def fail(error):
        def run_recipe(*_, **__):
            raise error

        monkeypatch.setattr("gpttasks.pipeline.runner.run_recipe", run_recipe)

    return fail


def with_run(error):
    error.run = Run(Path("runs/x"), RECORD)
    return error


def test_no_arguments_and_help_name_all_verbs(capsys):
    assert main([]) == 0
    alone = capsys.readouterr()
    assert main(["--help"]) == 0
    assert capsys.readouterr().out == alone.out
    for verb in VERBS:
        assert f"\n  {verb} " in alone.out


@pytest.mark.parametrize("verb", [*((verb,) for verb in VERBS if verb != "new"), ("new", "recipe")])
def test_help_of_each_verb_is_sentences_and_an_example(verb, capsys):
    assert main([*verb, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"Example: gpttasks {' '.join(verb)} " in out
    first = out.split("\n\n")[1].strip()
    assert first.endswith(".")


def test_version(capsys, monkeypatch):
    monkeypatch.setattr("gpttasks.__version__", "1.2.3", raising=False)
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == "gpttasks 1.2.3\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["chekc"], "command line: No such command 'chekc'. Did you mean 'check'"),
        (["run"], "command line: Missing argument 'RECIPE'"),
        (["check"], "command line: Missing argument 'RECIPE'"),
        (["new"], "command line: Missing command; see gpttasks new --help"),
        (["new", "recipe", "x"], "command line: Missing option '--from'"),
        (["run", "imdb-lora", "--forse"], "command line: No such option: --forse"),
        (["check", "imdb-lora", "--show", "0"], "command line: Invalid value for '--show'"),
        (["--wrong"], "command line: No such option: --wrong"),
        (["list", "taskss"], "command line: KIND: there is no kind 'taskss'; did you mean 'tasks'?"),
    ],
)
def test_a_wrong_command_line_is_status_2_and_one_line(arguments, message, capsys):
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(message)
    assert err.count("\n") == 1


def test_a_wrong_command_line_with_json_gives_the_error_document(capsys):
    assert main(["run", "--forse", "--json"]) == 2
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "gpttasks.error/1"
    (error,) = document["errors"]
    assert list(error) == ["file", "line", "column", "key", "message", "hint"]
    assert error["file"] == "command line"
    assert "--forse" in error["message"]


def test_several_problems_are_a_line_each_and_an_entry_each(failing, capsys):
    problems = [Problem("first", "a.csv", 3, 4, "key", "do this"), Problem("second")]
    failing(with_run(DataError(problems)))
    assert main(["run", "quickstart"]) == 2
    assert capsys.readouterr().err.splitlines()[-2:] == ["a.csv:3:4: key: first; do this", "second"]
    assert main(["run", "quickstart", "--json"]) == 2
    document = json.loads(capsys.readouterr().out)
    assert document == {"schema": "gpttasks.error/1", "errors": [problem.as_dict() for problem in problems]}


@pytest.mark.parametrize(
    ("error", "status"), [(RunFailed("the disk is full"), 1), (Interrupted("stopped"), 130), (KeyboardInterrupt(), 130)]
)
def test_a_run_that_stops_has_its_status_and_message(error, status, failing, capsys):
    failing(error)
    assert main(["run", "quickstart"]) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    assert err.splitlines()[-1] == (str(error) or "stopped")


@pytest.mark.parametrize(("kind", "status"), [(RunFailed, 1), (Interrupted, 130)])
def test_json_of_a_run_that_stops_is_its_record(kind, status, failing, capsys):
    failing(with_run(kind("why")))
    assert main(["run", "quickstart", "--json"]) == status
    assert json.loads(capsys.readouterr().out) == RECORD.as_json()


def test_json_of_a_run_that_stops_before_its_folder_is_there_is_the_errors(failing, capsys):
    failing(RunFailed("why"))
    assert main(["run", "quickstart", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["errors"][0]["message"] == "why"


def test_a_bug_is_named_with_its_traceback(failing, capsys):
    failing(ZeroDivisionError("half\na thing"))
    assert main(["run", "quickstart", "--json"]) == 1
    out, err = capsys.readouterr()
    assert "Traceback (most recent call last)" in err
    last = "internal error: ZeroDivisionError: half a thing; this is a bug in gpttasks"
    assert err.splitlines()[-1] == last
    assert json.loads(out)["errors"][0]["message"] == "internal error: ZeroDivisionError: half a thing"


def test_a_bug_in_a_plugin_file_names_the_file(tmp_path, monkeypatch, capsys):
    plugin = tmp_path / "broken_metric.py"
    plugin.write_text(
        "from gpttasks import hookimpl\n"
        "@hookimpl\ndef gpttasks_register(register):\n    pass\n"
        "def fall():\n    return 1 / 0\n"
    )
    monkeypatch.chdir(tmp_path)

    def run_recipe(*_, **__):
        name = next(name for name in sys.modules if name.startswith("gpttasks_file_broken_metric"))
        sys.modules[name].fall()

    monkeypatch.setattr("gpttasks.pipeline.runner.run_recipe", run_recipe)
    assert main(["run", "quickstart", "--plugin", "broken_metric.py"]) == 1
    err = capsys.readouterr().err
    mine = f"internal error: ZeroDivisionError: division by zero; this is a bug in plugin {plugin}"
    assert err.splitlines()[-1] == f"{mine}; GPTTASKS_TRACEBACK=1 shows the traceback"
    assert "Traceback" not in err
    monkeypatch.setenv("GPTTASKS_TRACEBACK", "1")
    assert main(["run", "quickstart", "--plugin", "broken_metric.py"]) == 1
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_what_is_printed_on_the_way_stays_off_stdout_with_json(monkeypatch, capsys):
    def run_recipe(*_, **__):
        print("a library talks")
        raise RunFailed("why")

    monkeypatch.setattr("gpttasks.pipeline.runner.run_recipe", run_recipe)
    main(["run", "quickstart", "--json"])
    out, err = capsys.readouterr()
    json.loads(out)
    assert "a library talks" in err


def test_a_missing_plugin_file_is_the_users_mistake(capsys):
    assert main(["list", "tasks", "--plugin", "nowhere.py"]) == 2
    assert capsys.readouterr().err.startswith("nowhere.py: ")


def test_every_error_class_has_a_status_of_the_contract():
    classes = [GpttasksError]
    for known in classes:
        classes += known.__subclasses__()
    assert {known.exit_status for known in classes} == {1, 2, 130}


def test_a_reader_that_stops_reading_is_no_error():
    read, write = os.pipe()
    os.close(read)
    line = [sys.executable, "-m", "gpttasks", "list", "metrics"]
    done = subprocess.run(line, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_process_ends_with_the_status():
    done = command("check", "no-such-recipe")
    assert done.returncode == 2
    assert done.stderr.startswith("no-such-recipe: ")
    assert done.stdout == ""


def test_static_verbs_import_nothing_heavy():
    heavy = ("torch", "transformers", "peft", "accelerate", "datasets", "evaluate", "numpy", "pyarrow", "rich.console")
    code = (
        "import sys\nfrom gpttasks.cli import main\n"
        "main(['check', 'quickstart', 'adapt=lora']), main(['list', 'heads', '--json'])\n"
        "main(['list', 'metrics', '--json']), main(['show', 'metric', 'bleu'])\n"
        "main(['show', 'adaptation', 'lora']), main(['check', '--schema'])\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
