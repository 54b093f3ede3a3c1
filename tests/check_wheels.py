"""Whether every compiled dependency can be installed without a compiler: python tests/check_wheels.py

Asks pip for wheels of the compiled packages behind ovito-glassml, for each platform and Python that is
supported. Exit status 1 if one is missing, 2 if the package index cannot be asked.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata

from packaging.markers import Marker
from packaging.specifiers import SpecifierSet

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
#: Tags that current systems of each kind accept.
PLATFORMS = {
    "Linux": tuple(f"manylinux{version}_x86_64" for version in ("2014", "_2_17", "_2_27", "_2_28", "_2_31", "_2_34")),
    "Windows": ("win_amd64",),
    "macOS": ("macosx_11_0_arm64", "macosx_12_0_arm64", "macosx_13_0_arm64", "macosx_14_0_arm64"),
}


def compiled_requirements(extras: Iterable[str] = ("simulate", "train")) -> dict[str, str]:
    """Requirements on packages that are not pure Python, of this package and of what it needs: with their markers."""
    open_requirements = [("ovito-glassml", extra) for extra in ("", *extras)]
    seen, found = set(open_requirements), {}
    while open_requirements:
        name, extra = open_requirements.pop()
        for line in metadata.requires(name) or ():
            requirement, _, marker = (part.strip() for part in line.partition(";"))
            wanted = re.search(r"extra\s*==\s*['\"]([\w.-]+)['\"]", marker)
            dependency = re.match(r"[\w.-]+", requirement).group().lower()
            if (wanted.group(1) if wanted else "") != extra or not is_installed(dependency):
                continue
            if is_compiled(dependency):
                found.setdefault(dependency, (requirement.replace(" ", ""), marker))
            if (dependency, "") not in seen:
                seen.add((dependency, ""))
                open_requirements.append((dependency, ""))
    return dict(sorted(found.values()))


def applies(marker: str, platform: str, python: str) -> bool:
    """Whether a requirement with this marker holds there; its extra is wanted."""
    system = {"Linux": "linux", "Windows": "win32", "macOS": "darwin"}[platform]
    name = re.search(r"extra\s*==\s*['\"]([\w.-]+)['\"]", marker)
    where = {"sys_platform": system, "python_version": python, "extra": name.group(1) if name else ""}
    return not marker or Marker(marker).evaluate(where)


def is_installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def is_compiled(name: str) -> bool:
    tags = re.findall(r"^Tag: (.*)$", metadata.distribution(name).read_text("WHEEL") or "", re.MULTILINE)
    return any(not tag.endswith("none-any") for tag in tags)


def has_wheel(requirement: str, platform: str, python: str) -> bool:
    """Whether the package index lists a wheel that fits.

    Raises
    ------
    ConnectionError
        If pip gives no answer.
    """
    name = re.match(r"[\w.-]+", requirement).group()
    tags = [f"--platform={tag}" for tag in PLATFORMS[platform]]
    where = ["--only-binary=:all:", f"--python-version={python}", *tags]
    command = [sys.executable, "-m", "pip", "index", "versions", name, *where]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    listed = re.search(r"^Available versions: (.*)$", answer.stdout, re.MULTILINE)
    if listed is None and "No matching distribution found" not in answer.stderr:
        raise ConnectionError(answer.stderr.strip().splitlines()[-1])
    versions = listed.group(1).split(", ") if listed else []
    return any(True for _ in SpecifierSet(requirement.removeprefix(name)).filter(versions, prereleases=True))


def main() -> int:
    requirements = compiled_requirements()
    print(f"{len(requirements)} compiled packages: {', '.join(requirements)}")
    asked = [
        (requirement, platform, python)
        for platform in PLATFORMS
        for python in PYTHONS
        for requirement, marker in requirements.items()
        if applies(marker, platform, python)
    ]
    try:
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda question: has_wheel(*question), asked))
    except ConnectionError as error:
        print(f"The package index cannot be asked: {error}")
        return 2
    absent = [question for question, there in zip(asked, found, strict=True) if not there]
    for requirement, platform, python in absent:
        print(f"No wheel of {requirement} for {platform} and Python {python}.")
    print(f"{len(asked) - len(absent)} of {len(asked)} wheels are there.")
    return 1 if absent else 0


if __name__ == "__main__":
    sys.exit(main())
