"""What renderers call the layers of a frame."""

from __future__ import annotations

import re

# In order of preference: what a renderer made for denoising comes first.
ALBEDO = (
    "denoisingalbedo",
    "denoisealbedo",
    "denoiseralbedo",
    "albedonoiceaux",
    "albedo",
    "alb",
    "diffcol",
    "diffusealbedo",
    "diffusecolor",
    "diffusefilter",
    "diffusefilterinfo",
    "diffusefilterreflection",
    "surfacealbedo",
    "basecolor",
    "sourcecolor",
)
NORMAL = (
    "denoisingnormal",
    "denoisenormal",
    "denoisernormal",
    "nnoiceaux",
    "normal",
    "normals",
    "nrm",
    "n",
    "nn",
    "ns",
    "shnormal",
    "shnormals",
    "shadingnormal",
    "shadingnormals",
    "avgshadingnormal",
    "normalsshading",
    "smoothnormal",
    "smoothnormals",
    "normalssmooth",
    "worldnormal",
    "worldnormals",
    "bumpnormal",
    "bumpnormals",
    "geometricnormal",
    "geometrynormal",
    "normalsgeometry",
)
COLOR = (
    "",
    "combined",
    "beauty",
    "beautyaux",
    "rgba",
    "rgb",
    "rgbcolor",
    "rgbimagepipeline",
    "rgbaimagepipeline",
    "finalimage",
    "radiance",
    "color",
    "colour",
    "image",
    "ci",
    "noisyimage",
)
NOISY, DENOISED = "noisyimage", "combined"
"""Blender keeps the first beside the second where the render was denoised."""
COMPOSITE = "composite"
"""The view layer under which Blender stores what its compositor made of the others."""

_PREFIXES = ("cshading", "cgeometry", "cessential", "vray", "finalimage", "mrq", "pathtracer")
"""What Corona, V-Ray and Unreal put before their names."""

_NO_IMAGE = re.compile(
    r"crypto|denoising|denoised|position|depth|motion|vector|velocity|variance|shadow|mist|"
    r"normal|tangent|objectid|samplecount|^(p|pn|z|uv|id|st)$"
)

_WHERE = ("direct", "indirect", "dir", "ind")
_LIGHT = (
    "diffuse|diff|specular|spec|glossy|gloss|reflection|reflections|reflect|refraction|refractions|"
    "refract|transmission|trans|transmit|translucency|translucent|coat|clearcoat|sheen|sss|sss2|"
    "subsurface|subsurfacescatter|subsurfacescattering|volume|volumetric|volumetrics|"
    "emission|emit|emissive|emitters|selfillumination|selfillum|illumination|caustics|"
    "background|env|environment|sky|atmosphere|lighting|gi|globalillumination|"
    "volumefogemission|volumeemission|hair"
)
_SURFACE = r"(?:diffuse|glossy|specular|coat|sheen|transmission|sss|volume|reflection|refraction)"
_LIGHT_PASS = re.compile(
    rf"(?:{_LIGHT}|(?:total)?(?:{_LIGHT})(?:lighting|{'|'.join(_WHERE)}|1|2)+|direct|indirect|"
    rf"(?:direct|indirect){_SURFACE}(?:reflect|transmit)?|"
    r"lightselect\w*|lightgroup\w*|radiancegroup\w*|combined\w+|rgba\w+|beauty\w+)"
)
_LIT = re.compile(r"(diff|diffuse|gloss|glossy|trans|transmission)(?:dir|ind|direct|indirect)")
"""Cycles stores the light of these without the colour of the surface, which is another layer."""
_LIT_COLOR = {"diff": "col", "gloss": "col", "trans": "col"}


def spelled(name: str) -> str:
    """Spell the last part of a layer's name as the tables do: lower case, letters and digits."""
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    for prefix in _PREFIXES:
        if plain.startswith(prefix) and plain != prefix:
            return plain.removeprefix(prefix)
    return plain


def is_image(key: str) -> bool:
    """Whether a layer of that name may be the picture, and is no data of the scene."""
    return key not in {*ALBEDO, *NORMAL} and not _NO_IMAGE.search(key)


def is_light_pass(key: str) -> bool:
    """Whether a layer of that name is a part of the light of the beauty."""
    return key not in COLOR and is_image(key) and bool(_LIGHT_PASS.fullmatch(key))


def color_of_light(key: str) -> str:
    """Name of the layer that a pass of Cycles is multiplied with; empty for what is light itself.

    Parameters
    ----------
    key
        Such as "diffdir" (then "diffcol") or "glossyindirect" (then "glossycolor").
    """
    found = _LIT.fullmatch(key)
    if found is None:
        return ""
    kind = found.group(1)
    return kind + _LIT_COLOR.get(kind, "color")


_GROUP = re.compile(r"lightselect\w*|lightgroup\w*|radiancegroup\w*|combined\w+|rgba\w+|beauty\w+")
_WHOLE = ("direct", "indirect", "lighting", "totallighting", "gi", "globalillumination")
_OF_THE_SURFACE = re.compile(r"diff|sss|subsurface|translucen")


def is_like_the_beauty(key: str) -> bool:
    """Whether a pass shows all that the beauty does, in some of its light: a light group."""
    return key in _WHOLE or bool(_GROUP.fullmatch(key))


def has_albedo_in_it(key: str) -> bool:
    """Whether the light of a pass was multiplied by the albedo of the surface."""
    return is_like_the_beauty(key) or bool(_OF_THE_SURFACE.search(key))
