"""How long one mail takes to be read and judged, and against scikit-learn's own path.

    python benchmarks/judging.py [--rounds 5]

Mails of about 4 KB are made of the shipped corpus's texts with an ordinary header. Each round
takes every mail once through each step, the steps in turn; shown is the median over mails of the
best round, in milliseconds of processor time of one core, in a warm process.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import joblib

from classifier import corpus, explain, model, tactics
from classifier.message import read
from classifier.scorer import Scorer
from classifier.text import normalise

SIZE = 4096
MAILS = 120
HEADER = (
    "Return-Path: <{n}@sender.example>\r\n"
    "Received: from mx.sender.example (mx.sender.example [192.0.2.7])\r\n"
    "\tby mx.example.com (Postfix) with ESMTPS id 4ABCDEF1234\r\n"
    "\tfor <ana@example.com>; Mon, 2 Nov 2026 09:12:{s:02d} +0000 (UTC)\r\n"
    "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=sender.example; s=s1;\r\n"
    "\th=from:to:subject:date:message-id; bh=aGVsbG8=; b=" + "QUJD" * 60 + "\r\n"
    "From: Sam Carter <{n}@sender.example>\r\nTo: Ana Lopes <ana@example.com>\r\n"
    "Subject: {subject}\r\nDate: Mon, 2 Nov 2026 09:12:00 +0000\r\n"
    "Message-ID: <{n}@sender.example>\r\nMIME-Version: 1.0\r\n"
    "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
)


def mails() -> list[bytes]:
    """Mails of about `SIZE` octets: as many texts of the corpus as fit, one after the other."""
    made: list[bytes] = []
    bodies = [
        "".join(text for _, text in example.acts)
        for example in corpus.batch(min(corpus.OWN.glob("en*.jsonl")))
    ]
    at = 0
    while len(made) < MAILS:
        head = HEADER.format(n=len(made), s=len(made) % 60, subject="About next week")
        text = ""
        while len(head) + len(text.encode()) < SIZE:
            text += bodies[at % len(bodies)] + "\r\n\r\n"
            at += 1
        made.append((head + text).encode()[:SIZE])
    return made


def best(step: Callable[[Any], Any], inputs: list[Any], rounds: int) -> float:
    """Median over the inputs of the least milliseconds."""
    least = [float("inf")] * len(inputs)
    for _ in range(rounds):
        for at, one in enumerate(inputs):
            start = time.process_time()
            step(one)
            least[at] = min(least[at], time.process_time() - start)
    return 1000 * statistics.median(least)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=5)
    rounds = arguments.parse_args().rounds
    raw = mails()
    messages = [read(one) for one in raw]
    texts = [normalise(message) for message in messages]
    pipeline = joblib.load(model.MODELS / model.MODEL_NAME)
    scorer, judge = Scorer(pipeline), model.load()
    scored = [(scorer.score(normalise(m)), m) for m in messages]
    steps: dict[str, tuple[Callable[[Any], Any], list[Any]]] = {
        "read (parse)": (read, raw),
        "normalise": (normalise, messages),
        "score, one pass": (scorer.score, texts),
        "score, scikit-learn's pipeline": (lambda text: pipeline.predict_proba([text]), texts),
        "tactics": (tactics.find, messages),
        "explain": (
            lambda pair: explain.terms(scorer, *pair, explain.spans(*pair)),
            scored,
        ),
        "judge (all but parse)": (judge.judge, messages),
        "parse and judge": (lambda one: judge.judge(read(one)), raw),
    }
    figures = {name: best(*step, rounds) for name, step in steps.items()}
    for name, milliseconds in figures.items():
        print(f"{name:32} {milliseconds:7.3f} ms")
    ratio = figures["score, scikit-learn's pipeline"] / figures["score, one pass"]
    print(f"one pass is {ratio:.1f} times as fast as the pipeline")


if __name__ == "__main__":
    main()
