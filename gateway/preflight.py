"""What can be wrong although the configuration reads well: the model, the templates, the TLS files.

Asked by `config check`, at every start and at every reload, so that all three say the same.
"""

from __future__ import annotations

from classifier import model
from config import ConfigError, Fault, Settings
from gateway.relay import tls
from replies.render import check_templates


def checked(settings: Settings, source: str) -> Settings:
    """The settings, if the gateway could serve with them; else ConfigError with every reason.
    `source` is the file they came from."""
    if problems := [*_model(settings), *_templates(settings), *_tls(settings)]:
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
