"""Finds the providers: every module `channels.providers.<company>.<provider>.adapter` or `….adapter` with `ADAPTER`."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

import channels.providers
from base.errors import NotFound
from channels.adapter import Adapter, Card, Http


def adapter_classes() -> dict[str, type[Adapter]]:
    """Provider name → its adapter class, found by walking the folder. A name that stands twice is an error."""
    found: dict[str, type[Adapter]] = {}
    for module_name in _adapter_modules():
        adapter: type[Adapter] = importlib.import_module(module_name).ADAPTER
        name = adapter.card.provider
        if name in found:
            raise RuntimeError(f"two providers are called {name}")
        found[name] = adapter
    return dict(sorted(found.items()))


def _adapter_modules() -> Iterator[str]:
    walk = pkgutil.walk_packages(channels.providers.__path__, "channels.providers.")
    return (module.name for module in walk if module.name.rsplit(".", 1)[1] == "adapter")


class Registry:
    """One adapter instance per provider, sharing the outbound client."""

    def __init__(self, http: Http, classes: dict[str, type[Adapter]] | None = None) -> None:
        self._adapters = {name: cls(http) for name, cls in (classes or adapter_classes()).items()}

    def get(self, provider: str) -> Adapter:
        """The adapter, or `NotFound`."""
        adapter = self._adapters.get(provider)
        if adapter is None:
            raise NotFound(f"There is no provider called {provider!r}.")
        return adapter

    def cards(self) -> list[Card]:
        """All cards, by name."""
        return [adapter.card for adapter in self._adapters.values()]

    def looking_up(self) -> frozenset[str]:
        """Providers that can be asked who somebody is."""
        return frozenset(name for name, each in self._adapters.items() if type(each).lookup is not Adapter.lookup)

    def telling_of_reading(self) -> frozenset[str]:
        """Providers that tell when a message was read."""
        return frozenset(name for name, each in self._adapters.items() if each.capabilities.read_receipts)

    async def close(self) -> None:
        """Close every adapter's connections."""
        for adapter in self._adapters.values():
            await adapter.close()
