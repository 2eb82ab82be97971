"""Terms of use: shown, accepted by name and version, and kept with what was fetched."""

from __future__ import annotations

from ..errors import UserError
from .source import Terms


def agreed(name: str, terms: Terms | None, accepted: str = "", permission: str = "") -> str:
    """What the manifest keeps of it. Raises `UserError` when more has to be said first.

    `accepted` is `NAME@VERSION`; `permission` says who granted it and when.
    """
    if terms is None:
        return ""
    version = f"{name}@{terms.version}"
    if accepted and accepted != version:
        raise UserError(f"--accept-terms {accepted}: the terms at hand are {version}: {terms.url}")
    if terms.training == "no" and not (accepted and permission.strip()):
        clauses = "".join(f"\n  {text} ({url})" for text, url in terms.clauses)
        instead = f"\n{terms.instead}" if terms.instead else ""
        raise UserError(
            f"the terms of {name} ({terms.url}, {terms.version}) do not allow training a model:"
            f"{clauses}\nOnly if you hold separate permission, say so: "
            f'--accept-terms {version} --permission "who granted it, when"; by that you assert '
            f"that you hold it, and the manifest keeps it.{instead}"
        )
    said = "accepted" if accepted else f"training: {terms.training}"
    granted = f"; permission asserted: {permission.strip()}" if permission.strip() else ""
    return f"{version} ({terms.url}): {said}{granted}"
