"""The published set, as one file describes it: what is made, by which commands, and what each run needs."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from step_ros.evaluation.comparison.errors import ReportError
from step_ros.evaluation.variants import parse_variant
from step_ros.paths import share_path
from step_ros.policy.errors import ConfigError

SEED = 0
"""First seed of every published run."""


@dataclass(frozen=True)
class Step:
    """Commands of `step-ros` that make something a run needs, or a result of their own.

    Attributes:
        name: as others need it.
        commands: words of each command.
        makes: files or folders that are there afterwards.
        needs: names of steps that come first.
        complete: a key that each of `makes`, JSON files, has once it is finished, or a mapping that it holds
            by then; "" if there is none.
    """

    name: str
    commands: tuple[tuple[str, ...], ...]
    makes: tuple[Path, ...]
    needs: tuple[str, ...] = ()
    complete: str | Mapping[str, object] = ""

    def completes(self, content: Mapping[str, object]) -> bool:
        """Whether the content of one of `makes` says that it is finished."""
        return self.complete in content if isinstance(self.complete, str) else _holds(content, self.complete)


@dataclass(frozen=True)
class Run:
    """One run of `step-ros eval`.

    Attributes:
        name: of its JSON file, without `.json`.
        title: for readers.
        task, checkpoint, servo, engine: as for `evaluate`.
        episodes, agreement: how many, of every method.
        methods: what readers call each variant's word, in the order of the tables.
        paper: row (method, steps) of the paper's tables by variant's word.
        baseline: variant's word that differences are taken to.
        needs: names of steps.
        pending: names of methods that wait for a search to say what they are.
        max_ticks: None, or where smoke runs end.
        ablation: it is about the parts and settings of STEP; reports show it apart.
    """

    name: str
    title: str
    task: str
    checkpoint: Path
    servo: str
    episodes: int
    agreement: int
    methods: Mapping[str, str]
    paper: Mapping[str, tuple[str, str]]
    baseline: str
    needs: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()
    engine: str = "auto"
    max_ticks: int | None = None
    ablation: bool = False

    @property
    def names(self) -> dict[str, str]:
        """What readers call each method, by its label in results."""
        return {parse_variant(word).label: name for word, name in self.methods.items()}

    @property
    def paper_rows(self) -> dict[str, tuple[str, str]]:
        """Rows of the paper's tables by label in results."""
        return {parse_variant(word).label: row for word, row in self.paper.items()}


@dataclass(frozen=True)
class Plan:
    """Steps and runs by name, in the order of the file, and the names that a size is content with."""

    steps: Mapping[str, Step] = field(default_factory=dict)
    runs: Mapping[str, Run] = field(default_factory=dict)
    only: tuple[str, ...] = ()

    @property
    def results(self) -> list[str]:
        """What is made: all runs and the steps that nothing else needs, unless the size names some."""
        if self.only:
            return list(self.only)
        needed = {need for part in (*self.steps.values(), *self.runs.values()) for need in part.needs}
        return [*self.runs, *(name for name in self.steps if name not in needed)]


def read_plan(file: Path, size: str, out: Path, work: Path) -> Plan:
    """Read a description such as `config/results.yaml`.

    Texts may hold {out} (runs), {results} (the folder around it), {tuning} (searches, beside them),
    {work} (data and checkpoints), {policies} (those that are shipped), every name of the size and those that
    a step or run says it is made `with`. A step `like` a template has what it does not say itself from there.
    A method is a variant's word, or the `search` whose best it is.

    Args:
        size: one of the file's `sizes`, such as `full` or `smoke`.
        out, work: folders.

    Raises:
        ReportError: not such a file, an unknown size, method, need or placeholder, or a name used twice.
    """
    try:
        content = yaml.safe_load(file.read_text())
        sizes = content["sizes"]
        if size not in sizes:
            raise ReportError(f"{file}: size is {size!r}; accepted: {', '.join(sizes)}")
        folders = {"out": out, "results": out.parent, "tuning": out.parent / "tuning", "work": work}
        values = {**sizes[size], **folders, "policies": share_path("models", "policies")}
        templates = content.get("templates", {})
        steps = {
            name: _step(name, step, templates, values) for name, step in content.get("steps", {}).items()
        }
        sets = content.get("methods", {})
        runs = {name: _run(name, run, sets, values) for name, run in content["runs"].items()}
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError, ConfigError) as error:
        raise ReportError(f"{file}: found {error!r}; accepted: as in config/results.yaml") from None
    for part in (*steps.values(), *runs.values()):
        unknown = sorted(set(part.needs) - set(steps))
        if unknown:
            raise ReportError(f"{file}: {part.name} needs {', '.join(unknown)}; accepted: {', '.join(steps)}")
    return Plan(steps, runs, tuple(sizes[size].get("only", ())))


