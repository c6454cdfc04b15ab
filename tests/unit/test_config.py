"""The configuration: what is read, what is refused, and in which words."""

from __future__ import annotations

import tomllib
from datetime import UTC, time, timedelta
from pathlib import Path

import pytest

from config import ConfigError, load
from config.load import SHIPPED, default_path
from config.settings import Settings
from config.units import Endpoint, Hours, clock, duration, endpoint, hours, size, written


def loaded(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> Settings:
    file = tmp_path / "raincheck.toml"
    file.write_text(text, encoding="utf-8")
    return load(file, environ or {})


def faults(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, text, environ)
    return [str(fault).removeprefix(f"{tmp_path}/") for fault in caught.value.faults]


def test_the_shipped_file_runs_as_it_is_and_is_what_an_empty_one_means(tmp_path: Path) -> None:
    assert load(SHIPPED, {}) == loaded(tmp_path, "")


def test_the_shipped_file_explains_every_key() -> None:
    shown = SHIPPED.read_text(encoding="utf-8")
    for table, field in Settings.model_fields.items():
        for key in getattr(field.annotation, "model_fields", {}):
            assert f"{key} =" in shown, f"[{table}] {key}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", timedelta(seconds=90)),
        ("20m", timedelta(minutes=20)),
        ("24 h", timedelta(hours=24)),
        ("30d", timedelta(days=30)),
        ("2w", timedelta(weeks=2)),
        (90, timedelta(seconds=90)),
        (timedelta(1), timedelta(1)),
    ],
)
def test_durations(text: object, expected: timedelta) -> None:
    assert duration(text) == expected


@pytest.mark.parametrize("text", ["", "soon", "20", "-5m", "5 minutes", -1, True, None, 1.5])
def test_what_is_no_duration(text: object) -> None:
    with pytest.raises(ValueError, match="write a duration"):
        duration(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("25MiB", 25 * 2**20), ("512KiB", 2**19), ("7", 7), (7, 7), ("1 GiB", 2**30)],
)
def test_sizes(text: object, expected: int) -> None:
    assert size(text) == expected


@pytest.mark.parametrize("text", ["", "25MB", "0", "0MiB", -1, 0, True, None])
def test_what_is_no_size(text: object) -> None:
    with pytest.raises(ValueError, match="write a size"):
        size(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:2525", Endpoint("127.0.0.1", 2525)),
        ("[::1]:25", Endpoint("::1", 25)),
        ("mx.example.com:0", Endpoint("mx.example.com", 0)),
        (Endpoint("a", 1), Endpoint("a", 1)),
    ],
)
def test_endpoints(text: object, expected: Endpoint) -> None:
    assert endpoint(text) == expected
    assert endpoint(str(expected)) == expected


@pytest.mark.parametrize(
    "text", ["", "127.0.0.1", ":25", "::1:25", "a:65536", "a:-1", "a:²", 25, None]
)
def test_what_is_no_endpoint(text: object) -> None:
    with pytest.raises(ValueError, match="host and port"):
        endpoint(text)


def test_clock_and_hours() -> None:
    assert clock("08:00") == clock(time(8)) == time(8)
    assert (
        hours("09:00-17:30") == hours(Hours(time(9), time(17, 30))) == Hours(time(9), time(17, 30))
    )


@pytest.mark.parametrize("text", ["8 o'clock", "25:00", "", "08:00+01:00", time(8, tzinfo=UTC)])
def test_what_is_no_clock(text: object) -> None:
    with pytest.raises(ValueError, match="time of day"):
        clock(text)


@pytest.mark.parametrize("text", ["09:00", "17:00-09:00", "", "09:00-late", "09:00-17:00+01:00"])
def test_what_are_no_hours(text: str) -> None:
    with pytest.raises(ValueError, match="09:00-17:00"):
        hours(text)


