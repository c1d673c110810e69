"""What `step-ros train` does: the stages of a policy in order, and the checkpoint that comes out."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from rich.progress import Progress

from step_ros.data.errors import DatasetError
from step_ros.data.layout import dimension_names, image_shape, is_camera
from step_ros.data.reader import Dataset
from step_ros.data.sources import open_dataset
from step_ros.data.statistics import array_statistics
from step_ros.data.windows import Windows, split_episodes
from step_ros.policy.checkpoint import CARD_FILE, load_checkpoint, save_checkpoint
from step_ros.policy.config import (
    ACTION,
    ENVIRONMENT_STATE,
    STATE,
    EnvironmentEncoderConfig,
    PolicyConfig,
    PredictorConfig,
)
from step_ros.policy.lerobot.files import is_lerobot
from step_ros.policy.networks import PolicyNetworks, build_networks
from step_ros.training.augmentation import HistoryAugmentation
from step_ros.training.baselines import compare_with_baselines, comparison_text
from step_ros.training.errors import TrainingError
from step_ros.training.examples import Examples
from step_ros.training.features import encode_dataset
from step_ros.training.loop import LoopResult, LoopSettings, fit
from step_ros.training.matching import Units, convert_dataset, convert_policy, match_features
from step_ros.training.objectives.denoiser import DenoiserObjective
from step_ros.training.objectives.encoder import EncoderObjective, normalized
from step_ros.training.recipes import RECIPES, make_objective

RUN_FOLDER = "training"
"""inside the checkpoint's folder: curves (`.csv`) and what resuming needs (`.pt`, not to be shipped)"""

CAMERA_SHIFTS = {"observation.images.top": 2}
"""pixels; a camera fixed to the world loses absolute position if it is shifted far"""
OTHER_CAMERA_SHIFT = 4

ENCODER_ITERATIONS = {"images": 2000, "states": 20000}
"""for policies with and without cameras; without, an iteration takes a few milliseconds"""

ENCODER_SHARE = 0.3
"""of a time budget, at most, for the encoders"""


def train_policy(
    dataset: Path,
    out: Path,
    *,
    encoder_iterations: int | None = None,
    encoder_lr: float = 1e-3,
    iterations: int = 12000,
    batch_size: int = 64,
    lr: float = 5e-4,
    seed: int = 0,
    resume: bool = True,
    max_minutes: float | None = None,
    down_dims: tuple[int, ...] = (64, 128, 256),
    prediction_type: str = "epsilon",
    inputs: tuple[str, ...] | None = None,
    shifts: Mapping[str, int] | None = None,
    variants: int = 1,
    pose_weight: float = 0.5,
    held_out: float = 0.05,
    threads: int | None = None,
    fps: float | None = None,
    features: Mapping[str, str] | None = None,
    image_size: tuple[int, int] | None = None,
    units: Units | None = None,
    native: bool = False,
) -> LoopResult:
    """Trains encoders, then the denoiser on their frozen features; writes a checkpoint to `out`.

    encoder_iterations: see ENCODER_ITERATIONS. inputs: observation features of the policy; by default state
    and all cameras, or where there are no cameras, state and environment state. shifts: pixels per camera
    feature; variants: views of each frame that the denoiser trains on, the first unshifted. More than one
    pays only where shifts do not matter: to frozen encoders, a shift is another place of the object.
    pose_weight: see `EncoderObjective`. held_out: share of the episodes. max_minutes: budget of both stages.
    fps, features: see `open_dataset`. image_size: (height, width) to which the dataset's images are reduced.
    units: of the dataset, which becomes one in radians; native: it is in others, and no arm may be driven.
    A call with the same arguments continues an interrupted run, and does nothing to a finished one.

    Raises:
        DatasetError, ConfigError, TrainingError: what does not fit, before anything is trained.
        KeyboardInterrupt: after an interrupt; all is saved, `out` is a checkpoint if the denoiser had begun.
    """
    accelerator = _accelerator(threads)
    source = open_dataset(dataset, fps, features)
    stats = source.stats
    if units is not None:
        convert_dataset(source, units)
        stats = stats | {
            name: array_statistics(source.columns[name]) for name in (ACTION, STATE) if name in stats
        }
    session = _Session(source, accelerator, batch_size, seed, resume, held_out, out)
    torch.manual_seed(seed)
    config = policy_config(
        session.dataset,
        inputs,
        image_size,
        down_dims=down_dims,
        prediction_type=prediction_type,
        units="native" if native else "rad",
    )
    if encoder_iterations is None:
        encoder_iterations = ENCODER_ITERATIONS["images" if config.image_names else "states"]
    networks = build_networks(config, stats).to(accelerator.device)
    windows = session.windows(config)
    shifts = _camera_shifts(config, shifts)
    stages: dict[str, Any] = {}
    spent = 0.0
    if config.encoded_names:
        with accelerator.main_process_first():
            encoder = EncoderObjective(
                networks, session.dataset, *windows, shifts, pose_weight, accelerator.device
            )
        budget = max_minutes * ENCODER_SHARE if max_minutes else None
        result = session.fit(encoder, iterations=encoder_iterations, lr=encoder_lr, max_minutes=budget)
        stages["encoder"], spent = dataclasses.asdict(result), result.minutes
    networks.eval().encoders.requires_grad_(False)
    *examples, digest = session.examples(networks, windows, shifts, variants)

    card = session.card() | {
        "command": f"step-ros train policy {session.dataset.root.name} --out {out.name} --encoder-iterations "
        f"{encoder_iterations} --encoder-lr {encoder_lr} --iterations {iterations} --batch-size {batch_size} "
        f"--lr {lr} --seed {seed} --down-dims {' '.join(map(str, down_dims))} "
        f"--prediction-type {prediction_type}{_size(image_size)}{_stated(units, native)}"
        f"{_time_budget(max_minutes)}{_source(fps, features)}",
    }

    def save(result: LoopResult) -> None:
        stages["denoiser"] = dataclasses.asdict(result)
        save_checkpoint(out, config, networks, card | {"stages": stages})

    denoiser = DenoiserObjective(networks, *examples, digest)
    budget = max(max_minutes - spent, 0.1) if max_minutes else None
    return session.fit(denoiser, save, iterations=iterations, lr=lr, max_minutes=budget)


