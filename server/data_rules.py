"""[[data_classes]] and [governance] of naiad.toml: checked, and put into the server's own words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from naiad.server import config_rules as rules
from naiad.server import pii
from naiad.server.errors import nearest
from naiad.server.governance import ANY, VENDOR, Governance, vendor_of, zone_rule_broken, zones_in, zones_of
from naiad.server.records import DataClass, ModelPut
from naiad.server.sections import ConfigError, File, shown

_MOST_CLASSES, _MOST_ENTRIES = 64, 1_000
_ZONE_RULE = (
    "letters, digits, '.', '_', '-' and ':', beginning with a letter or digit, at most 64 characters; "
    f"not {ANY!r}, and not beginning with {VENDOR!r}"
)


def zones(file: File, models: Sequence[ModelPut], source: str) -> tuple[str, ...]:
    """Return the zones that models may declare; raises ConfigError for a name that is none, where there are rules.

    Those of callbacks are among them.
    """
    declared = {zone: f"models ({model.name!r}).data_zone" for model in models for zone in sorted(zones_of(model))}
    declared |= {
        zone: f"callbacks.{name}.data_zone"
        for name, section in file.callbacks.items()
        for zone in sorted(zones_in(section.data_zone))
    }
    declared |= {zone: "governance.zones" for zone in file.governance.zones if not zone.startswith(VENDOR)}
    if file.data_classes:
        for zone, key in declared.items():
            if zone_rule_broken(zone):
                raise ConfigError(f"{source}: {key} has {shown(zone)}; a zone is {_ZONE_RULE}")
    elif file.governance.zones:
        raise ConfigError(
            f"{source}: governance.zones is set and there are no [[data_classes]]; add them, or leave it out"
        )
    return tuple(sorted(declared))


def data_classes(file: File, models: Sequence[ModelPut], source: str) -> tuple[DataClass, ...]:
    """Return the classes from open to strict; raises ConfigError."""
    if len(file.data_classes) > _MOST_CLASSES:
        raise ConfigError(
            f"{source}: there are {len(file.data_classes)} [[data_classes]]; at most {_MOST_CLASSES}: merge some"
        )
    known = {ANY, *zones(file, models, source), *file.governance.zones}
    known |= {vendor_of(model) for model in models} | {model.name for model in models}
    found: dict[str, DataClass] = {}
    for index, section in enumerate(file.data_classes):
        where = f"data_classes[{index}] ({section.name!r})"
        rules.name(section.name, 128, where, source)
        if section.name in found:
            raise ConfigError(f"{source}: [[data_classes]] names {section.name!r} twice; names must be unique")
        if len(section.allow) > _MOST_ENTRIES:
            raise ConfigError(
                f"{source}: {where}.allow has {len(section.allow)} entries; at most {_MOST_ENTRIES}: use zones"
            )
        for entry in section.allow:
            if entry not in known:
                raise ConfigError(f"{source}: {where}.allow names {shown(entry)}, {_unknown(entry, known)}")
        found[section.name] = DataClass(
            name=section.name,
            description=rules.description(section.description, f"{where}.description", source),
            allow=tuple(section.allow),
            no_store=section.no_store,
        )
    return tuple(found.values())


def _unknown(entry: str, known: Iterable[str]) -> str:
    what = "a model of [[models]]" if "/" in entry else "a zone of a model or of governance.zones"
    if entry.startswith(VENDOR):
        what = "the provider of a model of [[models]], nor in governance.zones"
    near = nearest(entry, sorted(known))
    remedy = f"did you mean {near!r}?" if near else f"{ANY!r} permits every model"
    return f"which is not {what}; {remedy}"


def known_class(name: str, classes: Sequence[DataClass], key: str, source: str) -> str:
    """Return the name of a configured class, or ""; raises ConfigError. Without classes any name will do."""
    rules.text(name, 128, key, source)
    names = tuple(entry.name for entry in classes)
    return rules.choice(name, names, key, source) if name and names else name


def check_pii(file: File, classes: Sequence[DataClass], source: str) -> None:
    """Raise ConfigError where personal data is to be looked for and cannot be, or raises to no class."""
    key, name = "governance.pii.raises_to", file.governance.pii.raises_to
    if not name:
        return
    if not classes:
        raise ConfigError(
            f"{source}: {key} is {shown(name)} and there are no [[data_classes]]; add them, or leave it out"
        )
    known_class(name, classes, key, source)
    if absent := pii.missing():
        raise ConfigError(f"{source}: {key} is {shown(name)}, but {absent}")


def empty_classes(classes: tuple[DataClass, ...], models: Iterable[ModelPut]) -> Iterator[str]:
    """Yield a sentence for each class that permits none of these models: all its requests will be refused."""
    governance, usable = Governance(classes), [model for model in models if model.composite is None]
    for entry in classes:
        if usable and not any(governance.ground(model, entry.name) for model in usable):
            why = governance.objection(usable[0], entry.name)
            yield (
                f"no model that can be chosen is permitted to data class {entry.name!r}: its requests will be refused "
                f"with NO_ELIGIBLE_MODEL ({usable[0].name}: {why})"
            )


def widened(classes: tuple[DataClass, ...], models: Iterable[ModelPut]) -> Iterator[str]:
    """Yield a sentence for each entry that a more open class takes back."""
    governance = Governance(classes)
    for model in (model for model in models if model.composite is None):
        for entry in classes:
            own = Governance((entry,)).ground(model, entry.name)
            if own and not governance.ground(model, entry.name):
                yield (
                    f"data class {entry.name!r} allows {own!r}, but {model.name} is closed to a more open class, and "
                    "so to it: order [[data_classes]] from open to strict, or allow it there too"
                )
                break