def test_every_fault_is_said_at_once_with_its_place_and_the_way_out(tmp_path: Path) -> None:
    said = faults(
        tmp_path,
        """
        [relay]
        workers = "many"
        listem = "127.0.0.1:25"
        [thresholds]
        tag = 0.9
        [folder]
        kind = "database"
        [pigeons]
        [[recipients]]
        mach = "ann@example.com"
        """,
    )
    tables = ", ".join(Settings.model_fields)
    assert said == [
        "raincheck.toml: [relay] workers: Input should be a valid integer, unable to parse string"
        + " as an integer",
        "raincheck.toml: [relay] listem: no such key; did you mean listen?",
        "raincheck.toml: [thresholds]: quarantine = 0.8 is below tag = 0.9;"
        + " a mail is held only if it would be tagged",
        "raincheck.toml: [folder] kind: Input should be 'maildir'",
        "raincheck.toml: [[recipients]] no. 1 mach: no such key; did you mean match?",
        f"raincheck.toml: [pigeons]: no such key; there are {tables}",
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[thresholds]\nanswer = 0.4", "answer = 0.4 is below quarantine = 0.8"),
        ("[thresholds]\ntag = 50", "[thresholds] tag: a score lies from 0 to 1"),
        ('[relay]\ntls_key = "k"', "tls_certificate and tls_key together"),
        ('[state]\nurl = "mysql://x"', "SQLite"),
        ('[digest]\ntimezone = "Mars/Olympus"', "Europe/Berlin"),
        ('[digest]\ntimezone = "../etc/passwd"', "Europe/Berlin"),
        ('[answers]\nspacing = "6d"', "[answers] spacing: at least 7d"),
        ('[relay]\ntimeout = "99999999d"', "no longer than 100 years"),
        ("[answers]\ndelay = 99999999999999999999", "no longer than 100 years"),
        ('[relay]\nhostname = "my gateway"', "[relay] hostname: write a host name"),
        ('[relay]\nhostname = "gäteway.example"', "[relay] hostname: write a host name"),
        ('[relay]\nhostname = ""', "[relay] hostname: write a host name"),
        ('[judge]\ntimeout = "0s"', "[judge] timeout: at least 1s"),
        ('[relay]\nclients = ["everyone"]', "[relay] clients.0: write an address or a network"),
        ('[relay]\ndomains = "example.com"', "[relay] domains: write a list"),
        ('[relay]\ndomains = ["@example.com"]', "[relay] domains.0: write a domain"),
        ("[relay]\ndomains = [3]", "[relay] domains.0: write a domain"),
        ("[relay]\ndomains = []", "[relay] domains"),
        ("[relay]\nzzz = 1", "no such key; there are listen, hostname"),
        ('[answers]\nhours = "9-17"', '[answers] hours: write hours as "09:00-17:00"'),
    ],
)
def test_single_faults(tmp_path: Path, text: str, fault: str) -> None:
    assert any(fault in one for one in faults(tmp_path, text)), faults(tmp_path, text)


def test_a_secret_is_never_part_of_a_fault(tmp_path: Path) -> None:
    said = faults(
        tmp_path, '[answers]\nusername = "ann"\npassword = "hunter2"\nmode = "loud"\nx = 1'
    )
    assert said
    assert "hunter2" not in "\n".join(said)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"[relay", "is not valid TOML"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"x = " + b"[" * 5000, "is not valid TOML"),
        (None, "no such file"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, content: bytes | None, fault: str) -> None:
    file = tmp_path / "raincheck.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=fault):
        load(file, {})


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path, {})


def test_the_environment_lies_over_the_file(tmp_path: Path) -> None:
    environ = {
        "RAINCHECK_RELAY__WORKERS": "3",
        "RAINCHECK_RELAY__DOMAINS": '["a.example", "B.example."]',
        "RAINCHECK_ANSWERS__PASSWORD": "12345",
        "RAINCHECK_THRESHOLDS__TAG": "0.6",
        "RAINCHECK_FOLDER__NAME": '"Later"',
        "RAINCHECK_STATE__URL": "sqlite:///[odd].db",
        "RAINCHECK_CONFIG": "ignored here",
        "OTHER__THING": "1",
    }
    settings = loaded(tmp_path, "[relay]\nworkers = 1", environ)
    assert settings.relay.workers == 3
    assert settings.relay.domains == ("a.example", "b.example")
    assert settings.answers.password.get_secret_value() == "12345"
    assert settings.thresholds.tag == 0.6
    assert settings.folder.name == "Later"
    assert settings.state.url == "sqlite:///[odd].db"