def train_predictor(
    policy: Path,
    dataset: Path,
    *,
    iterations: int = 5000,
    batch_size: int = 64,
    lr: float | None = None,
    seed: int = 0,
    resume: bool = True,
    max_minutes: float | None = None,
    predictor: PredictorConfig | None = None,
    augmentation: HistoryAugmentation | None = None,
    shifts: Mapping[str, int] | None = None,
    variants: int = 1,
    held_out: float = 0.05,
    threads: int | None = None,
    fps: float | None = None,
    features: Mapping[str, str] | None = None,
    out: Path | None = None,
    units: Units | None = None,
    renamed: Mapping[str, str] | None = None,
    kl_weight: float = 0.001,
) -> LoopResult:
    """Trains a predictor on the frozen features of a checkpoint and adds it to that checkpoint.

    Normalisation, encoders and denoiser stay as they are; a predictor that was there is replaced. Arguments
    as for `train_policy`, with the same values for the same held-out episodes and cached features. At the end
    the card gets the errors of `compare_with_baselines`.

    Args:
        lr: highest learning rate, by default that of the recipe of the predictor's kind.
        predictor: kind and size, by default those of the predictor that was there.
        out: folder of the checkpoint with the predictor, by default `policy` itself; a LeRobot checkpoint is
            left as it is, so it needs one.
        units: of the dataset, which is trained on in radians, and of a policy of native units, which from
            then on is one in radians.
        kl_weight: for a predictor of kind prior, see `PriorObjective`.
        renamed: the dataset's names of inputs that it calls otherwise than the policy.

    Raises:
        CheckpointError, DatasetError, ConfigError, TrainingError: what does not fit, before training.
        KeyboardInterrupt: after an interrupt; the checkpoint then holds the predictor as it stands.
    """
    accelerator = _accelerator(threads)
    if out is None and is_lerobot(policy):
        raise TrainingError("out", "nothing", "a new folder: LeRobot's checkpoint is left as it is")
    out = out or policy
    source = open_dataset(dataset, fps, features)
    before, trained = load_checkpoint(policy)
    if is_lerobot(policy):
        before = before.changed(fps=source.fps, action_names=tuple(dimension_names(source.features[ACTION])))
    names = match_features(before, source, renamed)
    if before.fps != source.fps:
        raise TrainingError(f"{dataset}: fps", source.fps, f"{before.fps}, the policy's")
    if units is not None:
        convert_dataset(source, units)
        if before.units == "native":
            before = convert_policy(before, trained, units)
    session = _Session(source, accelerator, batch_size, seed, resume, held_out, out, names)
    torch.manual_seed(seed)
    config = dataclasses.replace(before, predictor=predictor or before.predictor or PredictorConfig())
    networks = build_networks(config)
    kept = {k: v for k, v in trained.state_dict().items() if not k.startswith("predictor.")}
    networks.load_state_dict(networks.state_dict() | kept)
    networks.to(accelerator.device).requires_grad_(False).eval()
    windows, shifts = session.windows(config), _camera_shifts(config, shifts)
    *examples, digest = session.examples(networks, windows, shifts, variants)
    networks.predictor.requires_grad_(True).train()

    card_path = policy / CARD_FILE
    card = json.loads(card_path.read_text()) if card_path.exists() else session.card()
    augmentation = augmentation or HistoryAugmentation()
    recipe = RECIPES[config.predictor.kind]
    optimiser = recipe.optimiser(lr)
    command = (
        f"step-ros train predictor {policy.name} {session.dataset.root.name}"
        f"{f' --out {out.name}' if out != policy else ''} --iterations {iterations} "
        f"--batch-size {batch_size} --lr {optimiser['lr']} --seed {seed}"
        f"{_stated(units)}{_time_budget(max_minutes)}{_source(fps, features)}"
        f"{_chosen(config.predictor, kl_weight)}"
    )

    def save(result: LoopResult, validation: Mapping[str, Any] | None = None) -> None:
        stage = dataclasses.asdict(result) | {"told": recipe.note}
        if config.predictor.kind == "past":
            stage["augmentation"] = dataclasses.asdict(augmentation)
        if validation:
            stage["validation"] = validation
        stages = card.get("stages", {}) | {"predictor": stage}
        save_checkpoint(out, config, networks, card | {"predictor_command": command, "stages": stages})

    objective = make_objective(networks, examples, augmentation, kl_weight, digest)
    result = session.fit(objective, save, iterations=iterations, max_minutes=max_minutes, **optimiser)
    if examples[1] is not None and accelerator.is_main_process and not _validated(out):
        validation = compare_with_baselines(networks, examples[1], told=objective.told_at_run_time)
        save(result, validation)
        accelerator.print(comparison_text(validation))
    return result


