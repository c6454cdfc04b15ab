"""What can be wrong although the configuration reads well: the model, the templates, the TLS files.

Asked by `config check`, at every start and at every reload, so that all three say the same.
"""

from __future__ import annotations

import os
from pathlib import Path

from classifier import model
from config import ConfigError, Fault, Settings
from gateway.relay import tls
from replies.render import check_templates


def checked(settings: Settings, source: str) -> Settings:
    """The settings, if the gateway could serve with them; else ConfigError with every reason.
    `source` is the file they came from."""
    problems = [*_model(settings), *_templates(settings), *_tls(settings), *_places(settings)]
    if problems:
        raise ConfigError(tuple(Fault(source, "", problem) for problem in problems))
    return settings


def _model(settings: Settings) -> list[str]:
    try:
        model.verify(settings.judge.model)
    except model.ModelError as error:
        return [str(error)]
    return []


def _templates(settings: Settings) -> list[str]:
    folders = {settings.answers.templates, *(one.answers.templates for one in settings.recipients)}
    return [problem for folder in sorted(folders) for problem in check_templates(folder)]


def _tls(settings: Settings) -> list[str]:
    problems = []
    try:
        tls.server_context(settings.relay)
    except tls.TlsError as error:
        problems.append(str(error))
    try:
        tls.client_context(settings.next_hop)
    except tls.TlsError as error:
        problems.append(str(error))
    return problems


def _places(settings: Settings) -> list[str]:
    """The directories that are written to, as far as that can be told without making them."""
    places = {
        "[state] url": Path(settings.state.url.removeprefix("sqlite:///")).parent,
        "[folder] path": settings.folder.path,
    }
    if settings.next_hop.kind == "maildir":
        places["[next_hop] path"] = settings.next_hop.path
    return [
        f"{key}: {str(place)!r} cannot be written to by this user; give another directory, or "
        "change its owner"
        for key, place in places.items()
        if not _writable(place)
    ]


def _writable(place: Path) -> bool:
    there = next(one for one in (place.absolute(), *place.absolute().parents) if one.exists())
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


def notes(settings: Settings) -> list[str]:
    """What is allowed, and probably not meant."""
    modes = {settings.answers.mode, *(one.answers.mode for one in settings.recipients)}
    found = []
    if "live" in modes and not settings.relay.authserv_ids:
        found.append('[answers] mode is "live", but [relay] authserv_ids is empty: nothing is sent')
    if any(network.prefixlen == 0 for network in settings.relay.clients):
        found.append("[relay] clients allows everybody to hand us mail")
    return found