def _holds(found: object, wanted: object) -> bool:
    """Whether a value is the wanted one, or a mapping that holds what the wanted one does."""
    if isinstance(wanted, Mapping):
        return isinstance(found, Mapping) and all(_holds(found.get(key), wanted[key]) for key in wanted)
    return found == wanted


def _step(name: str, step: Mapping, templates: Mapping, values: Mapping[str, object]) -> Step:
    if "like" in step:
        step = {**templates[step["like"]], **step}
    local = _local(step, values)
    commands = tuple(tuple(shlex.split(line.format(**local))) for line in step["commands"])
    named = [step["makes"]] if isinstance(step["makes"], str) else step["makes"]
    makes = tuple(Path(path.format(**local)) for path in named)
    return Step(name, commands, makes, tuple(step.get("needs", ())), step.get("complete", ""))


def _run(name: str, run: Mapping, sets: Mapping, values: Mapping[str, object]) -> Run:
    local = _local(run, values)
    methods: dict[str, str] = {}
    paper: dict[str, tuple[str, str]] = {}
    pending = []
    for entry in _entries(run["methods"], sets):
        word = _word(entry, local)
        if word is None:
            pending.append(entry["name"])
            continue
        if "search" in entry and word in methods:
            methods[word] += f", {entry['name']}"
            continue
        if word in methods or entry["name"] in methods.values():
            raise ValueError(f"{name}: {entry['name']} ({word}) twice")
        methods[word] = entry["name"]
        if "paper" in entry:
            method, steps = entry["paper"]
            paper[word] = str(method), str(steps)
    return Run(
        name=name,
        title=run["title"],
        task=run["task"],
        checkpoint=Path(run["checkpoint"].format(**local)),
        servo=run.get("servo", "sts3215"),
        episodes=int(str(run["episodes"]).format(**local)),
        agreement=int(str(run.get("agreement", 0)).format(**local)),
        methods=methods,
        paper=paper,
        baseline=run.get("baseline", "ddpm").format(**local),
        needs=tuple(run.get("needs", ())),
        pending=tuple(pending),
        engine=values.get("engine", "auto"),
        max_ticks=values.get("max_ticks"),
        ablation=run.get("ablation", False),
    )


def _local(part: Mapping, values: Mapping[str, object]) -> dict[str, object]:
    """The values, and what a step or run says that names of its own stand for."""
    return {**values, **{name: str(text).format(**values) for name, text in part.get("with", {}).items()}}


def _entries(parts: Sequence[str | Mapping], sets: Mapping) -> list[Mapping]:
    """Entries of a run, with the sets of entries that it names in their place."""
    return [entry for part in parts for entry in (sets[part] if isinstance(part, str) else [part])]


def _word(entry: Mapping, values: Mapping[str, object]) -> str | None:
    """The variant's word of an entry; None where the search that says it is not finished."""
    if "search" not in entry:
        word = entry["method"].format(**values)
        parse_variant(word)
        return word
    file = Path(entry["search"].format(**values))
    found = json.loads(file.read_text()) if file.exists() else {}
    return found["search"]["best"] if "search" in found else None