def policy_config(
    dataset: Dataset,
    inputs: tuple[str, ...] | None,
    image_size: tuple[int, int] | None = None,
    **fields: Any,
) -> PolicyConfig:
    """Configuration of a policy without predictor for a dataset; `fields` as in `PolicyConfig`.

    image_size: (height, width) of all images, by default each camera's own.

    Raises:
        DatasetError: when the dataset lacks `action` or one of the inputs.
        ConfigError: when a field is out of range.
    """
    features = dataset.features
    if inputs is None:
        seen = (STATE, *dataset.cameras) if dataset.cameras else (STATE, ENVIRONMENT_STATE)
        inputs = tuple(name for name in seen if name in features)
    for name in (*inputs, ACTION):
        if name not in features:
            raise DatasetError(dataset.root, "features", f"no {name}", ", ".join(features))
    shapes = {
        name: _picture(features[name], image_size)
        if is_camera(features[name])
        else tuple(features[name]["shape"])
        for name in inputs
    }
    return PolicyConfig(
        input_features=shapes,
        action_names=tuple(dimension_names(features[ACTION])),
        fps=float(dataset.fps),
        predictor=None,
        environment_encoder=EnvironmentEncoderConfig() if ENVIRONMENT_STATE in inputs else None,
        **fields,
    )


def _picture(feature: dict[str, Any], size: tuple[int, int] | None) -> tuple[int, ...]:
    return (*size, 3) if size else image_shape(feature)


