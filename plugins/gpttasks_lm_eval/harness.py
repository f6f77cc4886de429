"""A task of the harness as the source of examples, and as what scores the responses to them."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from gpttasks import DataError, Part, Problem, Prompt, Row, Source

from .example import HarnessExample
from .guard import Announce
from .loading import first_line, load_task

_DOCUMENTS = {"train": "training_docs", "validation": "validation_docs", "test": "test_docs"}
_SCORING = ("output_type", "metric_list", "filter_list", "process_results")
_ELSEWHERE = {"metadata", "tag", "task_alias", "dataset_path", "dataset_name", "dataset_kwargs", "custom_dataset"}
"""What of a task's description says nothing about what its examples are, or is seen in the documents themselves."""


class DocumentRow(Row):
    """A document of the harness as a row; ``scored`` says whether it is of the split that the harness scores."""

    def __init__(self, doc: Any, *, place: str, scored: bool) -> None:
        super().__init__(doc if isinstance(doc, Mapping) else {"document": doc}, place=place)
        self.doc = doc
        self.scored = scored


class Harness(Source):
    """A task of the harness: its splits as rows, each document's requests, and its filters and metrics.

    announce:
        called for each piece of Python code that the folders of ``include`` name, before it is imported.

    Raises DataError for a task that cannot be used, or not with ``shots`` shots (None: as many as the task says).
    """

    def __init__(
        self, name: str, include: Sequence[Path], announce: Announce, shots: int | None = None, seed: int = 1234
    ) -> None:
        self.inner = load_task(name, include, announce)
        self.task_name = name
        has = {
            "train": self.inner.has_training_docs(),
            "validation": self.inner.has_validation_docs(),
            "test": self.inner.has_test_docs(),
        }
        data = getattr(self.inner, "DATASET_PATH", None)
        title = f"lm-evaluation-harness's {name}" + (f" ({data})" if data else "")
        super().__init__(title, [split for split, there in has.items() if there])
        self.scored = next((split for split in ("test", "validation") if has[split]), None)
        self.definition = self._digest(_ELSEWHERE, leave_out=True)
        self.shots = self._shots(shots)
        self._seed = seed
        self._shown: list[str] = []
        self._hidden: Any = None
        self._new: Any = None
        self._listen()

    def rows(self, split: str) -> Iterator[Row]:
        """The documents of a split, in order."""
        try:
            for number, doc in enumerate(getattr(self.inner, _DOCUMENTS[split])(), 1):
                yield DocumentRow(doc, place=f"document {number} of {split}", scored=split == self.scored)
        except Exception as error:  # the code of tasks may raise anything
            what = f"the split {split!r} of {self.name} cannot be read"
            raise DataError(Problem(f"{what}: {type(error).__name__}: {first_line(error)}", key="task.task")) from error

    def begin(self) -> None:
        """Start the draws of shots anew, as the harness does before the first document."""
        self.inner.set_fewshot_seed(self._seed)

    def example(self, doc: Any, *, scored: bool, new: bool = False) -> HarnessExample:
        """The example of a document, with the harness's own prompt and requests.

        Shots are drawn as the harness draws them, one document after another. A document of another split than the
        ``scored`` one is never its own shot. A ``new`` one belongs to no split: it gets the shots of the scored
        document at its place. Raises any error of the harness for a document that it cannot read.
        """
        inner = self.inner
        self._shown, self._hidden = [], None if scored or new else doc
        self._new = doc if new else None
        context = inner.fewshot_context(
            doc,
            num_fewshot=self.shots,
            system_instruction=None,
            apply_chat_template=False,
            fewshot_as_multiturn=False,
            chat_template=None,
            gen_prefix=inner.doc_to_prefix(doc),
        )
        metadata = (self.task_name, 0, inner.get_config("repeats") or 1)
        made = inner.construct_requests(
            doc=doc, ctx=context, metadata=metadata, apply_chat_template=False, chat_template=None
        )
        instances = tuple(made) if isinstance(made, list) else (made,)
        return HarnessExample(
            self._prompt(context, instances),
            **fields_of(inner, doc, instances),
            harness=self,
            doc=doc,
            instances=instances,
        )

    def results(self, examples: Sequence[HarnessExample], responses: Sequence[Sequence[Any]], key: str) -> list[Any]:
        """What the harness's ``process_results`` makes of the responses to each example, after the filter ``key``.

        ``responses`` are, for each example and each of its instances, a list of one response a repeat.
        """
        answered = [
            [replace(instance, resps=list(given), filtered_resps={}) for instance, given in zip(*pair, strict=True)]
            for pair in zip((example.instances for example in examples), responses, strict=True)
        ]
        self.inner._instances = [instance for group in answered for instance in group]
        self.inner.apply_filters()
        return [
            self.inner.process_results(example.doc, [instance.filtered_resps[key] for instance in group])
            for example, group in zip(examples, answered, strict=True)
        ]

    @property
    def metrics(self) -> list[str]:
        """The names of its metrics."""
        return list(self.inner.aggregation())

    @property
    def filters(self) -> list[str]:
        """The names of its filter pipelines."""
        return [ensemble.name for ensemble in self.inner._filters]

    def signature(self) -> str:
        """The harness's version, the task's name and version, and a digest of how responses are scored."""
        task = f"{self.task_name} {self.inner.VERSION} {self._digest(_SCORING)[:16]}"
        return f"lm_eval {version('lm_eval')}, {task}"

    def _shots(self, wanted: int | None) -> int:
        own = self.inner.get_config("num_fewshot")
        if wanted and own == 0:
            message = f"the task {self.task_name!r} says num_fewshot: 0, which the harness never overrides"
            raise DataError(Problem(message, key="task.shots", hint="leave shots out"))
        shots = own or 0 if wanted is None else wanted
        self.inner.set_config("num_fewshot", shots)
        return int(shots)

    def _listen(self) -> None:
        """Record the turns of which the harness assembles its prompts, and keep a document out of its own shots."""
        build, sampler = getattr(self.inner, "build_qa_turn", None), getattr(self.inner, "sampler", None)
        if build is not None:

            def heard(**turn: Any) -> Any:
                messages = build(**turn)
                self._shown.append("".join(message.to_text() for message in messages))
                return messages

            self.inner.build_qa_turn = heard
        if sampler is not None:
            draw = sampler.sample

            def drawn(n: int, eval_doc: Any = None, **more: Any) -> Any:
                shots = draw(n, eval_doc=self._hidden if eval_doc is None else eval_doc, **more)
                if self._new is None or eval_doc is not None or not any(map(self._is_new, shots)):
                    return shots
                pool = [shot for shot in sampler.fewshot_docs() if not self._is_new(shot)]
                return pool[:n]

            sampler.sample = drawn

    def _is_new(self, shot: Mapping[str, Any]) -> bool:
        """Whether a shot is the document to answer, which may lack the answer columns."""
        return all(name in shot and shot[name] == value for name, value in (self._new or {}).items())

    def _prompt(self, context: str | list[str], instances: Sequence[Any]) -> Prompt:
        """The context in parts: its beginning, each shot, and the document's own question as the passage.

        The passage keeps its end, as the harness keeps the end of a context that is too long.
        """
        if isinstance(context, list):  # one context per choice
            return (Part.with_special_tokens(os.path.commonprefix(context), "passage", keep="end"),)  # noqa: RUF071 - texts, not paths
        if instances[0].request_type == "loglikelihood_rolling":
            return (Part.with_special_tokens(str(instances[0].args[0]), "passage"),)
        turns = self._shown
        if not turns or not context.endswith("".join(turns)):
            return (Part.with_special_tokens(context, "passage", keep="end"),)
        front = context[: len(context) - len("".join(turns))]
        shots = [Part.with_special_tokens(turn, "shot") for turn in turns[:-1]]
        return (
            *([Part.with_special_tokens(front)] if front else []),
            *shots,
            Part.with_special_tokens(turns[-1], "passage", keep="end"),
        )

    def _digest(self, keys: Any, *, leave_out: bool = False) -> str:
        """The SHA-256, in hex, of these keys of the task's description, or of all others."""
        config = vars(self.inner.config)
        chosen = {key: _plain(value) for key, value in config.items() if (key in keys) != leave_out}
        text = json.dumps([_plain(type(self.inner)), chosen], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def fields_of(inner: Any, doc: Any, instances: Sequence[Any]) -> dict[str, Any]:
    """The fields of an example that other heads and metrics read, as far as a task's description gives them."""
    config = inner.config
    kind = inner.OUTPUT_TYPE
    if not hasattr(inner, "multiple_input") or kind == "loglikelihood_rolling":  # a Python class, or a text alone
        return {}
    if kind == "multiple_choice":
        if inner.multiple_input:
            return {}
        choices = [str(choice) for choice in inner.doc_to_choice(doc)]
        label = _index(inner.doc_to_target(doc), choices)
        return {"choices": tuple(choices), "label": label, "separator": config.target_delimiter}
    if kind == "loglikelihood":
        target = str(instances[0].args[1])
        return {"target": target, "references": (target,), "separator": ""}
    references = _references(inner, doc)
    if not references:
        return {}
    prefix = inner.doc_to_prefix(doc)
    apart = not prefix or not (prefix[-1].isspace() or references[0][:1].isspace())
    between = (" " if prefix else config.target_delimiter) if apart else ""
    return {"target": references[0], "references": references, "separator": between}


def _index(gold: Any, choices: Sequence[str]) -> int | None:
    """The index of the right choice; None where there is none, or several."""
    if isinstance(gold, list) and len(gold) == 1:
        (gold,) = gold
    if isinstance(gold, str):
        return choices.index(gold) if gold in choices else None
    return int(gold) if isinstance(gold, int) and 0 <= gold < len(choices) else None


def _references(inner: Any, doc: Any) -> tuple[str, ...]:
    """The texts that count as right; none if the target is not a text."""
    gold = inner.doc_to_target(doc)
    if inner.config.doc_to_choice is not None and isinstance(gold, int):
        gold = inner.doc_to_choice(doc)[gold]
    texts = gold if isinstance(gold, (list, tuple)) else (gold,)
    return tuple(str(text) for text in texts) if all(isinstance(text, (str, int, float)) for text in texts) else ()


def _plain(value: Any) -> Any:
    """A value of a task's description in JSON types: functions and classes as their source, where there is one."""
    if isinstance(value, Mapping) and not hasattr(value, "__dataclass_fields__"):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if hasattr(value, "__dataclass_fields__") and not inspect.isclass(value):
        return _plain(dict(vars(value)))
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, partial):
        return [_plain(value.func), _plain(value.args), _plain(value.keywords)]
    if callable(value):
        try:
            return inspect.getsource(value if inspect.isroutine(value) or inspect.isclass(value) else type(value))
        except (TypeError, OSError):
            return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value).__qualname__)}"
    return value if value is None or isinstance(value, (str, int, float, bool)) else repr(value)
