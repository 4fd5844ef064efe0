"""The console script `antiphon`: reads flags, and hands over to one module for each command."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from server.commands.bench import bench
from server.settings import BadSetting, Settings, flag_of, load

USAGE = 2
"""Exit code of a wrong flag or setting."""

_NO_FLAGS = ("token", "url", "providers", "source_urls", "jwt_secret", "europeana_key")
"""For clients, for the file alone, or a secret that `ps` would show."""


def _setting_options(*, only: tuple[str, ...] = ()) -> Callable[[Any], Any]:
    """Give a command a flag for each setting, with its default and meaning."""

    def decorate(command: Any) -> Any:
        for name, field in reversed(Settings.model_fields.items()):
            if name in _NO_FLAGS or (only and name not in only):
                continue
            flag = flag_of(name)
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


def _client_options(command: Any) -> Any:
    """Give a command that runs a session what says where, and in which form it is shown."""
    for option in (
        click.option("--config", type=click.Path(path_type=Path), help="The settings' file."),
        click.option(
            "--demo", is_flag=True, default=None, help="Providers without a key are simulated."
        ),
        click.option("--json", "as_json", is_flag=True, help="One JSON message a line."),
        click.option("--url", help="A running server; else the engine runs in this process."),
    ):
        command = option(command)
    return command


@main.command()
@click.argument("file")
@click.option(
    "--type",
    "content_type",
    type=click.Choice(["MCQ", "NMCQ", "SUMMARY"], case_sensitive=False),
    required=True,
)
@click.option("--num-questions", type=int, help="1 to 20.  [default: 5]")
@click.option("--focus-areas", help="What it should be about above all.")
@click.option("--generator-model", help="provider/model, or a model's name.")
@click.option("--formatter-model", help="provider/model, or a model's name.")
@click.option("--max-retries", type=int, help="0 to 5.  [default: 1]")
@_client_options
def content(
    config: Path | None, url: str | None, demo: bool | None, file: str, **options: Any
) -> None:
    """Make exam-ready text of the notes in FILE ("-": standard input)."""
    from server.commands.content import run

    sys.exit(run(_load({"url": url, "demo": demo}, config), file=file, **options))


@main.command()
@click.argument("file")
@click.option("--prompt", help="The rater's prompt.")
@click.option(
    "--rater", "raters", multiple=True, metavar="NAME=PROMPT", help="One of several raters."
)
@click.option("--model", help="provider/model, or a model's name.")
@_client_options
def rate(
    config: Path | None, url: str | None, demo: bool | None, file: str, **options: Any
) -> None:
    """Have a plot point judged: FILE is its text, or a whole request as JSON."""
    from server.commands.rate import run

    sys.exit(run(_load({"url": url, "demo": demo}, config), file=file, **options))


@main.command()
@click.argument("message", required=False)
@click.option("--persona", "personas", multiple=True, metavar="ID", help="Who answers; may repeat.")
@click.option("--debate", type=click.IntRange(1, 5), metavar="N", help="Rounds of a debate.")
@click.option("--synthesis", is_flag=True, help="Merge the answers into one.")
@click.option("--conversation", metavar="ID", help="Go on with a conversation on the server.")
@click.option("--provider", help="Who writes; else the default provider.")
@click.option("--model", help="The provider's model.")
@click.option("--data", help="The folder in whose `personas` your own ones lie.")
@_client_options
def chat(
    config: Path | None, url: str | None, demo: bool | None, data: str | None, **options: Any
) -> None:
    """Talk with one persona or with several; without a message, for as long as you like."""
    from server.commands.chat import run

    if (options["debate"] or options["synthesis"]) and len(options["personas"]) < 2:
        raise click.UsageError("--debate and --synthesis need at least two --persona")
    sys.exit(run(_load({"url": url, "demo": demo, "data": data}, config), **options))


@main.command()
@click.argument("brief", type=click.Path(path_type=Path, dir_okay=False), metavar="BRIEF.json")
@click.option("--max-artists", type=int, help="Artists at most.  [default: 15]")
@click.option("--max-artworks", type=int, help="Works at most.  [default: 50]")
@click.option("--choose", is_flag=True, help="Choose artists and works yourself.")
@click.option("--provider", help="Who writes; else the default provider.")
@click.option("--model", help="The provider's model.")
@click.option("--out", type=click.Path(path_type=Path), help="A file for the proposal's JSON.")
@click.option("--url", help="A running server; else the engine runs in this process.")
@click.option("--json", "as_json", is_flag=True, help="One JSON message a line.")
@click.option("--demo", is_flag=True, default=None, help="Providers without a key are simulated.")
@click.option("--data", help="The folder of the catalogue and of cached answers.")
@click.option("--offline", is_flag=True, default=None, help="Ask the catalogue alone.")
@click.option("--config", type=click.Path(path_type=Path), help="The settings' file.")
def exhibit(
    config: Path | None,
    url: str | None,
    demo: bool | None,
    data: str | None,
    offline: bool | None,
    **options: Any,
) -> None:
    """Curate an exhibition from a brief."""
    from server.commands.exhibit import run

    flags = {"url": url, "demo": demo, "data": data, "offline": offline}
    sys.exit(run(_load(flags, config), **options))


@main.group()
def catalogue() -> None:
    """The embedded catalogue of artists and works."""


@catalogue.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--data", help="The folder of the catalogue.  [default: data]")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a file.")
@click.option("--config", type=click.Path(path_type=Path), help="The settings' file.")
def import_files(
    files: tuple[Path, ...], data: str | None, as_json: bool, config: Path | None
) -> None:
    """Load museums' open-data CSV files (NGA, MoMA, Tate, The Met)."""
    from server.commands.catalogue import run

    sys.exit(run(_load({"data": data}, config), files, as_json=as_json))


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


