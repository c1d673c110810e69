"""Methods by name. A new method is one new file here and one line in `METHODS`."""

from step_ros.policy.config import PolicyConfig
from step_ros.policy.methods.base import Method, Proposal
from step_ros.policy.methods.ddim import DDIMMethod
from step_ros.policy.methods.ddpm import DDPMMethod
from step_ros.policy.methods.dpmsolver_defaults import DPMSolverDefaults
from step_ros.policy.methods.falcon import FalconMethod
from step_ros.policy.methods.native import NativeMethod
from step_ros.policy.methods.predictor_only import PredictorOnly
from step_ros.policy.methods.rti import RTIMethod
from step_ros.policy.methods.shifted import ShiftedMethod
from step_ros.policy.methods.spatial_prior import SpatialPriorMethod
from step_ros.policy.methods.step import StepMethod
from step_ros.policy.methods.step_official import StepOfficialMethod

METHODS: dict[str, type[Method]] = {
    "step": StepMethod,
    "ddpm": DDPMMethod,
    "ddim": DDIMMethod,
    "dpmsolver_defaults": DPMSolverDefaults,
    "step_official": StepOfficialMethod,
    "spatial_prior": SpatialPriorMethod,
    "shifted": ShiftedMethod,
    "rti": RTIMethod,
    "falcon": FalconMethod,
    "predictor": PredictorOnly,
    "native": NativeMethod,
}


def usable_methods(config: PolicyConfig) -> tuple[str, ...]:
    """The methods that a checkpoint has everything for."""
    kind = config.predictor.kind if config.predictor else None
    return tuple(
        name for name, method in METHODS.items() if not method.predictors or kind in method.predictors
    )


def usual_method(config: PolicyConfig) -> str:
    """The first method that uses the checkpoint's predictor; `native` where there is none."""
    usable = usable_methods(config)
    return next((name for name in usable if METHODS[name].predictors), "native")


__all__ = ["METHODS", "Method", "Proposal", "usable_methods", "usual_method"]
