"""The augmentations by name, their groups, and the sets that the paper compares.

Karras et al. 2020b, section 2.2 and appendix B: 18 transformations in six groups. `rotate`
names two of them (before and after `aniso`), `imgfilter` four (one per band).
"""

from __future__ import annotations

GROUPS: dict[str, tuple[str, ...]] = {
    "blit": ("xflip", "rotate90", "xint"),
    "geom": ("scale", "rotate", "aniso", "xfrac"),
    "color": ("brightness", "contrast", "lumaflip", "hue", "saturation"),
    "filter": ("imgfilter",),
    "noise": ("noise",),
    "cutout": ("cutout",),
}

NAMES: tuple[str, ...] = tuple(name for group in GROUPS.values() for name in group)


def _union(*groups: str) -> tuple[str, ...]:
    return tuple(name for group in groups for name in GROUPS[group])


PRESETS: dict[str, tuple[str, ...]] = {
    **GROUPS,
    "bg": _union("blit", "geom"),
    "bgc": _union("blit", "geom", "color"),
    "bgcf": _union("blit", "geom", "color", "filter"),
    "bgcfn": _union("blit", "geom", "color", "filter", "noise"),
    "bgcfnc": _union("blit", "geom", "color", "filter", "noise", "cutout"),
}
