"""Mails written for the tests: hard sells, and what people really write. All domains are
reserved ones. Each comes as the octets a client sends, with CRLF throughout."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

MONDAY = datetime(2024, 6, 3, 10, 30, tzinfo=timezone(timedelta(hours=2)))

PITCHES = {
    "Increase your website traffic - SEO services at an affordable price": """\
Dear Sir/Madam,

We are a leading SEO and web development agency. I was going through your website and noticed
several errors that prevent it from ranking on the first page of Google. We offer affordable SEO
packages, link building and social media marketing that will increase your traffic and sales.

Act now: sign up before Friday and get the first month free! May I send you a no-obligation quote
and a free audit report? Just reply with your phone number and the best time to call.

Kind regards,
Maya Collins
SEO Consultant, RankTop Digital
""",
    "Quick call this week?": """\
Hi there,

I came across your company and was really impressed. We help businesses like yours book 30+
qualified sales meetings every month, guaranteed, or you don't pay. Our clients have seen a 312%
increase in pipeline within 90 days.

I'd love to jump on a quick 15-minute call this week to show you how we can do the same for you.
Are you available Tuesday at 2pm or Wednesday at 10am? You can also book a slot directly on my
calendar: https://calendar.growthrocket.example/demo

Looking forward to connecting!

Brad Sterling
Senior Business Development Manager, GrowthRocket
""",
    "Re: following up on my last email": """\
Hi again,

I just wanted to bump this to the top of your inbox. I know you're busy, so I'll keep it short:
our AI-powered lead generation platform will double your revenue, and for this month only I can
offer you an exclusive 40% discount on the annual plan.

I've put you down for a free demo on Thursday at 11. If that doesn't work, just reply with a time
that does. If you are not the right person, who on your team handles growth and marketing?

Best regards,
Chad Keller
Account Executive, LeadBlaster Solutions
https://www.leadblaster.example/book-a-demo
""",
}

ORDINARY = {
    "Lunch on Thursday": """\
Hi Ann,

are we still on for Thursday? I could do half past twelve at the small place by the river, the one
where Tom spilled the soup. Bring the photos of the boat if you find them.

See you,
Greta
""",
    "Question about invoice 4711": """\
Good morning,

on the invoice of 28 May the delivery address is still our old warehouse. Could you send us a
corrected one? The amount is right and we will pay on time as always.

Thank you and kind regards,
Ines Marten
Marten Metallbau
""",
    "Minutes of yesterday's meeting": """\
Hello all,

the minutes are below. We agreed to move the release to the 14th, Jonas rewrites the importer and
Olga asks the customer in Ghent about the missing fields. Please tell me by tonight if I got
something wrong.

1. Importer: the old code stays until the new one has run a week beside it.
2. Fields: we need the answer before we can close the ticket.
3. Holidays: Pavel is away from the 17th.

Jonas
""",
    "Das Fahrrad ist fertig": """\
Lieber Bob,

dein Rad ist fertig, die Bremse hinten ist neu und die Kette auch. Du kannst es morgen ab acht
Uhr abholen. Die Rechnung liegt dann bei, es sind wie besprochen 85 Euro.

