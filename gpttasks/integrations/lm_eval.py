"""lm-evaluation-harness with this engine: its tasks, prompts and metrics, answered faster.

    pip install 'gpttasks[lm-eval]'
    python -m gpttasks.integrations.lm_eval run --model gpttasks --model_args path=gpt2-folder --tasks hellaswag

Versions of the harness after 0.4.13 find the model by its entry point: ``lm-eval run --model gpttasks`` is enough.
The command line is the harness's own; ``--model gpttasks`` takes ``path`` (a Hub id, a folder, ``nano``, or a run of
gpttasks), ``context``, ``precision``, ``device``, ``tokens_per_batch`` and ``sharing``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import lm_eval.models  # noqa: F401 - the harness's own models stay known beside this one
from lm_eval.api.model import LM
from lm_eval.api.registry import register_model
from pydantic import ValidationError

from gpttasks_lm_eval.requests import generate_request, left_cuts, longest_text

from ..backbones.base import Backbone, LoadSettings
from ..errors import UserError
from ..example import as_prompt
from ..hashing import seeded_hash
from ..model.causal_lm import CausalLM
from ..parallel.launch import launched
from ..pipeline.session import Session
from ..progress import Progress
from ..recipe.schema import RuntimeOptions, Use
from ..records.run import RECORD
from ..requests import Generate, GenerateReply, LogLikelihood, LogLikelihoodReply, Reply, Request, Rolling, RollingReply

Answer = TypeVar("Answer")


@register_model("gpttasks")
class GpttasksLM(LM):  # type: ignore[misc]  # the harness has no types
    """A local model as the harness asks it. Raises UserError for a model or an option that cannot be used."""

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
        **unknown: Any,
    ) -> None:
        super().__init__()
        _check_start(path, unknown)
        # batch_size counts rows; batches here are made by tokens, and no number depends on them.
        options = {"precision": precision, "tokens_per_batch": tokens_per_batch, "sharing": sharing}
        with _model_args_checked():
            runtime = RuntimeOptions.model_validate({"device": device or "auto", **options})
        self._open = ExitStack()  # until the harness ends
        session = self._open.enter_context(Session())
        settings = LoadSettings(*session.set_up(runtime), plugins=session.plugins)
        model = self._open.enter_context(session.models.borrow(_backbone(session, path, context), settings))
        if model.backbone.lm is None:
            raise UserError(
                f"the backbone {model.backbone.name!r} is not a model in memory",
                hint="give a folder, a Hub id, nano or a run of one",
            )
        self.backbone: CausalLM = model.backbone.lm
        self.engine = model.engine(tokens_per_batch=tokens_per_batch, sharing=sharing)
        self.seed = seed
        self.cut = 0

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """(log-likelihood in nats, whether each token was the likeliest) of each (context, continuation)."""
        arguments = [request.args for request in requests]
        asked = [LogLikelihood(as_prompt(self._fitting(*pair)), pair[1]) for pair in arguments]

        def read(reply: Reply) -> tuple[float, bool]:
            assert isinstance(reply, LogLikelihoodReply)
            return reply.logprob, reply.greedy

        return self._answers("loglikelihood", arguments, asked, read)

    def loglikelihood_rolling(self, requests: Sequence[Any]) -> list[float]:
        """The log-likelihood in nats of each whole text."""

        def read(reply: Reply) -> float:
            assert isinstance(reply, RollingReply)
            return reply.logprob

        arguments = [request.args for request in requests]
        asked = [Rolling(as_prompt(text)) for (text,) in arguments]
        return self._answers("loglikelihood_rolling", arguments, asked, read)

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """The text after each context, before its first stop text."""

        def read(reply: Reply) -> str:
            assert isinstance(reply, GenerateReply)
            return reply.text

        arguments = [request.args for request in requests]
        asked = [self._generate(context, options, place) for place, (context, options) in enumerate(arguments)]
        return self._answers("generate_until", arguments, asked, read)

    @property
    def tokenizer_name(self) -> str:
        """The tokenizer's digest: what a cache of rendered prompts depends on."""
        return self.backbone.tokenizer.digest

    def chat_template(self, chat_template: bool | str = False) -> str:
        """The tokenizer's chat template; empty if none is requested."""
        return str(self.backbone.tokenizer.inner.chat_template or "") if chat_template else ""

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """The conversation as the tokenizer's template writes it."""
        text: str = self.backbone.tokenizer.inner.apply_chat_template(
            chat_history,
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=not add_generation_prompt,
        )
        return text

    def _generate(self, context: str, options: Mapping[str, Any], place: int) -> Generate:
        prompt = as_prompt(self._fitting(context, room=self.backbone.context - longest_text(options)))
        return generate_request(prompt, options, seeded_hash(self.seed, "lm_eval", str(place), context))

    def _fitting(self, context: str, continuation: str = "", room: int | None = None) -> str:
        """As much of the end of a context as fits with its continuation, as the harness's models cut it; counted."""
        room = self.backbone.context if room is None else room
        cut = next(left_cuts(self.backbone.tokenizer, context, continuation, room))
        self.cut += cut > 0
        return context[cut:]

    def _answers(
        self, kind: str, arguments: Sequence[Any], asked: Sequence[Request], read: Callable[[Reply], Answer]
    ) -> list[Answer]:
        """The replies in the harness's form, each added to its cache if it keeps one. Cuts are reported."""
        if self.cut:
            room = f"the {self.backbone.context} tokens of the model"
            cut = f"{self.cut:,} of {len(asked):,} contexts do not fit into {room} and were cut at their beginning"
            print(f"{kind}: {cut}", file=sys.stderr)
            self.cut = 0
        with Progress(kind, len(asked), "requests") as progress:
            answers = [read(reply) for reply in self.engine.answer(asked, progress.advance)]
        for one, answer in zip(arguments, answers, strict=True):
            self.cache_hook.add_partial(kind, one, answer)
        return answers


def _check_start(path: str, unknown: Mapping[str, Any]) -> None:
    """Raises UserError for an unknown or missing argument of the model, or if several processes were started."""
    if not path or unknown:
        got = f"unknown {', '.join(sorted(unknown))}" if unknown else "no path"
        raise UserError(f"--model_args: {got}", hint="expected path=MODEL,context=N,precision=fp32,tokens_per_batch=N")
    if launched() > 1:
        raise UserError(
            f"{launched()} processes were started, and each would answer every request",
            hint="start the harness once; gpttasks run has several processes (task: {use: lm-eval, ...})",
        )


def _backbone(session: Session, path: str, context: int | None) -> Backbone:
    """A registered backbone, a run, or a model by Hub id or folder, as in a recipe; not loaded yet."""
    options: dict[str, Any] = {}
    name = path
    if path not in session.plugins.names("backbone"):
        name = "run" if Path(path, RECORD).is_file() else "hf"
        options["path"] = path
    if context is not None:
        options["context"] = context
    with _model_args_checked():
        use = Use(name=name, options=session.plugins.get("backbone", name).Options(**options))
    backbone: Backbone = session.create("backbone", use)
    return backbone


@contextmanager
def _model_args_checked() -> Iterator[None]:
    """Raises UserError for values that options do not accept."""
    try:
        yield
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise UserError(f"--model_args: {key}: got {first['input']!r}: {first['msg']}") from error


def main() -> None:
    """The harness's own command line, which knows the model ``gpttasks`` now."""
    from lm_eval.__main__ import cli_evaluate

    cli_evaluate()


if __name__ == "__main__":
    main()
