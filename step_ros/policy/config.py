"""What a checkpoint is: its inputs, outputs, networks and noise schedule, as written in `config.json`."""

from __future__ import annotations

import dataclasses
import json
from functools import cached_property
from pathlib import Path
from typing import Any

from step_ros.policy.encoder_config import EncoderConfig, EnvironmentEncoderConfig, ResNetConfig
from step_ros.policy.errors import ConfigError
from step_ros.policy.settings import SPACINGS, Settings
from step_ros.policy.validation import check_fields, from_dict, rule, setting

FORMAT_VERSION = 1
STATE = "observation.state"
ENVIRONMENT_STATE = "observation.environment_state"
IMAGES = "observation.images."
ACTION = "action"

__all__ = [
    "ACTION",
    "ENVIRONMENT_STATE",
    "FORMAT_VERSION",
    "IMAGES",
    "STATE",
    "EncoderConfig",
    "EnvironmentEncoderConfig",
    "PolicyConfig",
    "PredictorConfig",
    "ResNetConfig",
    "SamplerConfig",
    "Settings",
]


@dataclasses.dataclass(frozen=True)
class PredictorConfig:
    """What a warm start's chunk comes from: what it is told beside the observation, form and size.

    kind `past` is the spatiotemporal consistency predictor (paper Section 3.2), told the commands of the last
    Ta ticks. `leaked` is what the released code trains instead: told the first actions of its own *target*,
    and at run time the last whole chunk, unshifted; kept to measure what that does. `prior` is a conditional
    VAE's decoder, told a latent sample and nothing of the past.
    """

    variant: str = setting(
        "paper",
        "paper: past actions ask, observations answer; official: the released code's network",
        choices=("paper", "official"),
    )
    width: int = setting(128, "embedding width", low=2, high=4096)
    blocks: int = setting(2, "cross-attention blocks", low=1, high=32)
    heads: int = setting(4, "attention heads", low=1, high=64)
    feedforward: int = setting(
        1280, "hidden width of each feed-forward layer; of a prior's layers", low=1, high=16384
    )
    dropout: float = setting(0.0, "dropout while training", low=0.0, high=0.9)
    kind: str = setting(
        "past",
        "what it is told: past commands, strictly; leaked: its own target in training; prior: noise",
        choices=("past", "leaked", "prior"),
    )
    latent: int = setting(32, "numbers in a prior's latent sample", low=1, high=1024)
    history: bool = setting(True, "whether a predictor of kind past sees the past commands (ablation)")
    observation: bool = setting(True, "whether a predictor of kind past sees the observation (ablation)")

    def __post_init__(self) -> None:
        check_fields(self)
        if self.width % (2 * self.heads):
            raise ConfigError("width", self.width, f"a multiple of twice heads ({2 * self.heads})")
        if self.kind == "leaked" and self.variant != "official":
            raise ConfigError("variant", self.variant, "official for kind leaked")
        if not (self.history and self.observation) and self.kind != "past":
            raise ConfigError("kind", self.kind, "past where history or observation is left out")
        if not (self.history or self.observation):
            raise ConfigError("observation", self.observation, "true where history is left out")


@dataclasses.dataclass(frozen=True)
class SamplerConfig:
    """The sampler that the checkpoint's authors meant it to be used with (method `native`)."""

    solver: str = setting("ddpm", "reverse-process solver", choices=("ddpm", "ddim"))
    steps: int | None = setting(None, "denoiser evaluations, null for every level", low=1, high=1000)
    spacing: str = setting("leading", "how the levels are spread", choices=SPACINGS)

    def __post_init__(self) -> None:
        check_fields(self)


