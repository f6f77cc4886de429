"""lm-evaluation-harness with gpttasks as its model: the harness's tasks, prompts and metrics, answered faster.

    pip install 'gpttasks[lm-eval]'
    python -m gpttasks.integrations.lm_eval run --model gpttasks --model_args path=gpt2-folder --tasks hellaswag

Versions of the harness after 0.4.13 find the model through an entry point: ``lm-eval run --model gpttasks`` is enough.
The command line is the harness's own. With ``--model gpttasks``, ``--model_args`` accepts ``path`` (a Hub id, a folder,
``nano``, or a run of gpttasks), ``context``, ``precision``, ``device``, ``tokens_per_batch``, ``sharing``,
``trust_code`` (run Python code that a run folder brings or names) and ``accept_changed`` (what may differ from what a
run was made with: the names of ``--accept-changed``, joined by ``+``, such as ``accept_changed=base+tokenizer``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import lm_eval.models  # noqa: F401 - registers the harness's own models
from lm_eval.api.model import LM
from lm_eval.api.registry import register_model
from pydantic import ValidationError

from gpttasks_lm_eval.requests import generate_request, left_cuts, likelihood_request, longest_text

from ..backbones.base import Backbone, LoadSettings
from ..backbones.run import ACCEPT, RunBackbone
from ..component import Options, with_origin
from ..errors import FolderError, UserError
from ..example import Part, Prompt, as_prompt
from ..hashing import seeded_hash
from ..model.causal_lm import CausalLM
from ..parallel.launch import launched
from ..pipeline.session import Session
from ..progress import Progress
from ..recipe.schema import RuntimeOptions, Use
from ..records.dependencies import KINDS
from ..records.run import RECORD
from ..requests import Generate, GenerateReply, LogLikelihoodReply, Reply, Request, Rolling, RollingReply
from ..terminal import say
from ..trust import CodeOrigin

Answer = TypeVar("Answer")


@register_model("gpttasks")
class GpttasksLM(LM):  # type: ignore[misc]  # the harness has no types
    """A local model with the harness's interface. Raises UserError for a model or an option that cannot be used."""

    def __init__(
        self,
        path: str = "",
        context: int | None = None,
        precision: str = "auto",
        device: str | None = None,
        tokens_per_batch: int | None = None,
        sharing: bool = True,
        batch_size: int | str | None = None,
        max_batch_size: int | None = None,
        seed: int = 1,
        trust_code: bool = False,
        accept_changed: str | Sequence[str] = (),
        **unknown: Any,
    ) -> None:
        # batch_size and max_batch_size are ignored: they count rows, but batches here are made by tokens.
        super().__init__()
        _check_start(path, unknown)
        values = {"precision": precision, "tokens_per_batch": tokens_per_batch, "sharing": sharing}
        with _model_args_checked():
            runtime = RuntimeOptions.model_validate({"device": device or "auto", **values})
        self._open = ExitStack()  # kept open until the harness ends
        session = self._open.enter_context(Session())
        settings = LoadSettings(*session.set_up(runtime), plugins=session.plugins)
        chosen = _backbone(session, path, context, trust_code, _kinds(accept_changed))
        with _hints_for_model_args():
            model = self._open.enter_context(session.models.borrow(chosen, settings))
        if isinstance(model.backbone, RunBackbone):
            for text in (*model.backbone.changes_as_text(), *model.backbone.unknown):
                say(f"warning: {text}")
        if model.backbone.lm is None:
            raise UserError(
                f"--model_args: path: the backbone {model.backbone.name!r} is not a model in memory",
                hint="give a folder, a Hub id, nano or a run of one of these",
            )
        self.lm: CausalLM = model.backbone.lm
        self.engine = model.engine(tokens_per_batch=tokens_per_batch, sharing=sharing)
        self.seed = seed
        self.cut = 0

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """For each (context, continuation): the log-likelihood in nats, and whether each token was the likeliest."""
        arguments = [request.args for request in requests]
        own = [likelihood_request(_prompt(self._fitting(*pair)), pair[1]) for pair in arguments]

        def read(reply: Reply) -> tuple[float, bool]:
            assert isinstance(reply, LogLikelihoodReply)
            return reply.logprob, reply.greedy

        return self._answers("loglikelihood", arguments, own, read)

    def loglikelihood_rolling(self, requests: Sequence[Any]) -> list[float]:
        """The log-likelihood in nats of each whole text."""

        def read(reply: Reply) -> float:
            assert isinstance(reply, RollingReply)
            return reply.logprob

        arguments = [request.args for request in requests]
        own = [Rolling(_prompt(text)) for (text,) in arguments]
        return self._answers("loglikelihood_rolling", arguments, own, read)

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """The text after each context, before its first stop text."""

        def read(reply: Reply) -> str:
            assert isinstance(reply, GenerateReply)
            return reply.text

        arguments = [request.args for request in requests]
        own = [self._generate(context, options, place) for place, (context, options) in enumerate(arguments)]
        return self._answers("generate_until", arguments, own, read)

    @property
    def tokenizer_name(self) -> str:
        """The tokenizer's digest, as the key of the harness's cache of rendered prompts."""
        return self.lm.tokenizer.digest

    def chat_template(self, chat_template: bool | str = False) -> str:
        """The tokenizer's template; empty if ``chat_template`` is False or empty."""
        return str(self.lm.tokenizer.inner.chat_template or "") if chat_template else ""

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """The conversation as text, in the format of the tokenizer's template."""
        text: str = self.lm.tokenizer.inner.apply_chat_template(
            chat_history,
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=not add_generation_prompt,
        )
        return text

    def _generate(self, context: str, options: Mapping[str, Any], place: int) -> Generate:
        prompt = _prompt(self._fitting(context, room=self.lm.context - longest_text(options)))
        return generate_request(prompt, options, seeded_hash(self.seed, "lm_eval", str(place), context))

    def _fitting(self, context: str, continuation: str = "", room: int | None = None) -> str:
        """The end of a context that fits with its continuation, cut as the harness's models cut it. Counts the cuts."""
        room = self.lm.context if room is None else room
        cut = next(left_cuts(self.lm.tokenizer, context, continuation, room))
        self.cut += cut > 0
        return context[cut:]

    def _answers(
        self, kind: str, arguments: Sequence[Any], requests: Sequence[Request], read: Callable[[Reply], Answer]
    ) -> list[Answer]:
        """The answers in the harness's form, each added to the harness's cache, if any; reports the number of cuts."""
        if self.cut:
            cut = f"{self.cut:,} of {len(requests):,} contexts were cut at the beginning"
            say(f"{kind}: {cut} to fit the model's {self.lm.context:,} tokens")
            self.cut = 0
        with Progress(kind, len(requests), "requests") as progress:
            answers = [read(reply) for reply in self.engine.answer(requests, progress.advance)]
        for request_arguments, answer in zip(arguments, answers, strict=True):
            self.cache_hook.add_partial(kind, request_arguments, answer)
        return answers


