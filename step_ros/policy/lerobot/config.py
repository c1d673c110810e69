"""LeRobot's `config.json` of a diffusion policy as this package's; what does not fit is refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from step_ros.policy.config import (
    ACTION,
    ENVIRONMENT_STATE,
    IMAGES,
    STATE,
    PolicyConfig,
    ResNetConfig,
    SamplerConfig,
)
from step_ros.policy.errors import CheckpointError, ConfigError

SAME_NAME = (
    "n_obs_steps",
    "horizon",
    "n_action_steps",
    "num_train_timesteps",
    "beta_schedule",
    "beta_start",
    "beta_end",
    "prediction_type",
    "down_dims",
    "kernel_size",
    "n_groups",
    "diffusion_step_embed_dim",
    "use_film_scale_modulation",
)
READ_HERE = (
    "type",
    "input_features",
    "output_features",
    "normalization_mapping",
    "vision_backbone",
    "resize_shape",
    "crop_shape",
    "crop_ratio",
    "use_group_norm",
    "spatial_softmax_num_keypoints",
    "use_separate_rgb_encoder_per_camera",
    "noise_scheduler_type",
    "clip_sample",
    "clip_sample_range",
    "num_inference_steps",
    "use_peft",
)
TRAINING_ONLY = (
    "crop_is_random",
    "pretrained_backbone_weights",
    "drop_n_last_frames",
    "do_mask_loss_for_padding",
    "gradient_checkpointing",
    "compile_model",
    "compile_mode",
    "device",
    "use_amp",
    "optimizer_lr",
    "optimizer_betas",
    "optimizer_eps",
    "optimizer_weight_decay",
    "scheduler_name",
    "scheduler_warmup_steps",
    "push_to_hub",
    "repo_id",
    "private",
    "tags",
    "license",
    "pretrained_path",
    "pretrained_revision",
)
FINAL_GROUPS = 8
"""LeRobot's U-Net has these in its last group norm, whatever `n_groups` says"""
DEFAULT_FPS = 30.0
"""LeRobot's checkpoints do not say at what rate they were recorded; this is its recorder's default."""


def policy_config(
    data: Mapping[str, Any], file: Path, fps: float = DEFAULT_FPS, action_names: tuple[str, ...] | None = None
) -> PolicyConfig:
    """The configuration of a LeRobot diffusion policy, without predictor.

    Args:
        data: content of `config.json`.
        file: where it came from, for messages.
        fps: control rate of the training data, Hz.
        action_names: names of the action's dimensions; by default `action_0` and so on.

    Raises:
        CheckpointError: naming the field, what was found and what is accepted.
    """
    fields = _Fields(data, file)
    kind = fields.choice("type", ("diffusion",))
    known = {*SAME_NAME, *READ_HERE, *TRAINING_ONLY}
    unknown = sorted(set(data) - known)
    if unknown:
        raise fields.refused(unknown[0], data[unknown[0]], f"the fields of LeRobot 0.3 to 0.6 for {kind}")
    if data.get("use_peft"):
        raise fields.refused("use_peft", True, "false: merge the adapter into the model first")
    if set(fields.get("output_features")) != {ACTION}:
        raise fields.refused("output_features", sorted(fields.get("output_features")), f"{ACTION} alone")
    inputs = input_features(fields)
    size = _vector(fields, "output_features", ACTION)[0]
    names = action_names or tuple(f"action_{index}" for index in range(size))
    if len(names) != size:
        raise CheckpointError(f"{file}: {ACTION} has {size} dimensions; found {len(names)} names, {names}")
    try:
        return PolicyConfig(
            input_features=inputs,
            action_names=names,
            fps=fps,
            predictor=None,
            normalization="affine",
            units="native",
            final_groups=FINAL_GROUPS,
            clip_sample=fields.get("clip_sample_range") if fields.get("clip_sample") else None,
            sampler=SamplerConfig(
                solver=fields.choice("noise_scheduler_type", ("DDPM", "DDIM")).lower(),
                steps=data.get("num_inference_steps"),
            ),
            resnet=_resnet(fields) if any(name.startswith(IMAGES) for name in inputs) else None,
            **{name: fields.get(name) for name in SAME_NAME},
        )
    except ConfigError as error:
        raise CheckpointError(f"{file}: cannot be used: {error}") from error


def input_features(fields: _Fields) -> dict[str, tuple[int, ...]]:
    """Inputs that the network takes, in the order in which it takes them; images as (height, width, 3)."""
    found: dict[str, tuple[int, ...]] = {}
    for name, feature in fields.get("input_features").items():
        if feature["type"] == "VISUAL":
            shape = tuple(feature["shape"])
            if len(shape) != 3 or shape[0] != 3:
                raise fields.refused(f"input_features[{name}].shape", shape, "(3, height, width)")
            found[camera_feature(name)] = (*shape[1:], 3)
        elif name in (STATE, ENVIRONMENT_STATE):
            found[name] = _vector(fields, "input_features", name)
    if STATE not in found:
        raise fields.refused("input_features", sorted(found), f"{STATE} among them")
    if len({shape for name, shape in found.items() if name.startswith(IMAGES)}) > 1:
        raise fields.refused("input_features", found, "images of one size")
    return found


def camera_feature(name: str) -> str:
    """This package's name of an image feature: `observation.image` becomes `observation.images.image`."""
    return name if name.startswith(IMAGES) else IMAGES + name.removeprefix("observation.")


def _vector(fields: _Fields, group: str, name: str) -> tuple[int, ...]:
    shape = tuple(fields.get(group)[name]["shape"])
    if len(shape) != 1:
        raise fields.refused(f"{group}[{name}].shape", shape, "(size,)")
    return shape


def _resnet(fields: _Fields) -> ResNetConfig:
    resize, crop = fields.data.get("resize_shape"), fields.data.get("crop_shape")
    if resize is not None:  # then `crop_ratio` alone says what the crop is
        ratio = fields.data.get("crop_ratio", 1.0)
        crop = [int(side * ratio) for side in resize] if ratio < 1.0 else None
    return ResNetConfig(
        backbone=fields.choice("vision_backbone", ("resnet18", "resnet34")),
        group_norm=fields.get("use_group_norm"),
        keypoints=fields.get("spatial_softmax_num_keypoints"),
        resize=tuple(resize or ()),
        crop=tuple(crop or ()),
    )


class _Fields:
    """The fields of one file, and the errors that name it."""

    def __init__(self, data: Mapping[str, Any], file: Path) -> None:
        self.data, self.file = data, file

    def get(self, name: str) -> Any:
        if name not in self.data:
            raise CheckpointError(f"{self.file}: {name} is missing; accepted: a value, as LeRobot writes it")
        return self.data[name]

    def choice(self, name: str, accepted: tuple[str, ...]) -> str:
        if self.get(name) not in accepted:
            raise self.refused(name, self.data[name], " or ".join(accepted))
        return self.data[name]

    def refused(self, name: str, found: object, accepted: str) -> CheckpointError:
        return CheckpointError(f"{self.file}: {name} is {found!r}; accepted: {accepted}")
