"""Builds the package for colcon (ament_python) and pip; what it says of itself comes from package.xml."""

from pathlib import Path
from xml.etree import ElementTree

from setuptools import find_packages, setup

MANIFEST = ElementTree.parse(Path(__file__).with_name("package.xml")).getroot()
NAME = MANIFEST.findtext("name")
SHARE = Path("share", NAME)


def installed_tree(folder: str) -> list[tuple[str, list[str]]]:
    """Every file below `folder`, to be installed under the same path in the package's share folder."""
    by_folder: dict[Path, list[str]] = {}
    for file in sorted(Path(folder).rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts:
            by_folder.setdefault(file.parent, []).append(str(file))
    return [(str(SHARE / parent), files) for parent, files in by_folder.items()]


setup(
    name=NAME,
    version=MANIFEST.findtext("version"),
    description=MANIFEST.findtext("description"),
    maintainer=MANIFEST.findtext("maintainer"),
    maintainer_email=MANIFEST.find("maintainer").get("email"),
    license=MANIFEST.findtext("license"),
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    package_data={"step_ros.control": ["*.yaml"], "step_ros.evaluation": ["templates/*"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (str(SHARE), ["package.xml"]),
        *installed_tree("launch"),
        *installed_tree("config"),
        *installed_tree("models"),
    ],
    # rosdep reads package.xml, the pip lane requirements.txt; neither may replace the other's rclpy.
    install_requires=["setuptools"],
    extras_require={"test": ["pytest"], "int8": ["nncf==3.4.0"]},
    python_requires=">=3.10",
    zip_safe=False,
    entry_points={
        "console_scripts": [
            "step_node = step_ros.nodes.step_node:main",
            "mujoco_bridge = step_ros.nodes.mujoco_bridge:main",
            "step-ros = step_ros.cli:main",
        ],
    },
)
