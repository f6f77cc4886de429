"""How long the generation of texts still takes, estimated from what was measured so far."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate

FIXED = 0.5
"""The share of a step's time that does not depend on the number of texts, as long as all batches had the same size."""
SPREAD = (0.5, 0.7, 0.85, 1.0, 1.2, 1.5)
"""Generated texts are about as long as right answers: each known length stands for itself times these factors."""
PRIOR_TEXTS = 5.0
"""How many texts the lengths of right answers count for, beside those that were generated."""
PRIOR_ENDS = 2.0
"""How many texts that ended as expected have to be contradicted before a model is taken to write longer or shorter."""


class GenerationTime:
    """The tokens and the seconds that are left, for texts that are generated in batches or one by one.

    The time has two parts. Prompts are read, at a certain number of tokens a second. Then each step adds one token to
    each text of a batch, and takes a constant time and some time for each text; a batch goes on until its longest text
    is finished. The lengths of texts are estimated from those that ended and those that have not ended yet (the
    Kaplan-Meier estimator), and from the lengths of right answers, which are all that is known until the first text
    ends.

    texts, prompts, most:
        the number of texts, the tokens of all their prompts, and the sum of their ``max_tokens``.
    right_answers:
        the lengths of some right answers in tokens, end token included; may be empty.
    """

    def __init__(self, texts: int, prompts: int, most: int, right_answers: Sequence[int] = ()) -> None:
        self.texts, self.prompts = texts, prompts
        self._most = max(1, -(-most // max(1, texts)))
        self._usual = _hazards(right_answers, self._most)
        self._free = self._finished = self._begun = 0
        self._read = self._batches = 0
        self._read_seconds = 0.0
        self._at_risk: Counter[int] = Counter()
        self._ended: Counter[int] = Counter()
        # A batch: whether one is being written, the texts left after its last step, its steps, and who ended since.
        self._in_batch = False
        self._running = self._age = self._ending = 0
        # Steps: their number, texts, squared texts, seconds, and the products of texts and seconds.
        self._steps = self._tokens = self._squares = 0
        self._seconds = self._products = self._step_seconds = 0.0
        self._last = time.monotonic()

    def prompts_read(self, tokens: int) -> None:
        """See :class:`gpttasks.requests.WatchesPrompts`."""
        self._end_step(0)
        self._in_batch, self._running, self._age = True, 0, 0
        self._batches += 1
        self._read += tokens
        self._read_seconds += self._lap()

    def count(self, done: int, tokens: int) -> None:
        """Take what an engine reports to ``advance``; see :class:`gpttasks.requests.Engine`."""
        seconds = self._lap()
        self._finished += done if tokens else 0
        self._free += 0 if tokens else done
        if self._in_batch and tokens:
            self._step_seconds += seconds
            self._ending += done
            if not done:
                self._end_step(tokens)
            elif self._running and self._ending >= self._running:
                self._end_step(0)
                self._in_batch = False
        elif tokens and done:
            self._count_texts(done, tokens, seconds)

    def _lap(self) -> float:
        now = time.monotonic()
        seconds, self._last = now - self._last, now
        return seconds

    @property
    def tokens_left(self) -> float:
        """The expected number of tokens that are still to be written."""
        alive = self._alive()
        return self._waiting * sum(alive[:-1]) + self._running * sum(self._rest(alive))

    @property
    def seconds_left(self) -> float | None:
        """The expected number of seconds until all texts are written; None before the first token."""
        if not self._steps and not self._finished:
            return None
        alive = self._alive()
        rest = self._rest(alive)
        steps, tokens, seconds = _longest(rest, self._running), self._running * sum(rest), 0.0
        if waiting := self._waiting:
            unread = max(0.0, self.prompts * (1 - self._free / self.texts) - self._read)
            batches = self._batches_left(waiting, unread)
            costly = alive[1 if self._batches else 0 : -1]  # in a batch, the first token follows from the prompt
            steps += batches * _longest(costly, waiting / batches)
            tokens += waiting * sum(costly)
            seconds = unread * self._read_seconds / self._read if self._read else 0.0
        fixed, each = self._costs()
        return seconds + fixed * steps + each * tokens

    @property
    def _waiting(self) -> int:
        return max(0, self.texts - self._free - self._finished - self._running)

    def _batches_left(self, waiting: int, unread: float) -> float:
        """Batches hold about as many tokens each, of prompts and room for answers; texts one by one have none."""
        if not self._batches:
            return waiting
        held = (self._read + self._begun * self._most) / self._batches
        return min(waiting, max(1.0, (unread + waiting * self._most) / max(1.0, held)))

    def _end_step(self, unfinished: int) -> None:
        """A step gave a token to the ``unfinished`` texts and to those that ended since the last step."""
        if not (texts := unfinished + self._ending):
            return
        self._age += 1
        self._begun += texts if self._age == 1 else 0
        self._at_risk[self._age] += texts
        self._ended[self._age] += self._ending
        if self._age > 1:
            self._count_steps(1, texts, self._step_seconds)
        self._running, self._ending, self._step_seconds = unfinished, 0, 0.0

    def _count_texts(self, done: int, tokens: int, seconds: float) -> None:
        """Some texts were generated one by one, without reports of their steps."""
        length = max(1, round(tokens / done))
        for age in range(1, length + 1):
            self._at_risk[age] += done
        self._ended[length] += done
        self._count_steps(tokens, tokens, seconds)

    def _count_steps(self, steps: int, texts: int, seconds: float) -> None:
        """Steps of equal numbers of texts, ``texts`` in all."""
        self._steps += steps
        self._tokens += texts
        self._seconds += seconds
        self._squares += texts * texts // steps
        self._products += seconds * texts / steps

    def _costs(self) -> tuple[float, float]:
        """The seconds of a step, and the seconds that each text adds: a least-squares line.

        A made-up measurement of a step without texts keeps the line sensible while all steps are alike.
        """
        if not self._steps:
            return 0.0, 0.0
        made_up = 0.05 * self._steps
        count, seconds = self._steps + made_up, self._seconds + made_up * FIXED * self._seconds / self._steps
        spread = count * self._squares - self._tokens**2
        each = (count * self._products - self._tokens * seconds) / spread if spread > 0 else 0.0
        each = min(max(each, 0.0), self._seconds / self._tokens)
        return (self._seconds - each * self._tokens) / self._steps, each

    def _alive(self) -> list[float]:
        """The probability that a text has more than t tokens, for t from 0 to ``most``; the last one is 0."""
        expected = sum(self._at_risk[age] * self._usual[age] for age in range(1, self._most))
        ended = sum(count for age, count in self._ended.items() if age < self._most)
        pace = (ended + PRIOR_ENDS) / (expected + PRIOR_ENDS)
        hazards = (
            (self._ended[age] + PRIOR_TEXTS * min(1.0, pace * self._usual[age])) / (self._at_risk[age] + PRIOR_TEXTS)
            for age in range(1, self._most)
        )
        return [*accumulate(hazards, lambda alive, hazard: alive * (1 - min(1.0, hazard)), initial=1.0), 0.0]

    def _rest(self, alive: Sequence[float]) -> list[float]:
        """The probabilities that a text which is being written has 1, 2, ... more tokens."""
        now = alive[self._age] if self._age < len(alive) else 0.0
        return [one / now for one in alive[self._age : -1]] if now else [1.0]


def _longest(alive: Sequence[float], texts: float) -> float:
    """The expected length of the longest of some texts, from the probabilities to have more than 0, 1, ... tokens."""
    return sum(1.0 - float((1.0 - min(1.0, one)) ** texts) for one in alive)


def _hazards(lengths: Sequence[int], most: int) -> list[float]:
    """The probability that a text which has t - 1 tokens ends with the next one, for t from 0 to ``most``.

    Without any lengths, all orders of magnitude up to ``most`` are equally likely.
    """
    lengths = lengths or [round(most ** (step / 10)) for step in range(1, 11)]
    spread = Counter(max(1, round(length * factor)) for length in lengths for factor in SPREAD)
    mean = sum(length * count for length, count in spread.items()) / spread.total()
    left, hazards = float(spread.total()), [0.0]
    for age in range(1, most + 1):
        hazards.append((spread[age] + 1 / mean) / (left + 1))
        left -= spread[age]
    return hazards
