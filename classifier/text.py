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
    "xxblankxx": "[blank]",
}
"""The words that stand for what was taken out, and how an explanation shows them."""

_PREFIX = re.compile(
    r"\s*(?:(?:re|fwd?|aw|wg|antw|sv|vs|rv|tr)\s?(?:\[\d{1,3}\])?\s?:|\[[^\]]{1,60}\])",
    re.IGNORECASE,
)
_BLANKS = (
    (re.compile(r"\{(?:\{[^{}\n]{1,40}\}|[A-Za-z][\w .]{0,38})\}"), " xxblankxx "),
    (re.compile(r"%[A-Z][A-Z_]{2,30}%"), " xxblankxx "),
    (re.compile(r"\[[A-Za-z][A-Za-z'_/ ]{0,40}\]"), " "),
    (re.compile(r"<[A-Za-z][A-Za-z_ ]{0,30}>"), " "),
)
"""What a mail merge left unfilled, and what stands for it. Blanks in brackets are left out without
a trace: they are how the archives' templates mark a name. One pattern for each opening sign, which
is found faster than one of several."""
# None of these takes the full stop or comma behind it: that ends the sentence.
_SUM = r"\d(?:[\d.,]{0,15}\d)?"
_MONEY = re.compile(
    rf"[$€£¥] ?{_SUM}[km]?|{_SUM} ?(?:[$€£¥]|(?:usd|eur|gbp|chf|pln|zł|dollars?|euros?|pounds?)\b)",
    re.IGNORECASE,
)
_CODED = re.compile(rf"\b([a-z]{{1,3}}+[.$]?) ?{_SUM}[km]?", re.IGNORECASE)
_CODES = frozenset({"usd", "eur", "gbp", "chf", "pln", "brl", "us$", "r$", "rs", "rs."})
"""What stands before a sum. Looked up, since trying each of them at each word takes long."""
_PERCENT = re.compile(r"\d(?:[\d.,]{0,8}\d)? ?(?:%|percent\b)", re.IGNORECASE)
_DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}")
_PHONE = re.compile(r"\+?\(?\d[\d()./ -]{7,20}\d")
_NUMBER = re.compile(r"\b[^\W\d]{0,60}+\d(?:[\w.,:/-]{0,40}\w)?")
_NEAR_DIGITS = re.compile(r"\d[^ ]*+(?:(?: [^ \d]++){0,2} [^ \d]*+\d[^ ]*+)*+(?: [^ ]++)?")
"""The rest of a word from its first digit on, the words with digits that follow with two others
between them at most, and one word more: "900 - 1000 EUR". A line break is as good as a letter."""
_POINTED = re.compile(r"(?<!\S)[^\s@.:]*+[@.:]\S+")
"""A word with a sign inside that every address and link has."""
_LONGEST_WORD = 60
_FEW_NAMES = 20
_EDGES = "\"'()<>[]*_.,;:!?"
_DOMAIN = re.compile(
    r"[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){0,5}\.[a-z]{2,10}(?:[/:?#]\S*)?\Z", re.IGNORECASE
)
_GREETINGS = """
    hi|hello|hey|dear|greetings|good (?:morning|afternoon|evening|day)|morning|afternoon
    hallo|guten (?:tag|morgen|abend)|moin|servus|grüezi|grüß (?:gott|dich)
    sehr geehrte[rs]?|geehrte[rs]?|liebe[rs]?|werte[rs]?
    bonjour|bonsoir|salut|coucou|ch(?:er|ère|ers|ères)
    hola|buen(?:os días|as tardes|as noches|as)|estimad[oa]s?|querid[oa]s?|apreciad[oa]s?
    beste|geachte|goede(?:morgen|middag|navond|ndag)|hoi|dag|lieve
    ciao|salve|buon ?giorno|buona ?sera|gentil(?:e|issim[oa])|egregi[oa]|car[oaie]
    olá|oi|bom dia|boa (?:tarde|noite)|prezad[oa]s?|car[oa]s|exm[oa]s?\\.?
    dzień dobry|dobry wieczór|cześć|hej|witam|witaj|szanown[yai]|drog[ai]
"""
_GREETING = re.compile(
    rf"\s{{0,8}}(?P<word>{'|'.join(_GREETINGS.split(chr(10))[1:-1]).replace(' ' * 4, '')})"
    r"(?P<name>[ ]{1,3}[\w.'-]{1,30}(?:[ ,/]{1,3}[\w.'-]{1,30}){0,4}?)[ ]?(?P<end>[,!:;.–-]|\Z)",
    re.IGNORECASE,
)
_JOINS = frozenset(
    """
    and or von van de der den di da do dos del la le und en et e y i zu mr mrs ms miss dr prof sir
    herr herrn frau monsieur madame mme m mlle señor señora sr sra srta don doña heer mevrouw
    meneer mijnheer mw dhr dott dottor dottoressa ssa sig ra signor signora ing avv arch
    senhor senhora dra pan pani panie panu
    """.split()  # noqa: SIM905
)
_NOT_NAMES = frozenset(
    """
    all there team everyone everybody folks guys madam sirs friend friends customer customers
    colleague colleagues business owner manager valued partner partners client supplier buyer
    purchasing webmaster website marketing sales user users member subscriber list the my
    beloved one again hiring recruiter editor gentlemen ladies experts developers community
    zusammen damen herren kollegen kolleginnen alle tous toutes équipe todos todas equipo allemaal
    collega collega's tutti tutte time pessoal equipe państwo wszystkim zespole
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
_WROTE = re.compile(r"\b(?:wrote|writes|schrieb):?\Z")
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
    lines = [_without_name(line) for part in parts for line in (*_kept_lines(part), "")]
    text = "\n".join(lines)
    for blank, sign in _BLANKS:
        text = blank.sub(sign, text)
    text = _POINTED.sub(_without_address, text)
    return _without_figures(_without_names(text, names)).rstrip()[:CAP]


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
        if not (skip or _ADDED.match(bare) or _is_attribution(bare)):
            kept.append(line)
    return kept


def _is_attribution(line: str) -> bool:
    """Whether the line says who wrote what follows; no paragraph does."""
    return len(line) < 210 and _WROTE.search(line[-9:]) is not None


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


def _without_address(match: re.Match[str]) -> str:
    word = match[0]
    if "@" in word.strip("@.,;:!?()<>"):
        return "xxaddressxx" + _stop(word)
    if "://" in word or word[:4].lower() == "www." or word[:7].lower() == "mailto:":
        return "xxlinkxx" + _stop(word)
    bare = word.strip(_EDGES)
    if "." in bare and len(bare) < 400 and _DOMAIN.match(bare):
        return "xxlinkxx" + _stop(word)
    return word


def _without_names(text: str, names: frozenset[str]) -> str:
    """The words, one blank between them, without the names and what is too long for a word."""
    lines: list[str] = []
    for line in text.split("\n"):
        words = line.split()
        if _may_name(line, names) or max(map(len, words), default=0) > _LONGEST_WORD:
            words = [kept for word in words if (kept := _plain(word, names))]
        lines.append(" ".join(words))
    return "\n".join(lines)


def _may_name(line: str, names: frozenset[str]) -> bool:
    """Whether a name may be in the line: in most there is none, and no word need be looked at."""
    if len(names) > _FEW_NAMES:  # a mail can bring thousands, and each is tried
        return True
    folded = line.lower()
    return any(name in folded for name in names)


def _plain(word: str, names: frozenset[str]) -> str:
    """The word, unless it is a name on the mail or no word at all."""
    if len(word) > _LONGEST_WORD:
        return _stop(word)
    bare = "" if word.islower() else word.strip(_EDGES)
    if bare[:1].isupper() and _is_named(bare.lower().removesuffix("'s"), names):
        return _stop(word)
    return word


def _is_named(word: str, names: frozenset[str]) -> bool:
    """Whether the word is a name on the mail, or is joined of names and initials: Hans-Peter."""
    parts = set(re.split(r"[-/']", word))
    return not names.isdisjoint(parts) and all(len(part) < 3 for part in parts - names)


def _stop(word: str) -> str:
    """What ends the sentence, which must not go with the word."""
    return word[-1] if word[-1] in ".!?" else ""


def _without_figures(text: str) -> str:
    """Figures are looked for near digits only: in a whole text each kind takes long."""
    done: list[str] = []
    at = 0
    for match in _NEAR_DIGITS.finditer(text):
        word = max(at, text.rfind(" ", at, match.start()))
        start = max(at, text.rfind(" ", at, word))  # one word more: "EUR 5"
        done += text[at:start], _figures(text[start : match.end()])
        at = match.end()
    return "".join(done) + text[at:]


def _figures(text: str) -> str:
    text = _MONEY.sub("xxmoneyxx", _CODED.sub(_coded, text))
    text = _PERCENT.sub("xxpercentxx", text)
    text = _DATE.sub("xxnumberxx", text)
    text = _PHONE.sub("xxphonexx", text)
    return _NUMBER.sub("xxnumberxx", text)


def _coded(match: re.Match[str]) -> str:
    return "xxmoneyxx" if match[1].lower() in _CODES else match[0]