@main.group()
def users() -> None:
    """Who may come in."""


def _users_options(command: Any) -> Any:
    for option in (
        click.option("--config", type=click.Path(path_type=Path), help="The settings' file."),
        click.option("--data", help="The folder of a journal that no server uses just now."),
        click.option("--url", help="A running server; an admin's token is in ANTIPHON_TOKEN."),
    ):
        command = option(command)
    return command


@users.command("add")
@click.argument("name")
@click.option("--role", type=click.Choice(["admin", "editor"]), required=True)
@click.option("--password-stdin", is_flag=True, help="Read it from standard input.")
@click.option("--replace", is_flag=True, help="A user of this name gets a new password and role.")
@_users_options
def users_add(
    name: str, url: str | None, data: str | None, config: Path | None, **options: Any
) -> None:
    """Add a user; the password is asked for."""
    from server.commands.users import add

    sys.exit(add(_load({"url": url, "data": data}, config), name, **options))


@users.command("list")
@_users_options
def users_list(url: str | None, data: str | None, config: Path | None) -> None:
    """List the users."""
    from server.commands.users import show_all

    sys.exit(show_all(_load({"url": url, "data": data}, config)))


@users.command("remove")
@click.argument("name")
@_users_options
def users_remove(name: str, url: str | None, data: str | None, config: Path | None) -> None:
    """Drop a user."""
    from server.commands.users import remove

    sys.exit(remove(_load({"url": url, "data": data}, config), name))


@main.command()
@click.argument("name")
@click.option("--role", type=click.Choice(["admin", "editor"]), help="For a name that is no user.")
@click.option("--lifetime-s", type=click.FloatRange(min=1), help="[default: 43200]")
@_users_options
def token(
    name: str, url: str | None, data: str | None, config: Path | None, **options: Any
) -> None:
    """Print a bearer token for NAME, signed with ANTIPHON_JWT_SECRET."""
    from server.commands.users import token

    sys.exit(token(_load({"url": url, "data": data}, config), name, **options))


@main.command()
@_setting_options(only=("host", "port", "data", "journal", "redis_url", "demo"))
def doctor(config: Path | None, **flags: Any) -> None:
    """Check the set-up, and say what to do."""
    from server.commands.doctor import run

    sys.exit(run(flags, config))


main.add_command(bench)


def _load(flags: dict[str, Any], config: Path | None) -> Settings:
    try:
        return load(flags, environ=os.environ, config=config)
    except BadSetting as error:
        click.echo(f"antiphon: {error}", err=True)
        sys.exit(USAGE)


if __name__ == "__main__":
    main()
