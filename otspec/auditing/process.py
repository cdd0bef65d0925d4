"""A verifier in another process, in any language: one JSON object a line in, one a line out.

A question is ``{"kind": ..., "target": ..., "draft": ..., "tokens": [...], "seed": ...}``, for a tree with
``"parents"`` and ``"copies"``, the paths merged in each node; laws are lists of numbers. The answer is
``{"tokens": [...]}``, the emitted token or tokens. All chance must come from ``seed``, a whole number below 2^31.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import threading
from collections.abc import Sequence
from typing import IO, Any

import numpy as np

from otspec.auditing.cases import BadAnswer, Question
from otspec.auditing.subjects import Coins, Subject
from otspec.core.errors import BadArgument, WorkFailed

LAST_WORDS = 2.0  # seconds that stderr is waited for after the end of stdout
KEPT = 2000  # characters of stderr that an error shows at most


class JsonLines(Subject):
    """A command that answers questions line by line; started once, stopped when the audit ends.

    Parameters
    ----------
    command : sequence of str, or str
        Run without a shell.
    kind : {"token", "multi", "block", "tree"}
    timeout : float
        Seconds within which a slice of up to 256 questions must be answered.
    """

    batch_size = 64

    def __init__(self, command: Sequence[str] | str, kind: str, *, timeout: float = 60.0) -> None:
        self.command = shlex.split(command) if isinstance(command, str) else list(command)
        if not self.command:
            raise BadArgument("command: nothing to run. Fix: ['./verifier', '--json-lines'].")
        self.kind, self.timeout, self.name, self.ragged = kind, timeout, self.command[0], kind in ("block", "tree")
        self._process: subprocess.Popen[str] | None = None
        self._errors: list[str] = []
        self._listener: threading.Thread | None = None

    def answer(self, questions: Sequence[Question], coins: Coins) -> list[Any]:
        """Write all questions from a thread of its own, so that neither side waits for the other's pipe."""
        process = self._started()
        lines = [json.dumps(self._asked(one, int(seed))) + "\n"
                 for one, seed in zip(questions, coins.integers(1 << 31, size=len(questions)), strict=True)]
        writer = threading.Thread(target=_write, args=(process.stdin, lines), daemon=True)
        watch = threading.Timer(self.timeout, process.kill)
        writer.start()
        watch.start()
        try:
            assert process.stdout is not None
            return [self._read(process.stdout.readline()) for _ in questions]
        finally:
            watch.cancel()
            writer.join(timeout=1)

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
                if stream is not None:
                    try:
                        stream.close()
                    except OSError:  # what was still to be written has no reader
                        continue
            self._process = None

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None:
            try:
                self._process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                                 stderr=subprocess.PIPE, text=True)
            except OSError as error:
                raise BadArgument(f"command: {self.command[0]!r} cannot be started ({error.strerror}). "
                                  f"Fix: the path of an executable file.") from None
            self._listener = threading.Thread(target=self._listen, args=(self._process.stderr,), daemon=True)
            self._listener.start()
        return self._process

    def _listen(self, stream: IO[str]) -> None:
        try:
            for line in stream:
                self._errors.append(line)
        except ValueError:  # closed meanwhile
            return

    def _asked(self, one: Question, seed: int) -> dict[str, Any]:
        asked = {"kind": self.kind, "target": np.asarray(one.target).tolist(), "draft": np.asarray(one.draft).tolist(),
                 "tokens": one.tokens.tolist(), "seed": seed}
        if one.tree is not None:
            asked |= {"parents": one.tree.parents.tolist(), "tokens": one.tree.tokens.tolist(),
                      "copies": one.tree.multiplicity.tolist()}
        return asked

    def _read(self, line: str) -> Any:
        if not line:
            if self._listener is not None:
                self._listener.join(LAST_WORDS)  # what it said is on its way where its answers have ended
            said = "".join(self._errors)[-KEPT:].strip()
            raise WorkFailed(f"{self.name} ended, or gave no answer within {self.timeout:g} s"
                             + (f"; it says: {said}" if said else ""))
        try:
            return json.loads(line)["tokens"]
        except (ValueError, KeyError, TypeError):
            raise BadAnswer(f'{line.strip()[:80]!r} is no {{"tokens": [...]}}') from None


def _write(stream: IO[str], lines: list[str]) -> None:
    try:
        stream.writelines(lines)
        stream.flush()
    except (OSError, ValueError):  # the process has ended; the reader says so
        return


def json_lines(command: Sequence[str] | str, kind: str, *, timeout: float = 60.0) -> JsonLines:
    """Adapter of a verifier in another process, see `JsonLines`.

    Examples
    --------
    >>> json_lines(["./verifier"], "token").kind
    'token'
    """
    return JsonLines(command, kind, timeout=timeout)
