"""A small corpus of mails written for the tests: sixteen of each label, all senders different.

`write_corpus` writes it as archives are, `write_own` as our own corpus is: four batches.
"""

from __future__ import annotations

import gzip
import json
from itertools import product
from pathlib import Path

OPENINGS = {
    "pitch": (
        "We are a web design company and we offer SEO services to grow your traffic.",
        "Would you be interested in our email list of decision makers for your marketing?",
        "Our agency can increase your sales and rank your website on the first page.",
        "We build mobile apps for companies like yours at affordable prices.",
    ),
    "personal": (
        "Thanks for the walk on Sunday, it was lovely to see you and the children.",
        "I looked at the patch again and I think the lock is taken twice.",
        "Could we move our lunch to Thursday, since I am in Leeds until then?",
        "Here are the photographs of the old mill that you asked me for.",
    ),
    "bulk": (
        "Welcome to the November issue of our newsletter for all members.",
        "In this edition you find the calendar of courses and an interview.",
        "Your order has shipped and you can track the parcel in your account.",
        "You receive this mail because you subscribed to our weekly digest.",
    ),
    "junk": (
        "I am the widow of a minister and I want to transfer the fund to your account.",
        "You have won the lottery and must send your bank details to claim the prize.",
        "Cheap pills without prescription, order now and lose weight in a week.",
        "I am a bank officer and a dormant account awaits a foreign partner.",
    ),
}
ENDINGS = {
    "pitch": (
        "Can I send you a free quote and a proposal?",
        "Please share your phone number for a short call.",
        "Let me know if you are interested in our packages.",
        "We look forward to your reply about our offer.",
    ),
    "personal": (
        "Greetings to Ruth, and see you soon.",
        "What do you think about it?",
        "I will bring the book that I borrowed.",
        "It still fails here when I build it twice.",
    ),
    "bulk": (
        "Read the whole text online or unsubscribe here.",
        "Members get the printed edition by post.",
        "You can change your settings in your profile.",
        "The editors wish you a pleasant week.",
    ),
    "junk": (
        "Reply with your full name and bank details.",
        "This must stay confidential between us, dear friend.",
        "Hurry, the fund is waiting for you.",
        "God bless you as you reply urgently.",
    ),
}
ACTS = {
    "pitch": ("offer", "meet"),
    "personal": ("shared", "social"),
    "bulk": ("notice", "notice"),
    "junk": ("report", "request"),
}
BATCHES = ("en01", "en02", "fr01", "fr02")
FILES = {"pitch": "pitches", "personal": "genuine", "bulk": "genuine", "junk": "junk"}


def records(label: str) -> list[dict[str, str]]:
    """The rows of one label, in the form of the data files."""
    pairs = product(OPENINGS[label], ENDINGS[label])
    return [
        {
            "id": f"{label}-{number}",
            "label": label,
            "kind": label,
            "subject": f"{label.title()} mail",
            "body": _apart(f"{opening} {ending}", f"{label}{chr(97 + number)}"),
            "sender": f"s{number}@{label}.example",
        }
        for number, (opening, ending) in enumerate(pairs)
    ]


def _apart(text: str, mark: str) -> str:
    """The text with a word of its own after every fourth, so that no two mails are kin."""
    words = text.split()
    return " ".join(" ".join([*words[at : at + 4], mark]) for at in range(0, len(words), 4))


def write_corpus(folder: Path, labels: tuple[str, ...] = tuple(OPENINGS)) -> None:
    """Write the data files of these labels into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    rows: dict[str, list[str]] = {}
    for label in labels:
        rows.setdefault(FILES[label], []).extend(map(json.dumps, records(label)))
    for name, lines in rows.items():
        content = gzip.compress("\n".join(lines).encode(), mtime=0)
        (folder / f"{name}.jsonl.gz").write_bytes(content)


def write_own(folder: Path, labels: tuple[str, ...] = tuple(OPENINGS)) -> None:
    """Write the mails of these labels as four batches, one mail a line."""
    folder.mkdir(parents=True, exist_ok=True)
    batches: dict[str, list[str]] = {name: [] for name in BATCHES}
    for label in labels:
        for number, (opening, ending) in enumerate(product(OPENINGS[label], ENDINGS[label])):
            mark = f"own{label}{chr(97 + number)}"
            first, second = ACTS[label]
            record = {
                "id": f"own-{label}-{number}",
                "label": label,
                "kind": label,
                "language": BATCHES[number % 4][:2],
                "from": f"Jo Doe <o{number}@{label}.example>",
                "subject": f"{label.title()} letter",
                "body": f"<greet>Hi,\n\n<{first}>{_apart(opening, mark)} "
                f"<{second}>{_apart(ending, mark)}",
            }
            if label == "pitch" and ending.startswith("Can I send you a free quote"):
                record["tactics"] = {"bait-offer": ["free"]}
            batches[BATCHES[number % 4]].append(json.dumps(record))
    for name, lines in batches.items():
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