@dataclasses.dataclass(frozen=True)
class _Session:
    """What all stages of one command share."""

    dataset: Dataset
    accelerator: Accelerator
    batch_size: int
    seed: int
    resume: bool
    held_out: float
    out: Path
    names: Mapping[str, str] | None = None
    """the dataset's names of the policy's inputs, where they differ"""

    def fit(self, objective: Any, on_save: Any = None, **settings: Any) -> LoopResult:
        loop = LoopSettings(batch_size=self.batch_size, seed=self.seed, **settings)
        return fit(objective, loop, self.out / RUN_FOLDER, self.accelerator, self.resume, on_save)

    def windows(self, config: PolicyConfig) -> tuple[Windows, Windows | None]:
        """Training windows, and those of the episodes kept back."""
        train, kept = split_episodes(len(self.dataset.episodes), self.held_out, self.seed)
        shape = (config.n_obs_steps, config.horizon, config.n_action_steps)
        return (
            Windows(self.dataset, *shape, train),
            Windows(self.dataset, *shape, kept) if kept else None,
        )

    def examples(
        self,
        networks: PolicyNetworks,
        windows: tuple[Windows, Windows | None],
        shifts: Mapping[str, int],
        variants: int,
    ) -> tuple[Examples, Examples | None, str]:
        """Training and held-out examples under the frozen encoders, and the digest of their features."""
        device = self.accelerator.device
        disable = not self.accelerator.is_main_process
        with self.accelerator.main_process_first(), Progress(disable=disable) as bar:
            task = bar.add_task("features", total=None)
            features, digest = encode_dataset(
                networks,
                self.dataset,
                self.names or {name: name for name in networks.config.input_features},
                shifts,
                variants,
                self.seed,
                device,
                lambda done, total: bar.update(task, completed=done, total=total),
            )
        actions = normalized(networks, self.dataset, ACTION, device)
        train, kept = windows
        return (
            Examples(train, actions, features),
            Examples(kept, actions, features) if kept else None,
            digest,
        )

    def card(self) -> dict[str, Any]:
        """What the card says of the data."""
        tasks = sorted({task for episode in self.dataset.episodes for task in episode.row["tasks"]})
        return {
            "dataset": {
                "name": self.dataset.root.name,
                "tasks": tasks,
                "episodes": len(self.dataset.episodes),
                "frames": self.dataset.num_frames,
                "held_out_share": self.held_out,
                "split_seed": self.seed,
            }
        }


def _validated(folder: Path) -> bool:
    """Whether the card already says how the finished predictor compares."""
    card = json.loads((folder / CARD_FILE).read_text()) if (folder / CARD_FILE).exists() else {}
    return "validation" in card.get("stages", {}).get("predictor", {})


def _size(image_size: tuple[int, int] | None) -> str:
    return f" --image-size {image_size[0]} {image_size[1]}" if image_size else ""


def _stated(units: Units | None, native: bool = False) -> str:
    return " --units native" if native else f" --units {units.mode}" if units else ""


def _time_budget(max_minutes: float | None) -> str:
    return f" --max-minutes {max_minutes:g}" if max_minutes else ""


def _chosen(predictor: PredictorConfig, kl_weight: float) -> str:
    """The options that say which predictor, where it is not the recipe's."""
    usual = RECIPES[predictor.kind].predictor
    text = "" if predictor.kind == "past" else f" --kind {predictor.kind}"
    for name in ("variant", "width", "blocks", "heads", "feedforward", "latent"):
        value = getattr(predictor, name)
        text += f" --{name} {value}" if value != getattr(usual, name) else ""
    text += "".join(f" --no-{name}" for name in ("history", "observation") if not getattr(predictor, name))
    return text + (f" --kl-weight {kl_weight:g}" if predictor.kind == "prior" else "")


def _source(fps: float | None, features: Mapping[str, str] | None) -> str:
    rate = f" --fps {fps:g}" if fps else ""
    return rate + "".join(f" --feature {name}={arrays}" for name, arrays in (features or {}).items())


def _accelerator(threads: int | None) -> Accelerator:
    if threads is not None:
        torch.set_num_threads(threads)
    return Accelerator()


def _camera_shifts(config: PolicyConfig, shifts: Mapping[str, int] | None) -> dict[str, int]:
    unknown = set(shifts or ()) - set(config.image_names)
    if unknown:
        raise TrainingError("shifts", sorted(unknown), ", ".join(config.image_names))
    usual = {name: CAMERA_SHIFTS.get(name, OTHER_CAMERA_SHIFT) for name in config.image_names}
    return usual | dict(shifts or {})
