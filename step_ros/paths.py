"""Where configuration, launch files and shipped policies are, in the source tree or installed."""

from __future__ import annotations

from pathlib import Path


def share_path(*parts: str) -> Path:
    """Return the path of a shared file or folder, such as `share_path("models", "policies", "pick_place")`.

    The share folder is the one that holds package.xml: the repository when the package runs from source
    (editable or symlink install), else `<prefix>/share/step_ros` of the prefix it is installed in.

    Raises:
        FileNotFoundError: the package was installed without its share folder.
    """
    here = Path(__file__).resolve()
    for folder in here.parents:
        for share in (folder, folder / "share" / "step_ros"):
            if (share / "package.xml").is_file():
                return share.joinpath(*parts)
    raise FileNotFoundError(f"no folder above {here} holds package.xml or share/step_ros/package.xml")
