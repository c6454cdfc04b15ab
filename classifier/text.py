"""A mail as the model sees it: plain words, with everything personal taken out.

`normalise(message)` gives the subject, the sender's own text and the signature as one text.
Addresses, links, phone numbers, sums and other numbers become placeholder words; the names of
the people on the mail and in the greeting go; so do subject tags, list footers and the lines that
phones and virus scanners add, since they tell where a mail was archived and not what it says.
Letters keep their case: the model folds it, the explanation shows it.

Linear in the text, which is cut at `CAP` characters. Never raises.
"""

from __future__ import annotations

import re

from classifier.message import Mailbox, Message

CAP = 20_000
"""Characters of a text that are looked at; a hard sell shows itself long before."""
SIGNATURE_CAP = 600

PLACEHOLDERS = {
    "xxaddressxx": "[address]",
    "xxlinkxx": "[link]",
    "xxphonexx": "[phone]",
    "xxmoneyxx": "[sum]",
    "xxpercentxx": "[percent]",
    "xxnumberxx": "[number]",
}
"""The words that stand for what was taken out, and how an explanation shows them."""

_PREFIX = re.compile(
    r"\s*(?:(?:re|fwd?|aw|wg|antw|sv|vs|rv|tr)\s?(?:\[\d{1,3}\])?\s?:|\[[^\]]{1,60}\])",
    re.IGNORECASE,
)
_BLANKS = re.compile(
    r"\{\{?[^{}\n]{1,40}\}\}?|\[[A-Za-z][A-Za-z'_/ ]{0,40}\]|<[A-Za-z][A-Za-z_ ]{0,30}>"
)
_MONEY = re.compile(
    r"(?:[$€£¥]|\b(?:usd|eur|gbp|us\$|rs\.?)) ?\d[\d.,]{0,15}[km]?|"
    r"\d[\d.,]{0,15} ?(?:[$€£¥]|(?:usd|eur|gbp|dollars?|euros?|pounds?)\b)",
    re.IGNORECASE,
)
_PERCENT = re.compile(r"\d[\d.,]{0,8} ?(?:%|percent\b)", re.IGNORECASE)
_DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}")
_PHONE = re.compile(r"\+?\(?\d[\d()./ -]{7,20}\d")
_NUMBER = re.compile(r"\w{0,20}\d[\w.,:/-]{0,40}")
_DOMAIN = re.compile(
    r"[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){0,5}\.[a-z]{2,10}(?:[/:?#]\S*)?\Z", re.IGNORECASE
)
_GREETING = re.compile(
    r"\s{0,8}(?P<word>hi|hello|hey|dear|hallo|greetings|good (?:morning|afternoon|evening|day))"
    r"(?P<name>(?:[ ,/]{1,3}[\w.'-]{1,30}){1,5}?)[ ]?(?P<end>[,!:;.–-]|\Z)",
    re.IGNORECASE,
)
_JOINS = frozenset({"and", "or", "von", "van", "de", "der", "mr", "mrs", "ms", "dr"})
_NOT_NAMES = frozenset(
    """
    all there team everyone everybody folks guys sir madam sirs friend friends customer customers
    colleague colleagues business owner manager valued partner partners client supplier buyer
    purchasing webmaster website marketing sales user users member subscriber list the my
    beloved dear one again hiring recruiter editor gentlemen ladies experts developers community
    """.split()  # noqa: SIM905
)
_ADDED = re.compile(
    r"(?:sent from (?:my|mail|yahoo|outlook)|get outlook for|"
    r"get the (?:new )?(?:outlook|gmail) app|this e-?mail (?:has been|was) (?:checked|scanned)|"
    r"virus-free\b|do you yahoo!?\?|"
    r"join msn|sent via (?:blackberry|the )|outgoing mail is certified|checked by avg|"
    r"to unsubscribe from this list: send|"
    r"more majordomo info at|scanned by|-+begin pgp|-+end pgp|hash: sha)",
    re.IGNORECASE,
)
_ATTRIBUTION = re.compile(r".{0,200}\b(?:wrote|writes|schrieb):?\Z")
_RULER = re.compile(r"\s{0,4}[_=*~-]{5,}")
_LIST_FOOTER = re.compile(
    r"mailing list|listinfo|yahoo! groups|sf\.net email|sourceforge|"
    r"listmaster|groups\.yahoo|list maintainer|"
    r"to unsubscribe send an email to|-leave@|discussion list",
    re.IGNORECASE,
)
_LINK_BRACKETS = re.compile(r"<(?:https?|mailto|ftp):[^<>\s]{1,2000}>")


