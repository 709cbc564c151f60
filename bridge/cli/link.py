"""`link` and `unlink`: walk a plug-in's steps with a person at a terminal."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from bridge.cli.workplace import Workplace, opened_sessions
from bridge.errors import Refused, SettingsInvalid

if TYPE_CHECKING:
    from bridge.contracts import Step
    from bridge.credentials import Linked, PendingAuthorisation, Walk
    from bridge.engine.registry import AdapterClass, ReaderClass
    from bridge.settings import PlugInSettings, ProfileSettings

TRIES = 5
UPLOAD = "upload"
"""The table of the transport `http`, which alone needs a link."""
_SHORT = {"carelink": "carelink-cloud"}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(link)
    app.command()(unlink)


def link(
    context: typer.Context,
    what: Annotated[str, typer.Argument(help="carelink, nightscout, tidepool, or another plug-in's name.")],
    profile: Annotated[str | None, typer.Option(help="Whose it is: profile id or name.")] = None,
    label: Annotated[str | None, typer.Option("--as", help="Name for a second destination of a kind.")] = None,
    answer: Annotated[list[str] | None, typer.Option(help="key=value: answers a step without asking.")] = None,
    option: Annotated[list[str] | None, typer.Option("--set", help="key=value: a plug-in setting.")] = None,
) -> None:
    """Grant access to a source or destination; asks step by step."""
    asyncio.run(_link(context.obj, _SHORT.get(what, what), profile, label, _pairs(answer), _pairs(option)))


async def _link(
    place: Workplace, name: str, wanted: str | None, label: str | None, given: dict[str, str], options: dict[str, str]
) -> None:
    from bridge.credentials import Walk

    settings = place.settings()
    profile = place.person(wanted, settings)
    group, plugin = _plugin(name)
    if plugin.linking is None:
        raise SettingsInvalid(f"{name} needs no link.", next_step="Plug the device in: `glucobridge devices`.")
    table = label or name
    credential = f"{profile}-{table}"
    known = _known(settings.profiles[profile], group, table)
    own = {**(known.own if known else {}), **options}
    async with opened_sessions(place, settings) as sessions:
        walk = Walk(credential, plugin.linking, {"installation": settings.installation, **own}, sessions)
        try:
            linked = await _walked(walk, given)
        finally:
            await walk.close()
    _write(place, profile, group, table, name, credential, {**own, **linked.settings})
    print(linked.summary)
    for display, theirs in linked.others.items():
        other = f"p{secrets.token_hex(4)}"
        _write(place, other, group, table, name, credential, {**own, **theirs}, display)
        print(f"{display} is profile {other}: link destinations with --profile {other}.")


def _known(person: ProfileSettings, group: str, table: str) -> PlugInSettings | None:
    if group == UPLOAD:
        return person.upload
    found: PlugInSettings | None = getattr(person, group).get(table)
    return found


async def _walked(walk: Walk, given: dict[str, str]) -> Linked:
    from bridge.contracts import Step
    from bridge.credentials import Linked, PendingAuthorisation

    refusals = 0
    while True:
        try:
            asked = await walk.step()
            if isinstance(asked, Linked):
                return asked
            key = asked.key if isinstance(asked, Step) else "redirect"
            if isinstance(asked, PendingAuthorisation) and asked.receivable and key not in given:
                print(asked.prompt, asked.url, sep="\n\n")
                await walk.receive()
            else:
                walk.answer(key, given.pop(key) if key in given else _ask(asked))
        except Refused as error:
            refusals += 1
            if refusals >= TRIES:
                raise
            print(error)


def _ask(asked: Step | PendingAuthorisation) -> str:
    from bridge.contracts import Step

    if not isinstance(asked, Step):
        print(asked.prompt, asked.url, sep="\n\n", end="\n\n")
        return str(typer.prompt("Address"))
    for choice, text in asked.choices.items():
        print(f"  {choice}: {text}")
    return str(typer.prompt(asked.prompt, hide_input=asked.secret))


def _plugin(name: str) -> tuple[str, ReaderClass | AdapterClass]:
    from bridge.engine.registry import ADAPTERS, READERS, adapter_class, names, reader_class

    if name == UPLOAD:
        from bridge.uploader import HttpTransport

        return UPLOAD, cast(Any, HttpTransport)
    if name in names(READERS):
        return "readers", reader_class(name)
    if name in names(ADAPTERS):
        return "destinations", adapter_class(name)
    known = ", ".join([*names(READERS), *names(ADAPTERS), UPLOAD])
    raise SettingsInvalid(f"There is nothing named {name!r} to link.", next_step=f"Known are: {known}.")


def _write(
    place: Workplace,
    profile: str,
    group: str,
    table: str,
    plugin: str,
    credential: str,
    own: Mapping[str, Any],
    display: str | None = None,
) -> None:
    """Put the plug-in's table into the settings file, leaving a person's comments as they are."""
    import tomlkit

    document = tomlkit.parse(place.settings_file.read_text("utf-8"))
    node: Any = document
    for part in ("profiles", profile, group, table) if group != UPLOAD else ("profiles", profile, UPLOAD):
        if part not in node:
            node[part] = tomlkit.table()
        node = node[part]
    if display is not None:
        document["profiles"][profile]["name"] = display
    if group == UPLOAD:
        node["transport"] = "http"
    elif plugin != table:
        node["plugin"] = plugin
    node["credential"] = credential
    for key, value in own.items():
        if value is not None:
            node[key] = value
    place.settings_file.write_text(tomlkit.dumps(document), "utf-8")
    place.settings()


def unlink(
    context: typer.Context,
    what: Annotated[str, typer.Argument(help="carelink, nightscout, tidepool, or the destination's name.")],
    profile: Annotated[str | None, typer.Option(help="Whose it is.")] = None,
    force: Annotated[bool, typer.Option(help="Forget it even when the provider cannot be reached.")] = False,
) -> None:
    """Revoke access at the provider and forget the credential. Data stays where it is."""
    asyncio.run(_unlink(context.obj, _SHORT.get(what, what), profile, force))


async def _unlink(place: Workplace, table: str, wanted: str | None, force: bool) -> None:
    from bridge.credentials import unlink as revoke

    settings = place.settings()
    profile = place.person(wanted, settings)
    person = settings.profiles[profile]
    group = UPLOAD if table == UPLOAD else "readers" if table in person.readers else "destinations"
    known = _known(person, group, table)
    if known is None or known.credential is None:
        raise SettingsInvalid(f"{table!r} is not linked for {profile}.", next_step="See `glucobridge status`.")
    _, plugin = _plugin(known.plugin or table)
    if plugin.linking is None:
        raise SettingsInvalid(f"{table!r} has no link to take back.", next_step="See `glucobridge devices unbind`.")
    async with opened_sessions(place, settings) as sessions:
        said = await revoke(known.credential, plugin.linking, known.own, sessions, force=force)
    _forget(place, profile, group, table)
    print(said or f"{table} is no longer linked.")


def _forget(place: Workplace, profile: str, group: str, table: str) -> None:
    import tomlkit

    document = tomlkit.parse(place.settings_file.read_text("utf-8"))
    person: Any = document["profiles"][profile]
    if group == UPLOAD:
        del person[UPLOAD]
    else:
        del person[group][table]
    place.settings_file.write_text(tomlkit.dumps(document), "utf-8")


def _pairs(texts: list[str] | None) -> dict[str, str]:
    pairs = {}
    for text in texts or ():
        key, equals, value = text.partition("=")
        if not equals:
            raise SettingsInvalid(f"{key!r} is not key=value.")
        pairs[key] = value
    return pairs
