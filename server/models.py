"""Which models each role may use: set by an admin, kept in the journal.

The one rule: a role without a list may use all models. A list has full names (`provider/model`) or
whole providers (`provider/*`). Must not import Quart.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from engine import (
    JSON,
    Document,
    Engine,
    Forbidden,
    InvalidRequest,
    ProviderNotConfigured,
    ProviderNotFound,
)
from server.tokens import ROLES

COLLECTION, KEY = "settings", "model_restrictions"
MAX_PATTERNS = 1000
MAX_CHARACTERS = 200

Restrictions = dict[str, list[str] | None]


class Models:
    """What may be used by whom.

    Args:
        engine: where the providers and the journal are.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def restrictions(self) -> Restrictions:
        """Give each role's list; None: all models."""
        document = await self._engine.journal.get(COLLECTION, KEY)
        kept = {} if document is None else document.value
        return {role: kept.get(role) for role in ROLES}

    async def restrict(self, wanted: JSON) -> Restrictions:
        """Set roles' lists; a role that is not named keeps its own.

        Args:
            wanted: for a role a list of `provider/model` or `provider/*`, or None for all.

        Raises:
            InvalidRequest: a role or a name is none.
        """
        faults = [fault for role, names in wanted.items() for fault in _faults(role, names)]
        if faults:
            raise InvalidRequest("; ".join(f"{path} {text}" for path, text in faults[:5]), faults)
        present = {**await self.restrictions(), **wanted}
        await self._engine.journal.put(
            Document(
                collection=COLLECTION, key=KEY, owner="", value=present, updated_at=time.time()
            )
        )
        return present

    async def describe(self, role: str) -> JSON:
        """Give all models, which of them each role may use, and the default one."""
        restrictions = await self.restrictions()
        models = [
            {
                "model": f"{info.name}/{model}",
                "provider": info.name,
                "configured": info.configured,
                "allowed": [
                    each for each in ROLES if _allows(restrictions[each], info.name, model)
                ],
            }
            for info in self._engine.providers.infos()
            for model in info.models
        ]
        provider, model = self._engine.providers.resolve("")
        return {
            "role": role,
            "default": f"{provider.name}/{model}",
            "models": models,
            "restrictions": restrictions,
        }

    async def check(self, role: str, wanted: Iterable[str], *, strict: bool = True) -> None:
        """Let a role use models, or refuse.

        Args:
            role: whose request it is.
            wanted: `provider/model`, a model's name, or "" for the default, as requests name them.
            strict: whether a name that is no model's is refused here; else it is passed over.

        Raises:
            Forbidden: the role may not use one of them.
            ProviderNotFound, ProviderNotConfigured: one of them is not to be had.
        """
        allowed = (await self.restrictions())[role]
        for name in wanted:
            try:
                provider, model = self._engine.providers.resolve(name)
            except (ProviderNotFound, ProviderNotConfigured):
                if strict:
                    raise
                continue
            if not _allows(allowed, provider.name, model):
                raise Forbidden(f"the role {role} may not use the model {provider.name}/{model}")


def _allows(names: list[str] | None, provider: str, model: str) -> bool:
    return names is None or f"{provider}/{model}" in names or f"{provider}/*" in names


def _faults(role: str, names: object) -> list[tuple[str, str]]:
    if role not in ROLES:
        return [(role[:40], f"is no role; roles are {', '.join(ROLES)}")]
    if names is None:
        return []
    if not isinstance(names, list) or len(names) > MAX_PATTERNS:
        return [(role, f"must be null or a list of at most {MAX_PATTERNS} names")]
    return [
        (f"{role}.{place}", "must be provider/model or provider/*")
        for place, name in enumerate(names)
        if not (isinstance(name, str) and "/" in name[1:-1] and len(name) <= MAX_CHARACTERS)
    ]