def normalise(message: Message) -> str:
    """The text that is judged; '' when the mail says nothing.

    Never the quotation: a customer's "Thanks, Jane" above our own offer, or a colleague's forward
    of somebody's pitch, would be held, and answered, for words that are not theirs.
    """
    names = name_tokens((*message.from_, *message.to))
    parts = (subject(message.subject), message.own_text[:CAP], message.signature[:SIGNATURE_CAP])
    lines = [line for part in parts for line in (*_kept_lines(part), "")]
    return "\n".join(_neutral(_without_name(line), names) for line in lines).strip()[:CAP]


def subject(text: str) -> str:
    """The subject without `Re:`, `Fwd:` and `[list]` tags."""
    rest = text[:1000].strip()
    for _ in range(8):
        match = _PREFIX.match(rest)
        if match is None:
            break
        rest = rest[match.end() :]
    return rest.strip()


def name_tokens(people: tuple[Mailbox, ...]) -> frozenset[str]:
    """The words of the people's display names, lower case, three letters or more."""
    words = (word for person in people for word in re.findall(r"[^\W\d_]{3,30}", person.name[:200]))
    return frozenset(word.lower() for word in words) - _NOT_NAMES


def _kept_lines(text: str) -> list[str]:
    """The lines without what list servers, phones and scanners added."""
    lines = _LINK_BRACKETS.sub(" xxlinkxx ", text.replace("’", "'")).splitlines()
    kept: list[str] = []
    skip = 0
    for at, line in enumerate(lines):
        if _RULER.match(line) and _LIST_FOOTER.search(" ".join(lines[at : at + 5])[:600]):
            skip = 6
        skip = max(0, skip - 1)
        bare = line.strip(" \t*>")
        if not (skip or _ADDED.match(bare) or _ATTRIBUTION.match(bare)):
            kept.append(line)
    return kept


def _without_name(line: str) -> str:
    """The greeting without whom it greets: a name there says nothing of the sender's intent."""
    match = _GREETING.match(line)
    if match is None or not _is_name(match["name"], alone=not line[match.end() :].strip()):
        return line
    return match["word"] + match["end"] + line[match.end() :]


def _is_name(text: str, *, alone: bool) -> bool:
    """Whether a greeting goes on with names: capitals, or two words at most that end the line."""
    words = re.findall(r"[^\W_]+", text)
    said = [word for word in words if word.lower() not in _JOINS]
    if not said or any(word.lower() in _NOT_NAMES for word in said):
        return False
    return all(word[0].isupper() for word in said) or (alone and len(words) <= 2)


def _neutral(line: str, names: frozenset[str]) -> str:
    words = (_word(word, names) for word in _BLANKS.sub(" ", line).split())
    text = " ".join(word for word in words if word)
    text = _MONEY.sub(" xxmoneyxx ", text)
    text = _PERCENT.sub(" xxpercentxx ", text)
    text = _DATE.sub(" xxnumberxx ", text)
    text = _PHONE.sub(" xxphonexx ", text)
    return _NUMBER.sub(" xxnumberxx ", text)


def _word(word: str, names: frozenset[str]) -> str:
    if "@" in word.strip("@.,;:!?()<>"):
        return "xxaddressxx"
    if "://" in word or word[:4].lower() == "www." or word[:7].lower() == "mailto:":
        return "xxlinkxx"
    bare = word.strip("\"'()<>[]*_.,;:!?")
    if "." in bare and len(bare) < 400 and _DOMAIN.match(bare):
        return "xxlinkxx"
    if len(word) > 60 or (
        names and bare[:1].isupper() and bare.lower().removesuffix("'s") in names
    ):
        return ""
    return word