@dataclasses.dataclass(frozen=True)
class PolicyConfig:
    """Everything needed to rebuild a checkpoint's networks; equal to `config.json`.

    Chunk index 0 is the action of the oldest observation frame; indices `n_obs_steps - 1` and later are
    executed.
    """

    input_features: dict[str, tuple[int, ...]] = dataclasses.field(
        metadata=rule("shape of each input; images are (height, width, 3)", low=1)
    )
    action_names: tuple[str, ...] = dataclasses.field(metadata=rule("one name per action dimension"))
    format_version: int = setting(
        FORMAT_VERSION, "version of this file's layout", low=FORMAT_VERSION, high=FORMAT_VERSION
    )
    fps: float = setting(30.0, "control rate of the training data, Hz", low=0.1, high=1000.0)
    n_obs_steps: int = setting(2, "observation frames To", low=1, high=32)
    horizon: int = setting(16, "actions per chunk Tp", low=2, high=512)
    n_action_steps: int = setting(
        8, "actions executed per cycle in training, and length of the history Ta", low=1, high=512
    )
    num_train_timesteps: int = setting(100, "noise levels of the forward process", low=2, high=1000)
    beta_schedule: str = setting(
        "squaredcos_cap_v2",
        "noise schedule, by its name in diffusers",
        choices=("squaredcos_cap_v2", "linear", "scaled_linear"),
    )
    beta_start: float = setting(1e-4, "first beta of the linear schedules", low=0.0, high=1.0)
    beta_end: float = setting(0.02, "last beta of the linear schedules", low=0.0, high=1.0)
    prediction_type: str = setting("epsilon", "what the denoiser returns", choices=("epsilon", "sample"))
    clip_sample: float | None = setting(
        1.0, "largest clean-sample estimate, normalised; null for no limit", low=0.0
    )
    sampler: SamplerConfig = dataclasses.field(
        default_factory=SamplerConfig, metadata=rule("the sampler that the checkpoint was made for")
    )
    normalization: str = setting(
        "limits",
        "limits: smallest and largest value to [-1, 1]; affine: four coefficients per dimension",
        choices=("limits", "affine"),
    )
    units: str = setting(
        "rad",
        "of robot state and action; native: whatever the training data had, not to be sent to an arm",
        choices=("rad", "native"),
    )
    down_dims: tuple[int, ...] = setting((64, 128, 256), "channels of the U-Net's levels", low=1, high=8192)
    kernel_size: int = setting(5, "kernel of the U-Net's convolutions, odd", low=1, high=31)
    n_groups: int = setting(8, "groups of the U-Net's group norms", low=1, high=1024)
    final_groups: int | None = setting(
        None, "groups of the U-Net's last group norm, null for n_groups", low=1, high=1024
    )
    diffusion_step_embed_dim: int = setting(128, "width of the timestep embedding, even", low=4, high=4096)
    use_film_scale_modulation: bool = setting(True, "FiLM scales as well as shifts")
    encoder: EncoderConfig = dataclasses.field(
        default_factory=EncoderConfig, metadata=rule("image encoder, one per camera")
    )
    resnet: ResNetConfig | None = dataclasses.field(
        default=None, metadata=rule("image encoder of LeRobot's kind, in place of `encoder`")
    )
    environment_encoder: EnvironmentEncoderConfig | None = dataclasses.field(
        default=None, metadata=rule("encoder of the environment state, or null where it goes in as it is")
    )
    predictor: PredictorConfig | None = dataclasses.field(
        default_factory=PredictorConfig, metadata=rule("predictor, or null when none has been trained")
    )
    defaults: dict[str, Any] = dataclasses.field(
        default_factory=dict, metadata=rule("run-time settings that this checkpoint recommends")
    )

    def __post_init__(self) -> None:
        check_fields(self)
        self._check_inputs()
        if not self.action_names or len(set(self.action_names)) != len(self.action_names):
            raise ConfigError("action_names", self.action_names, "at least one name, none twice")
        if self.horizon % 2 ** (len(self.down_dims) - 1) or not self.down_dims:
            raise ConfigError("horizon", self.horizon, "a multiple of 2^(levels of down_dims - 1)")
        if any(channels % self.n_groups for channels in self.down_dims):
            raise ConfigError("down_dims", self.down_dims, f"multiples of n_groups ({self.n_groups})")
        if self.final_groups and self.down_dims[0] % self.final_groups:
            raise ConfigError("final_groups", self.final_groups, f"a divisor of {self.down_dims[0]}")
        if self.kernel_size % 2 == 0:
            raise ConfigError("kernel_size", self.kernel_size, "an odd number")
        if self.diffusion_step_embed_dim % 2:
            raise ConfigError("diffusion_step_embed_dim", self.diffusion_step_embed_dim, "an even number")
        if self.n_action_steps > self.longest_execution:
            raise ConfigError(
                "n_action_steps", self.n_action_steps, f"at most {self.longest_execution} (Tp - To + 1)"
            )
        try:
            self.check(self.settings())
        except ConfigError as error:
            raise error.located("", "defaults") from None

    def _check_inputs(self) -> None:
        if not self.input_features:
            raise ConfigError(
                "input_features", {}, f"at least one of {STATE}, {ENVIRONMENT_STATE}, {IMAGES}<camera>"
            )
        for name, shape in self.input_features.items():
            if name in (STATE, ENVIRONMENT_STATE):
                if len(shape) != 1:
                    raise ConfigError(f"input_features[{name}]", shape, "a shape (size,)")
            elif not (name.startswith(IMAGES) and len(name) > len(IMAGES)):
                raise ConfigError(
                    "input_features", name, f"names {STATE}, {ENVIRONMENT_STATE}, {IMAGES}<camera>"
                )
            elif len(shape) != 3 or shape[2] != 3 or min(shape[:2]) < 16:
                raise ConfigError(
                    f"input_features[{name}]", shape, "a shape (height, width, 3), sides at least 16"
                )
            elif "." in name.removeprefix(IMAGES):
                raise ConfigError("input_features", name, "a camera name without dots")
            elif self.resnet is not None:
                self.resnet.check_image(name, shape[:2])
        if self.environment_encoder is not None and ENVIRONMENT_STATE not in self.input_features:
            raise ConfigError("environment_encoder", "given", f"null without the input {ENVIRONMENT_STATE}")

    @cached_property
    def action_dim(self) -> int:
        return len(self.action_names)

    @property
    def longest_execution(self) -> int:
        """Actions of a chunk that lie at or after the newest observation: Tp - To + 1."""
        return self.horizon - self.n_obs_steps + 1

    @cached_property
    def image_names(self) -> tuple[str, ...]:
        return tuple(name for name in self.input_features if name.startswith(IMAGES))

    @cached_property
    def vector_names(self) -> tuple[str, ...]:
        """Inputs that are plain vectors, robot state first."""
        return tuple(name for name in (STATE, ENVIRONMENT_STATE) if name in self.input_features)

    @cached_property
    def encoded_names(self) -> tuple[str, ...]:
        """Inputs that encoders make features of, each frame by itself: images, then environment state."""
        return self.image_names + ((ENVIRONMENT_STATE,) if self.environment_encoder else ())

    @property
    def observes_joints(self) -> bool:
        """Whether the robot's own state is where the joints are that the actions command, one for one."""
        return self.input_features.get(STATE) == (self.action_dim,)

    @property
    def history_shape(self) -> tuple[int, int]:
        """What the predictor is told beside the observation, by its kind: (Ta, A) past commands, (Tp, A) the
        last chunk, (1, L) a latent sample."""
        kinds = {
            "past": (self.n_action_steps, self.action_dim),
            "leaked": (self.horizon, self.action_dim),
            "prior": (1, self.predictor.latent),
        }
        return kinds[self.predictor.kind]

    @property
    def feature_dim(self) -> int:
        """Width F of one observation frame after `encode`: state, cameras in order, environment state, what
        its encoder makes of it."""
        width = sum(self.input_features[name][0] for name in self.vector_names)
        width += (self.resnet or self.encoder).feature_dim * len(self.image_names)
        return width + (self.environment_encoder.feature_dim if self.environment_encoder else 0)

    def settings(self, **changes: object) -> Settings:
        """Run-time settings: `changes` over this checkpoint's `defaults` over the package's."""
        levels = self.num_train_timesteps
        base = Settings(
            action_steps=self.n_action_steps,
            entry_timestep=min(Settings.entry_timestep, levels - 1),
            cold_start_steps=min(Settings.cold_start_steps, levels),
        )
        return base.changed(**{**self.defaults, **changes})

    def check(self, settings: Settings) -> None:
        """Raise ConfigError when settings do not fit this checkpoint's horizon or noise levels."""
        top = self.num_train_timesteps - 1
        limits = {
            "action_steps": (settings.action_steps, self.longest_execution),
            "entry_timestep": (settings.entry_timestep, top),
            "num_inference_steps": (settings.num_inference_steps, top + 1),
            "cold_start_steps": (settings.cold_start_steps, top + 1),
            "timesteps": (max(settings.timesteps or (0,)), top),
        }
        for name, (value, limit) in limits.items():
            if value > limit:
                raise ConfigError(name, getattr(settings, name), f"at most {limit} for this checkpoint")

    def changed(self, **fields: Any) -> PolicyConfig:
        """A copy with some fields replaced.

        Raises:
            ConfigError: a value is refused.
        """
        return dataclasses.replace(self, **fields)

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, source: str | Path = "") -> PolicyConfig:
        """Read what `to_json` wrote.

        Raises:
            ConfigError: for text that is not JSON, unknown or missing fields, wrong types or values.
        """
        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            raise ConfigError("content", f"invalid JSON ({error})", "a JSON object", source) from None
        return from_dict(cls, data, source)
