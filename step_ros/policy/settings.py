"""What may change between two cycles of a running policy: steps, warm start, stall rule."""

from __future__ import annotations

import dataclasses
import itertools

from step_ros.policy.errors import ConfigError
from step_ros.policy.validation import check_fields, setting

SPACINGS = ("leading", "trailing", "linspace")
WARM_STARTS = ("matched", "paper")
SOLVERS = ("ddim", "ddpm", "dpmsolver++")
STALL_SOURCES = ("action", "motion", "both")
STALL_RESPONSES = ("noise", "push")
POSTERIORS = ("adjacent", "list")


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
    stall_source: str = setting(
        "action",
        "what counts as still; action: commands that do not change (Eq. 14); motion: joints that are told to "
        "move and do not; both: only when both say so",
        choices=STALL_SOURCES,
    )
    stall_min_motion: float = setting(
        0.08,
        "distance from the joints to their commands from which on they are told to move (Euclidean over the "
        "watched joints), normalised units",
        low=0.0,
        high=2.0,
    )
    stall_progress: float = setting(
        0.5, "share of the motion they are told to make below which joints do not move", low=0.0, high=1.0
    )
    stall_exempt: str = setting(
        "gripper", "names of actions whose joints may stand still when told to move, with spaces between"
    )
    stall_response: str = setting(
        "noise",
        "what is done while stalled; noise: sigma_scale A + sigma_stall e (Eq. 14); push: the missing motion "
        "is added to the chunk, more with every cycle",
        choices=STALL_RESPONSES,
    )
    push_gain: float = setting(
        0.25, "share of the missing motion that is added to the push in a stalled cycle", low=0.0, high=2.0
    )
    push_limit: float = setting(0.3, "largest push of a joint, normalised units", low=0.0, high=1.0)
    rti_posterior: str = setting(
        "adjacent",
        "rti: DDPM's step to the next lower level, as its authors' library did, or to the list's successor",
        choices=POSTERIORS,
    )
    falcon_threshold: float = setting(
        0.1,
        "falcon: RMS distance to the last chunk below which a latent is accepted, normalised units",
        low=0.0,
        high=2.0,
    )
    falcon_exploration: float = setting(
        0.1, "falcon: probability of a start from noise all the same", low=0.0, high=1.0
    )
    falcon_min_level: int = setting(
        5, "falcon: lowest noise level from which latents are kept", low=0, high=999
    )
    falcon_memory: int = setting(8, "falcon: most latents that are kept and evaluated", low=1, high=200)
    falcon_temperature: float = setting(
        0.1, "falcon: how little cleaner latents are preferred among the accepted", low=0.001, high=100.0
    )

    def __post_init__(self) -> None:
        check_fields(self)
        if self.timesteps is not None and not self.timesteps:
            object.__setattr__(self, "timesteps", None)
        levels = self.timesteps or ()
        if any(later >= earlier for earlier, later in itertools.pairwise(levels)):
            raise ConfigError("timesteps", levels, "a strictly decreasing list")

    def in_force(self) -> dict[str, object]:
        """Settings by name without those that change nothing: the push's, where nothing is pushed."""
        idle = () if self.stall_response == "push" else ("push_gain", "push_limit")
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in idle}

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