def test_a_fault_of_the_environment_names_the_variable(tmp_path: Path) -> None:
    said = faults(tmp_path, "", {"RAINCHECK_DIGEST__AT": "noon", "RAINCHECK_RELAY__DOMAINS": "[x"})
    assert (
        'RAINCHECK_DIGEST__AT: [digest] at: write a time of day as "08:00", without a zone' in said
    )
    assert any(one.startswith("RAINCHECK_RELAY__DOMAINS: [relay] domains") for one in said)


@pytest.mark.parametrize(
    ("text", "variable"),
    [("relay = 5", "RAINCHECK_RELAY__LISTEN"), ("[[recipients]]", "RAINCHECK_RECIPIENTS__X")],
)
def test_a_variable_cannot_set_keys_of_what_is_no_table(
    tmp_path: Path, text: str, variable: str
) -> None:
    (said,) = faults(tmp_path, text, {variable: "x"})
    assert said.startswith(f"{variable}: [")


def test_the_default_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert default_path({"RAINCHECK_CONFIG": "/etc/x.toml"}) == Path("/etc/x.toml")
    assert default_path({}) == SHIPPED
    (tmp_path / "config").mkdir()
    (tmp_path / "config/raincheck.toml").touch()
    assert default_path({}) == Path("config/raincheck.toml")


def test_the_first_matching_recipient_narrows_the_tables(tmp_path: Path) -> None:
    settings = loaded(
        tmp_path,
        """
        [thresholds]
        tag = 0.6
        [[recipients]]
        match = "Ann@example.com"
        name = "Ann"
        thresholds = { quarantine = 0.9 }
        [[recipients]]
        match = "*@example.com"
        answers = { mode = "live" }
        """,
    )
    ann, bob, eve = (
        settings.profile(f"{who}") for who in ("ANN@example.com", "bob@example.com", "e@x")
    )
    assert (ann.name, ann.thresholds.tag, ann.thresholds.quarantine) == ("Ann", 0.6, 0.9)
    assert ann.answers.mode == "shadow"
    assert (bob.answers.mode, bob.thresholds.quarantine) == ("live", 0.8)
    assert (eve.name, eve.thresholds.tag) == ("", 0.6)


@pytest.mark.parametrize(
    "text",
    [
        "recipients = 3",
        "[[recipients]]\nthresholds = 1",
        'recipients = ["x"]',
        "thresholds = 1\n[[recipients]]",
    ],
)
def test_recipients_of_a_wrong_shape_are_faults(tmp_path: Path, text: str) -> None:
    assert faults(tmp_path, text)


def test_a_fault_of_a_recipient_names_its_number(tmp_path: Path) -> None:
    said = faults(tmp_path, "[[recipients]]\n[[recipients]]\nthresholds = { answer = 0.1 }")
    assert said[0].startswith("raincheck.toml: [[recipients]] no. 2 thresholds")


@pytest.mark.parametrize(
    ("client", "allowed"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("192.0.2.1", False),
        ("::ffff:192.0.2.1", False),
        ("fe80::1%eth0", False),
    ],
)
def test_clients(client: str, allowed: bool) -> None:
    assert Settings().relay.allows(client) is allowed


def test_settings_are_written_as_they_are_read(tmp_path: Path) -> None:
    values = {
        table: {
            key: written(getattr(getattr(Settings(), table), key))
            for key in field.annotation.model_fields
        }  # type: ignore[union-attr]
        for table, field in Settings.model_fields.items()
        if hasattr(field.annotation, "model_fields")
    }
    again = Settings.model_validate(
        {table: {k: v for k, v in keys.items() if v is not None} for table, keys in values.items()}
    )
    assert again == Settings()
    assert (
        tomllib.loads(SHIPPED.read_text(encoding="utf-8"))["answers"]["delay"]
        == values["answers"]["delay"]
    )


def test_a_secret_is_masked() -> None:
    settings = Settings.model_validate({"answers": {"password": "hunter2"}})
    assert written(settings.answers.password) == "********"
    assert written(Settings().answers.password) == ""
