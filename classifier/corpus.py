"""The training data, read from a folder: `read(folder)` gives one `Examples`.

Understood are, by name (all optional, at least one must be there):
- `pitches.jsonl.gz`, `genuine.jsonl.gz`, `junk.jsonl.gz`: one object a line with `id, label,
  subject, body` and, where known, `kind, sender, group, lang, real`
- `raw-pitches.tar.xz`: the same pitches as received; where one is there it is read instead
- `raw-list-ham.tar.xz`: discussion on mailing lists, label `personal`
- `raw-spamassassin.tar.xz`: folders `easy-ham-*` (personal), `hard-ham-*` (bulk), `spam-*` (junk)

Every text goes through `text.normalise`, near-identical ones are kept once, and what shares much
text or a sender is one group: no group may ever stand on both sides of a split.
Left out are non-English pitches: there is no genuine mail in those languages to stand against
them, and the model would learn that Polish is a pitch.

Raises CorpusError when the folder holds nothing of this, or a file cannot be read.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import tarfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from email.utils import getaddresses
from pathlib import Path
from typing import Any

from classifier import body
from classifier.message import Mailbox, Message
from classifier.message import read as read_mail
from classifier.text import CAP, name_tokens, normalise
from classifier.verdict import LABELS, Label

JSONL = ("pitches.jsonl.gz", "genuine.jsonl.gz", "junk.jsonl.gz")
RAW_PITCHES = "raw-pitches.tar.xz"
TARS = ("raw-list-ham.tar.xz", "raw-spamassassin.tar.xz")

MAIL_OCTETS = 512 * 1024  # of one mail in an archive
ARCHIVE_MAILS = 50_000
SHINGLE = 6  # words that make one shingle
SKETCH = 12  # shingles that stand for a text
SAME, KIN = 10, 4  # shared shingles from which texts are one text, or one group
COMMON = 150  # a shingle in so many texts is a stock phrase and joins nothing

MIX: dict[Label, float] = {"pitch": 0.2, "personal": 0.45, "bulk": 0.2, "junk": 0.15}
"""The share each label gets in training, whatever the number of its mails."""
SOURCE_FACTOR = {"genuine": 3.0, "list-ham": 0.5}
"""How much a source counts within its label, against 1: list discussion is easy to come by, and
by numbers alone it would define what `personal` means."""


class CorpusError(Exception):
    """The training data cannot be used: names the folder or file and what is missing."""


@dataclass(frozen=True, slots=True)
class Example:
    """One training mail. `text` is normalised; `group` never spans a split; `weight` is relative,
    with mean 1 over the corpus; `real` is False for templates, which are no evidence of quality."""

    id: str
    text: str
    label: Label
    kind: str
    group: str
    sender: str
    source: str
    weight: float = 1.0
    language: str = "en"
    real: bool = True
    names: frozenset[str] = frozenset()  # words of the names on the mail


@dataclass(frozen=True, slots=True)
class Examples:
    """A corpus: the examples in a fixed order, and the SHA-256 of every file read."""

    items: tuple[Example, ...]
    files: dict[str, str]


def read(folder: Path, progress: Callable[[str, float], None] | None = None) -> Examples:
    """Read the folder. `progress` hears (file name, share done)."""
    names = [name for name in (*JSONL, *TARS) if (folder / name).is_file()]
    if not names:
        raise CorpusError(
            f"{folder}: no training data here; expected one of {', '.join(JSONL + TARS)}"
        )
    found: list[Example] = []
    for done, name in enumerate(names):
        if progress:
            progress(name, done / len(names))
        found.extend(_from_file(folder, name, {example.id for example in found}))
    files = [*names, *([RAW_PITCHES] if (folder / RAW_PITCHES).is_file() else [])]
    return Examples(
        tuple(weigh(regroup(found))), {name: _sha256(folder / name) for name in sorted(files)}
    )


def _from_file(folder: Path, name: str, seen: set[str]) -> Iterator[Example]:
    try:
        if name in TARS:
            yield from _from_tar(folder / name, seen)
        else:
            raw = dict(_mails(folder / RAW_PITCHES)) if name == JSONL[0] else {}
            yield from _from_jsonl(folder / name, raw)
    except (OSError, EOFError, tarfile.TarError, ValueError, KeyError) as error:
        raise CorpusError(f"{folder / name}: cannot be read: {error}") from error


def _from_jsonl(path: Path, raw: dict[str, bytes]) -> Iterator[Example]:
    source = path.name.partition(".")[0]
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for record in map(json.loads, lines):
            language = str(record.get("lang") or "en")
            if record["label"] == "pitch" and language != "en":
                continue
            mail = raw.get(str(record["id"]))
            message = read_mail(mail) if mail is not None else _message(record)
            yield _example(message, record, source, language)


def _message(record: dict[str, Any]) -> Message:
    own, quoted, signature = body.split(str(record.get("body") or "")[: 2 * CAP])
    people = getaddresses([str(record.get("sender") or "")])
    return Message(
        from_=tuple(_mailbox(name, address) for name, address in people),
        subject=str(record.get("subject") or ""),
        own_text=own,
        quoted=quoted,
        signature=signature,
    )


def _mailbox(name: str, address: str) -> Mailbox:
    # The record may know a name only, which the address parser then takes for an address.
    return Mailbox(name, address) if "@" in address else Mailbox(name or address, "")


def _example(message: Message, record: dict[str, Any], source: str, language: str) -> Example:
    label = record["label"]
    if label not in LABELS:
        raise ValueError(f"{record['id']}: label {label!r} is none of {', '.join(LABELS)}")
    identity = str(record["id"])
    # Templates and newsletters have no sender here; those of one collection count as one.
    sender = _sender(message) or "-".join(identity.split("-")[:2])
    return Example(
        id=identity,
        text=normalise(message),
        label=label,
        kind=str(record.get("kind") or label),
        group=str(record.get("group") or sender),
        sender=sender,
        source=source,
        language=language,
        real=bool(record.get("real", True)),
        names=name_tokens((*message.from_, *message.to, *message.cc)),
    )


def _sender(message: Message) -> str:
    for person in message.from_[:1]:
        # "Jo Doe via a-list <a-list@…>": the list's address would make all of them one sender.
        name, via, _ = person.name.partition(" via ")
        return (name if via else person.address or person.name).strip().lower()
    return ""


def _from_tar(path: Path, seen: set[str]) -> Iterator[Example]:
    source = path.name.removeprefix("raw-").partition(".")[0]
    for name, raw in _mails(path):
        label = _label(name)
        if label is None or seen & _aliases(name):
            continue
        message = read_mail(raw)
        if message.parse != "failed":
            kind = name.rpartition("/")[0].rstrip("-0123456789")
            yield _example(message, {"id": name, "label": label, "kind": kind}, source, "en")


def _label(name: str) -> Label | None:
    folder = name.rpartition("/")[0]
    if folder.startswith("hard-ham"):
        return "bulk"
    if folder.startswith("spam-"):
        return "junk"
    return "personal" if folder and folder != "data" else None


def _aliases(name: str) -> set[str]:
    """How the JSONL files call the same mail: spam-2/00408.… is sa-spam-2-00408 there."""
    folder, _, leaf = name.rpartition("/")
    stem = leaf.partition(".")[0]
    ham = folder.rstrip("-0123456789").replace("-", "")
    return {f"sa-{folder}-{stem}", f"sa-{ham}-{stem}", f"genlist-{folder}-{stem[:10]}"}


def _mails(path: Path) -> Iterator[tuple[str, bytes]]:
    """(name without .eml, bytes) of the mails in an archive; nothing is written to disk."""
    if not path.is_file():
        return
    with tarfile.open(path, "r:xz") as archive:
        for count, member in enumerate(archive):
            if count >= ARCHIVE_MAILS:
                return
            file = archive.extractfile(member) if member.isfile() else None
            if file is not None and member.name.endswith((".eml", ".txt")):
                yield member.name.removesuffix(".eml"), file.read(MAIL_OCTETS)


def regroup(examples: Iterable[Example]) -> list[Example]:
    """Near-identical and empty texts dropped, the first kept; kin joined into one group."""
    kept: list[Example] = []
    holders: dict[int, list[int]] = defaultdict(list)
    parent: list[int] = []
    for example in examples:
        sketch = _sketch(example.text)
        shared = Counter(at for shingle in sketch for at in holders[shingle])
        if not sketch or (shared and max(shared.values()) >= min(SAME, len(sketch))):
            continue
        at = len(kept)
        kept.append(example)
        parent.append(at)
        for other in [other for other, count in shared.items() if count >= KIN]:
            parent[_root(parent, other)] = _root(parent, at)
        for shingle in sketch:
            if len(holders[shingle]) < COMMON:
                holders[shingle].append(at)
    _join_named(kept, parent)
    return [replace(example, group=f"g{_root(parent, at)}") for at, example in enumerate(kept)]


def _join_named(kept: list[Example], parent: list[int]) -> None:
    """Join what carries the same group name or the same sender."""
    first: dict[str, int] = {}
    for at, example in enumerate(kept):
        for key in (f"group {example.group}", f"sender {example.sender}"):
            other = first.setdefault(key, at)
            parent[_root(parent, other)] = _root(parent, at)


def _root(parent: list[int], at: int) -> int:
    while parent[at] != at:
        parent[at] = parent[parent[at]]
        at = parent[at]
    return at


def _sketch(text: str) -> list[int]:
    """The smallest hashes among the text's shingles: texts alike have many of them in common."""
    words = re.findall(r"\w+", text.lower())
    span = max(1, len(words) - SHINGLE + 1)
    shingles = (" ".join(words[at : at + SHINGLE]) for at in range(span))
    return sorted({zlib.crc32(shingle.encode()) for shingle in shingles if shingle})[:SKETCH]


def weigh(examples: list[Example]) -> list[Example]:
    """Weights so that each label has its share of `MIX`, a group of n mails counts as the square
    root of n, and so does a source, times its factor."""
    sizes = Counter(example.group for example in examples)
    raw = [sizes[example.group] ** -0.5 for example in examples]
    by_source: dict[tuple[Label, str], float] = defaultdict(float)
    for example, weight in zip(examples, raw, strict=True):
        by_source[example.label, example.source] += weight
    shares = _shares(by_source)
    return [
        replace(example, weight=len(examples) * weight * shares[key] / by_source[key])
        for example, weight in zip(examples, raw, strict=True)
        for key in [(example.label, example.source)]
    ]


def _shares(mass: dict[tuple[Label, str], float]) -> dict[tuple[Label, str], float]:
    """The share of all weight that each source of each label gets; they sum to 1."""
    counts = {key: SOURCE_FACTOR.get(key[1], 1.0) * mass[key] ** 0.5 for key in mass}
    total: dict[Label, float] = defaultdict(float)
    for (label, _), count in counts.items():
        total[label] += count
    mixed = sum(MIX[label] for label in total)
    return {key: MIX[key[0]] / mixed * count / total[key[0]] for key, count in counts.items()}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
