"""What may change between two cycles of a running policy: steps, warm start, stall rule."""

from __future__ import annotations

import dataclasses
import itertools

from step_ros.policy.errors import ConfigError
from step_ros.policy.validation import check_fields, setting

SPACINGS = ("leading", "trailing", "linspace")
WARM_STARTS = ("matched", "paper")
SOLVERS = ("ddim", "ddpm", "dpmsolver++")


@dataclasses.dataclass(frozen=True)
class Settings:
    """Run-time settings; every instance is valid by itself (limits that depend on the checkpoint are
    checked by `PolicyConfig.check` and by the method). Field metadata holds `description`, `low`, `high`
    and `choices`, for parameter declarations and help texts."""

    num_inference_steps: int = setting(
        2, "denoiser evaluations in a warm cycle (STEP) or any cycle (DDIM)", low=1, high=1000
    )
    entry_timestep: int = setting(
        20, "noise level t0 at which a warm start enters the reverse process", low=0, high=999
    )
    timesteps: tuple[int, ...] | None = setting(
        None, "explicit decreasing list of noise levels; wins over steps, entry and spacing", low=0, high=999
    )
    spacing: str = setting(
        "leading", "how levels are spread when a sampler starts from noise", choices=SPACINGS
    )
    warm_start: str = setting(
        "matched",
        "matched: sqrt(abar) A + sqrt(1-abar) e; paper: sigma A + sigma_t e (Eq. 13)",
        choices=WARM_STARTS,
    )
    sigma: float = setting(
        1.0, "paper warm start: factor of the prediction while not stalled", low=0.0, high=2.0
    )
    sigma_t: float = setting(0.1, "paper warm start: noise amplitude while not stalled", low=0.0, high=3.0)
    solver: str = setting("ddim", "reverse-process solver", choices=SOLVERS)
    cold_start_steps: int = setting(10, "denoiser evaluations of a cycle without history", low=1, high=1000)
    action_steps: int = setting(
        8, "actions of a chunk that are executed before the next cycle", low=1, high=128
    )
    sigma_scale: float = setting(0.94, "factor of the prediction while stalled (Eq. 14)", low=0.0, high=2.0)
    sigma_stall: float = setting(
        0.6, "noise amplitude while stalled (Eq. 14), normalised units", low=0.0, high=3.0
    )
    stall_threshold: float = setting(
        0.02,
        "RMS change of executed chunks below which a cycle counts as still, normalised units",
        low=0.0,
        high=2.0,
    )
    stall_patience: int = setting(1, "still cycles in a row before the perturbation sets in", low=1, high=100)

    def __post_init__(self) -> None:
        check_fields(self)
        if self.timesteps is not None and not self.timesteps:
            object.__setattr__(self, "timesteps", None)
        levels = self.timesteps or ()
        if any(later >= earlier for earlier, later in itertools.pairwise(levels)):
            raise ConfigError("timesteps", levels, "a strictly decreasing list")

    def changed(self, **changes: object) -> Settings:
        """A copy with some fields replaced.

        Raises:
            ConfigError: for an unknown name or a refused value; the original is untouched.
        """
        names = [field.name for field in dataclasses.fields(self)]
        for name, value in changes.items():
            if name not in names:
                raise ConfigError(name, value, f"only the settings {', '.join(names)}")
        return dataclasses.replace(self, **changes)
