"""The parts that make the tree a ROS 2 package agree with each other and with the code."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import runpy
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest
import setuptools

import step_ros
from step_ros import paths

ROOT = Path(__file__).parent.parent
INSTALLED = ("launch", "config", "models")
ROS_PACKAGE = re.compile(r"^(rclpy|launch|launch_ros|\w+_(msgs|srvs|interfaces))$")


@pytest.fixture(scope="module")
def manifest() -> ElementTree.Element:
    return ElementTree.parse(ROOT / "package.xml").getroot()


@pytest.fixture(scope="module")
def setup_arguments() -> dict:
    """What setup.py hands to setuptools."""
    given: dict = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(setuptools, "setup", lambda **arguments: given.update(arguments))
        patch.chdir(ROOT)
        runpy.run_path("setup.py")
    return given


def imported_packages(*folders: str) -> set[str]:
    """Top-level names that the Python files below some folders import."""
    names: set[str] = set()
    for file in (file for folder in folders for file in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                names.update(alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names.add(node.module.split(".")[0])
    return names


def test_the_version_is_the_same_everywhere(manifest: ElementTree.Element, setup_arguments: dict) -> None:
    newest_change = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest_change is not None
    assert (
        manifest.findtext("version")
        == setup_arguments["version"]
        == step_ros.__version__
        == newest_change.group(1)
    )


def test_the_manifest_declares_an_ament_python_package(manifest: ElementTree.Element) -> None:
    assert manifest.get("format") == "3"
    assert manifest.findtext("name") == "step_ros"
    assert manifest.findtext("export/build_type") == "ament_python"
    assert manifest.findtext("license") == "Apache-2.0"


def test_every_ros_package_that_is_imported_is_a_run_dependency(manifest: ElementTree.Element) -> None:
    listed = {element.text for element in manifest.findall("exec_depend")}
    imported = {name for name in imported_packages("step_ros", "launch") if ROS_PACKAGE.match(name)}
    assert imported, "no import of a ROS package was found"
    assert imported <= listed


def test_every_shared_file_is_installed_under_its_own_path(setup_arguments: dict) -> None:
    installed = {
        str(Path(target, Path(file).name))
        for target, files in setup_arguments["data_files"]
        for file in files
    }
    shared = {
        str(Path("share/step_ros", file.relative_to(ROOT)))
        for folder in INSTALLED
        for file in (ROOT / folder).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert shared <= installed
    assert {"share/step_ros/package.xml", "share/ament_index/resource_index/packages/step_ros"} <= installed


def test_every_python_package_is_installed(setup_arguments: dict) -> None:
    rooms = {
        ".".join(init.parent.relative_to(ROOT).parts) for init in (ROOT / "step_ros").rglob("__init__.py")
    }
    assert rooms == set(setup_arguments["packages"])


def test_every_file_of_the_package_that_is_not_python_is_package_data(setup_arguments: dict) -> None:
    covered = {
        file
        for package, patterns in setup_arguments["package_data"].items()
        for pattern in patterns
        for file in ROOT.joinpath(*package.split(".")).glob(pattern)
    }
    others = {
        file
        for file in (ROOT / "step_ros").rglob("*")
        if file.is_file() and file.suffix not in {".py", ".pyc"}
    }
    assert others <= covered


def test_every_executable_has_its_main_function(setup_arguments: dict) -> None:
    for entry in setup_arguments["entry_points"]["console_scripts"]:
        module, function = entry.split("=")[1].strip().split(":")
        assert callable(getattr(importlib.import_module(module), function)), entry


def test_shared_files_are_found_in_the_source_tree() -> None:
    assert paths.share_path("config", "step.yaml") == ROOT / "config" / "step.yaml"


def test_shared_files_are_found_in_an_install_prefix(tmp_path: Path) -> None:
    site = tmp_path / "lib" / "python3" / "site-packages" / "step_ros"
    share = tmp_path / "share" / "step_ros"
    site.mkdir(parents=True)
    share.mkdir(parents=True)
    shutil.copy(ROOT / "package.xml", share)
    assert copied_paths_module(site).share_path("models") == share / "models"


def test_a_missing_share_folder_is_an_error_that_says_where_it_was_sought(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=re.escape(str(tmp_path))):
        copied_paths_module(tmp_path).share_path("models")


def copied_paths_module(folder: Path):
    """paths.py as it would be imported from `folder`."""
    file = shutil.copy(paths.__file__, folder)
    spec = importlib.util.spec_from_file_location("copied_paths", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