def _prompt(text: str) -> Prompt:
    """A text of the harness. It may contain special tokens, which chat templates write as text."""
    return as_prompt(Part.with_special_tokens(text))


def _check_start(path: str, unknown: Mapping[str, Any]) -> None:
    """Raise UserError if the path is missing, options are unknown, or there are several processes."""
    if not path or unknown:
        got = f"got unknown {', '.join(sorted(unknown))}" if unknown else "path is missing"
        raise UserError(f"--model_args: {got}", hint="expected path=MODEL,context=N,precision=fp32,tokens_per_batch=N")
    if launched() > 1:
        raise UserError(
            f"{launched()} processes were started, expected one, since each would answer every request",
            hint="start the harness once; for several processes, use gpttasks run with task: {use: lm-eval, ...}",
        )


def _backbone(
    session: Session, path: str, context: int | None, trust_code: bool, accepted: Sequence[str] = ()
) -> Backbone:
    """The backbone for ``path``, as in a recipe: a registered name, a run, a Hub id or a folder; not loaded yet.

    ``accepted``: the kinds of what may differ from what a run was made with. Raises UserError for values that do not
    fit.
    """
    options: dict[str, Any] = {}
    name = path
    if path not in session.plugins.names("backbone"):
        name = "run" if Path(path, RECORD).is_file() else "hf"
        options["path"] = path
    if accepted and name != "run":
        raise UserError(f"--model_args: accept_changed is for runs, and {path} is not the folder of a run")
    if accepted:
        options["accept_changed"] = accepted
    if context is not None:
        options["context"] = context
    with _model_args_checked():
        checked: Options = session.plugins.get("backbone", name).Options(**options)
        use = Use(name=name, options=with_origin(checked, CodeOrigin(trusted=trust_code)))
    backbone: Backbone = session.create("backbone", use)
    return backbone


def _kinds(accept_changed: str | Sequence[str]) -> list[str]:
    """Names joined by ``+``, since a comma divides the arguments of the harness, or a list of names."""
    names = accept_changed.replace(",", "+").split("+") if isinstance(accept_changed, str) else accept_changed
    return [name.strip() for name in names if name.strip()]


@contextmanager
def _hints_for_model_args() -> Iterator[None]:
    """Say in hints how the harness passes what on gpttasks' own command line is ``--accept-changed``."""
    try:
        yield
    except FolderError as error:
        own = {ACCEPT.format(kind=kind): f"add accept_changed={kind} to --model_args" for kind in KINDS}
        raise FolderError([replace(one, hint=_replaced(one.hint, own)) for one in error.problems]) from error


def _replaced(text: str | None, replacements: Mapping[str, str]) -> str | None:
    for old, new in replacements.items():
        text = text and text.replace(old, new)
    return text


@contextmanager
def _model_args_checked() -> Iterator[None]:
    """Raise UserError for values that options do not accept."""
    try:
        yield
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise UserError(f"--model_args: {key}: got {first['input']!r}: {first['msg']}") from error


def main() -> None:
    """The harness's own command line, with the model ``gpttasks`` registered."""
    from lm_eval.__main__ import cli_evaluate

    cli_evaluate()


if __name__ == "__main__":
    main()