Viele Grüße aus der Werkstatt
Uwe
""",
}


def letter(
    subject: str,
    text: str,
    *,
    sender: str = "brad@growthrocket.example",
    to: str = "ann@example.com",
    unique: str = "",
    date: datetime = MONDAY,
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """One mail. `unique` names it, in its Message-ID and in a field of its own."""
    name = unique or f"{abs(hash((subject, sender, to))):x}"
    fields = {
        **(headers or {}),
        "Date": format_datetime(date),
        "From": sender,
        "To": to,
        "Subject": subject,
        "Message-ID": f"<{name}@mail.{sender.partition('@')[2]}>",
        "X-Test-Id": name,
        "MIME-Version": "1.0",
        "Content-Type": "text/plain; charset=utf-8",
        "Content-Transfer-Encoding": "7bit" if text.isascii() else "8bit",
    }
    head = "".join(f"{key}: {value}\n" for key, value in fields.items())
    return f"{head}\n{text}".encode().replace(b"\n", b"\r\n")


def pitch(number: int = 0, **given: object) -> bytes:
    """A hard sell."""
    subject, text = list(PITCHES.items())[number % len(PITCHES)]
    return letter(subject, text, **given)  # type: ignore[arg-type]


def ordinary(number: int = 0, **given: object) -> bytes:
    """A mail nobody should ever lose."""
    subject, text = list(ORDINARY.items())[number % len(ORDINARY)]
    return letter(subject, text, **({"sender": "greta@friends.example"} | given))  # type: ignore[arg-type]


def name_of(content: bytes) -> str:
    """What `letter` named it, wherever it has been since."""
    for line in content.splitlines():
        if line.startswith(b"X-Test-Id: "):
            return line.partition(b": ")[2].decode()
    raise AssertionError(f"no X-Test-Id in {content[:300]!r}")


def mixed(count: int) -> list[bytes]:
    """So many mails, each named by its number: sells and ordinary ones in the shapes that mail
    comes in. The same ones every time."""
    return [_SHAPES[number % len(_SHAPES)](number) for number in range(count)]


def _plain_pitch(number: int) -> bytes:
    return pitch(number, unique=f"m{number}")


def _plain_ordinary(number: int) -> bytes:
    return ordinary(number, unique=f"m{number}")


def _alternative(number: int) -> bytes:
    subject, text = list(PITCHES.items())[number % len(PITCHES)]
    paragraphs = "".join(f"<p>{part}</p>\n" for part in text.split("\n\n"))
    body = (
        f"--=_b{number}\nContent-Type: text/plain; charset=utf-8\n\n{text}\n"
        f"--=_b{number}\nContent-Type: text/html; charset=utf-8\n\n<html><body>\n{paragraphs}"
        f"</body></html>\n--=_b{number}--\n"
    )
    return _typed(number, subject, f'multipart/alternative; boundary="=_b{number}"', body)


def _attachment(number: int) -> bytes:
    lines = "".join("JVBERi0xLjQKJeLjz9MKMSAwIG9iago8PC9UeXBlL0NhdGFsb2c+PgplbmRvYmoK\n" * 40)
    body = (
        f"--=_a{number}\nContent-Type: text/plain\n\nHello Ann,\n\nthe drawing is attached.\n\n"
        f"--=_a{number}\nContent-Type: application/pdf; name=drawing.pdf\n"
        f"Content-Transfer-Encoding: base64\n\n{lines}--=_a{number}--\n"
    )
    return _typed(number, "The drawing", f'multipart/mixed; boundary="=_a{number}"', body)


def _dots_and_long_lines(number: int) -> bytes:
    body = f".\n..\n.leading dot\n{'long ' * 199}\n\n\t \ntrailing blanks   \n.\n"
    return _typed(number, "Dots", "text/plain; charset=us-ascii", body)


def _latin1(number: int) -> bytes:
    plain = _typed(number, "Gruesse", "text/plain; charset=iso-8859-1", "Sch\x00ne Gr\x01sse!\n")
    return plain.replace(b"\x00", b"\xf6").replace(b"\x01", b"\xfc")


def _newsletter(number: int) -> bytes:
    return letter(
        f"Garden club news {number}",
        "The plant swap is on the 9th, from ten o'clock, behind the town hall. Bring labels.\n",
        sender="news@garden-club.example",
        unique=f"m{number}",
        headers={"List-Id": "<news.garden-club.example>", "Precedence": "bulk"},
    )


def _empty(number: int) -> bytes:
    return _typed(number, "", "text/plain", "")


def _typed(number: int, subject: str, kind: str, body: str) -> bytes:
    plain = letter(subject, body, sender="greta@friends.example", unique=f"m{number}")
    return plain.replace(b"text/plain; charset=utf-8", kind.encode(), 1)


_SHAPES = (
    _plain_pitch,
    _plain_ordinary,
    _alternative,
    _attachment,
    _plain_pitch,
    _dots_and_long_lines,
    _plain_ordinary,
    _latin1,
    _newsletter,
    _empty,
)
