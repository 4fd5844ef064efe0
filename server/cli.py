"""The console script `antiphon`: reads flags, and hands over to one module for each command."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from server.settings import BadSetting, Settings, load

USAGE = 2
"""Exit code of a wrong flag or setting."""

_NO_FLAGS = ("token", "url", "providers", "jwt_secret")
"""For clients, for the file alone, or a secret that `ps` would show."""


def _setting_options(*, only: tuple[str, ...] = ()) -> Callable[[Any], Any]:
    """Give a command a flag for each setting, with its default and meaning."""

    def decorate(command: Any) -> Any:
        for name, field in reversed(Settings.model_fields.items()):
            if name in _NO_FLAGS or (only and name not in only):
                continue
            flag = f"--{name.replace('_', '-')}"
            shown = "" if field.default in (None, "") else f"  [default: {field.default}]"
            text = (field.description or "") + shown
            if field.annotation is bool:
                option = click.option(flag, name, is_flag=True, default=None, help=text)
            else:
                option = click.option(flag, name, metavar="VALUE", help=text)
            command = option(command)
        return click.option(
            "--config", type=click.Path(path_type=Path), help="The file.  [default: antiphon.toml]"
        )(command)

    return decorate


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="antiphon")
@click.option("--verbose", is_flag=True, help="Log what happens, on stderr.")
def main(verbose: bool) -> None:
    """Antiphon: stream what language models write, and stop it."""
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )


@main.command()
@_setting_options()
def serve(config: Path | None, **flags: Any) -> None:
    """Serve HTTP and WebSockets until SIGTERM; a second one ends it at once."""
    from server.commands.serve import run

    sys.exit(run(_load(flags, config)))


@main.command()
@click.argument("text")
@click.option("--phases", help="Comma-separated: prima-materia, solutio, coagulatio.")
@click.option("--count", type=int, help="How many prompts.  [default: 3]")
@click.option("--parallel", is_flag=True, help="Work on all of them at once.")
@click.option("--auto-select", is_flag=True, help="Let a judge choose one.")
@click.option("--provider", help="Who writes; else the default provider.")
@click.option("--model", help="The provider's model.")
@click.option("--url", help="A running server; else the engine runs in this process.")
@click.option("--json", "as_json", is_flag=True, help="One JSON message a line.")
@click.option("--demo", is_flag=True, default=None, help="Providers without a key are simulated.")
@click.option("--config", type=click.Path(path_type=Path), help="The settings' file.")
def generate(config: Path | None, url: str | None, demo: bool | None, **options: Any) -> None:
    """Refine an idea into prompts (StreamGenerate)."""
    from server.commands.generate import run

    if options["model"] and not options["provider"]:
        raise click.UsageError("--model needs --provider: a model's name belongs to a provider")
    settings = _load({"url": url, "demo": demo}, config)
    sys.exit(run(settings, **options))


def _place_options(command: Any) -> Any:
    """Give a command that looks at sessions what says where they are, and in which form."""
    for option in (
        click.option("--config", type=click.Path(path_type=Path), help="The settings' file."),
        click.option("--json", "as_json", is_flag=True, help="One JSON object a line."),
        click.option("--data", help="The folder of a journal that no server uses just now."),
        click.option("--url", help="A running server; its token is in ANTIPHON_TOKEN."),
    ):
        command = option(command)
    return command


@main.command()
@click.option(
    "--state", type=click.Choice(["queued", "running", "completed", "failed", "cancelled"])
)
@click.option("--protocol", help="generate, content, rater, persona or exhibition.")
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True)
@click.option("--cursor", help="Go on after an earlier page.")
@_place_options
def sessions(
    url: str | None, data: str | None, config: Path | None, as_json: bool, **query: Any
) -> None:
    """List sessions, the newest first."""
    from server.commands.sessions import list_sessions

    wanted = {name: str(value) for name, value in query.items() if value is not None}
    sys.exit(list_sessions(_load({"url": url, "data": data}, config), wanted, as_json=as_json))


@main.command()
@click.argument("session_id", metavar="ID")
@click.option("--after", metavar="E:S", help="Go on after this cursor, <epoch>:<seq>.")
@_place_options
def tail(
    session_id: str,
    after: str | None,
    url: str | None,
    data: str | None,
    config: Path | None,
    as_json: bool,
) -> None:
    """Show a session's messages, and follow it to its end."""
    from server.commands.sessions import tail

    settings = _load({"url": url, "data": data}, config)
    sys.exit(tail(settings, session_id, after, as_json=as_json))


@main.command()
@click.argument("session_id", metavar="ID")
@_place_options
def cancel(
    session_id: str, url: str | None, data: str | None, config: Path | None, as_json: bool
) -> None:
    """Cancel a session."""
    from server.commands.sessions import cancel

    sys.exit(cancel(_load({"url": url, "data": data}, config), session_id, as_json=as_json))


@main.command()
@click.argument("session_id", metavar="ID")
@click.option(
    "--speed",
    type=click.FloatRange(min=0),
    default=1.0,
    show_default=True,
    help="2 is twice as fast; 0 is without a pause.",
)
@_place_options
def replay(
    session_id: str,
    speed: float,
    url: str | None,
    data: str | None,
    config: Path | None,
    as_json: bool,
) -> None:
    """Show a session again, at the pace at which it was written."""
    from server.commands.sessions import replay

    settings = _load({"url": url, "data": data}, config)
    sys.exit(replay(settings, session_id, speed, as_json=as_json))


@main.command()
@_setting_options(only=("host", "port", "data", "journal", "demo"))
def doctor(config: Path | None, **flags: Any) -> None:
    """Check the set-up, and say what to do."""
    from server.commands.doctor import run

    sys.exit(run(flags, config))


def _load(flags: dict[str, Any], config: Path | None) -> Settings:
    try:
        return load(flags, environ=os.environ, config=config)
    except BadSetting as error:
        click.echo(f"antiphon: {error}", err=True)
        sys.exit(USAGE)


if __name__ == "__main__":
    main()
