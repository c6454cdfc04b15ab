"""Reading a trusted Authentication-Results field (RFC 8601).

`authenticate` says whether a server whose word the user trusts found the From domain proven.
Only the topmost field counts: servers prepend theirs, so whatever stands below came with the mail
and may be forged. The caller guarantees that the peer who handed us the mail is allow-listed.

Nothing here raises. Any doubt, such as a malformed field, is "not passed".
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from authres import FeatureContext, arc, dmarc
from authres.core import AuthenticationResultsHeader

from classifier.message import Message
from replies.courtesy import Authentication
from replies.fields import address_domain, ascii_domain

MAX_LENGTH = 8192  # authres copies the rest of the text at every token: quadratic
_TESTING = re.compile(r"\([^()]*\b(?:t=y|test (?:mode|key)|testing)\b[^()]*\)", re.IGNORECASE)
_PROOFS = {  # method: the property whose domain must be the From domain
    "dmarc": ("header", "from"),
    "dkim": ("header", "d"),
    "spf": ("smtp", "mailfrom"),
}
_CONTRADICTIONS = {"fail", "temperror", "permerror"}


class _StrictHeader(AuthenticationResultsHeader):  # type: ignore[misc]  # authres is untyped
    """authres skips a property it cannot parse and reads on inside it, where a sender's own words
    may stand. Strict makes the whole field malformed instead."""

    def __init__(self, feature_context: Any, **fields: Any) -> None:
        super().__init__(feature_context, **{**fields, "strict": True})


def authenticate(message: Message, sender: str, trusted_ids: Iterable[str]) -> Authentication:
    """Whether the domain of `sender` (the envelope sender) is the From domain and stands proven
    by one of `trusted_ids` (authserv-ids; exact, case does not count).

    A pass is `dmarc=pass` for the From domain, or `dkim=pass` or `spf=pass` (MAIL FROM, never
    HELO) with exactly that domain. A `dmarc` that failed or could not be checked overrules both.
    """
    domain = _from_domain(message)
    if not domain or domain != address_domain(sender):
        return Authentication(detail="From has another domain than the envelope sender")
    fields = message.all("Authentication-Results")
    if not fields:
        return Authentication(detail="no Authentication-Results")
    text = fields[0].raw.strip()
    try:
        header = _parse(text)
        if header.authserv_id not in {name.strip().lower() for name in trusted_ids}:
            return Authentication(detail="topmost Authentication-Results is not from a trusted id")
        return _judge(header.results, domain, testing=bool(_TESTING.search(text)))
    except Exception:  # authres raises its own, and what a deep recursion raises
        return Authentication(detail="topmost Authentication-Results is malformed")


def _from_domain(message: Message) -> str:
    if len(message.all("From")) != 1 or len(message.from_) != 1:
        return ""
    return address_domain(message.from_[0].address)


def _parse(text: str) -> Any:
    if len(text) > MAX_LENGTH:
        raise ValueError("field too long")
    # Many servers end the field with a semicolon, which RFC 8601 §2.2 does not allow for.
    text = text.rstrip().removesuffix(";")
    context = FeatureContext(dmarc, arc)
    return _StrictHeader.parse_value(context, " ".join(text.split()))


def _judge(results: Iterable[Any], domain: str, *, testing: bool) -> Authentication:
    proofs = [result for result in results if result.method in _PROOFS]
    for result in proofs:
        if result.method == "dmarc" and result.result in _CONTRADICTIONS:
            return Authentication(detail=f"dmarc={result.result}")
    for result in proofs:
        if _proves(result, domain, testing=testing):
            return Authentication(passed=True, detail=f"{result.method}=pass for {domain}")
    return Authentication(detail=f"no aligned pass for {domain}")


def _proves(result: Any, domain: str, *, testing: bool) -> bool:
    if result.result != "pass" or result.version not in {None, "1"}:
        return False
    if result.method == "dkim" and (testing or _in_testing(result)):
        return False
    wanted = _PROOFS[result.method]
    values = [item.value for item in result.properties if (item.type, item.name) == wanted]
    # Two values for one property are a contradiction, whichever comes first.
    return len(values) == 1 and _domain_of(values[0]) == domain


def _in_testing(result: Any) -> bool:
    """A key in testing mode (`t=y`, RFC 6376 §3.6.1) proves nothing; some servers say so."""
    reason = (result.reason or "").lower()
    policies = [item for item in result.properties if item.type == "policy"]
    return "test" in reason or any(
        (item.name, (item.value or "").lower()) == ("t", "y") or "test" in item.name
        for item in policies
    )


def _domain_of(value: str | None) -> str:
    return ascii_domain((value or "").rpartition("@")[2])
