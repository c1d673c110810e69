"""Configuration and run-time settings: exact JSON, and a reason for every refusal."""

from __future__ import annotations

import dataclasses
import json

import pytest
from policy_helpers import tiny_config

from step_ros.policy.config import PolicyConfig, Settings
from step_ros.policy.errors import ConfigError


def edited(**changes: object) -> str:
    return json.dumps({**json.loads(tiny_config().to_json()), **changes})


def test_json_round_trip_returns_an_equal_configuration() -> None:
    config = tiny_config(defaults={"entry_timestep": 30, "timesteps": [30, 10]})
    assert PolicyConfig.from_json(config.to_json()) == config


def test_a_configuration_without_predictor_survives_the_round_trip() -> None:
    assert PolicyConfig.from_json(tiny_config(predictor=None).to_json()).predictor is None


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"horizont": 16}, "horizont"),
        ({"format_version": 2}, "format_version"),
        ({"fps": "thirty"}, "fps"),
        ({"horizon": True}, "horizon"),
        ({"horizon": 16.5}, "horizon"),
        ({"horizon": 15}, "horizon"),
        ({"num_train_timesteps": 1}, "num_train_timesteps"),
        ({"prediction_type": "velocity"}, "prediction_type"),
        ({"down_dims": [8, 10]}, "down_dims"),
        ({"down_dims": []}, "horizon"),
        ({"kernel_size": 4}, "kernel_size"),
        ({"action_names": ["a", "a"]}, "action_names"),
        ({"n_action_steps": 16}, "n_action_steps"),
        ({"encoder": {"channels": 0}}, "encoder.channels"),
        ({"encoder": None}, "encoder"),
        ({"predictor": {"width": 30}}, "predictor.width"),
        ({"predictor": {"variant": "new"}}, "predictor.variant"),
        ({"input_features": {}}, "input_features"),
        ({"input_features": {"state": [3]}}, "input_features"),
        ({"input_features": {"observation.images.top": [3, 96, 96]}}, "observation.images.top"),
        ({"defaults": {"entry_timestep": 100}}, "defaults.entry_timestep"),
        ({"defaults": {"sigma_stal": 0.1}}, "defaults.sigma_stal"),
    ],
)
def test_a_bad_field_is_refused_by_name_with_the_file(change: dict[str, object], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        PolicyConfig.from_json(edited(**change), "some/config.json")
    assert str(caught.value).startswith("some/config.json: ")
    assert field in str(caught.value) and "accepted: " in str(caught.value)


def test_a_missing_required_field_is_named() -> None:
    data = json.loads(tiny_config().to_json())
    del data["action_names"]
    with pytest.raises(ConfigError, match="action_names is None"):
        PolicyConfig.from_json(json.dumps(data))


def test_text_that_is_not_json_is_refused() -> None:
    with pytest.raises(ConfigError, match="invalid JSON"):
        PolicyConfig.from_json("{")


def test_checkpoint_defaults_come_before_package_defaults_and_after_the_callers() -> None:
    config = tiny_config(defaults={"entry_timestep": 30, "spacing": "trailing"})
    settings = config.settings(entry_timestep=40)
    assert (settings.entry_timestep, settings.spacing, settings.solver) == (40, "trailing", "ddim")


def test_action_steps_follow_the_training_window_by_default() -> None:
    assert tiny_config(n_action_steps=4).settings().action_steps == 4


def test_features_count_state_cameras_and_environment_state() -> None:
    shapes = {
        "observation.environment_state": (5,),
        "observation.images.a": (32, 32, 3),
        "observation.state": (3,),
    }
    assert tiny_config(input_features=shapes).feature_dim == 3 + 6 + 5


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_inference_steps", 0),
        ("num_inference_steps", 2.0),
        ("sigma_stall", float("nan")),
        ("sigma_stall", "0.5"),
        ("sigma_stall", -0.1),
        ("stall_patience", 0),
        ("spacing", "even"),
        ("warm_start", ""),
        ("solver", "euler"),
        ("timesteps", (10, 20)),
        ("timesteps", (10, 10)),
        ("timesteps", 10),
        ("speed", 1),
    ],
)
def test_a_bad_setting_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        Settings().changed(**{name: value})
    assert caught.value.field == name


def test_an_empty_timestep_list_means_no_list() -> None:
    assert Settings(timesteps=()).timesteps is None


def test_whole_numbers_are_taken_where_real_ones_are_asked_for() -> None:
    assert isinstance(Settings(sigma_stall=1).sigma_stall, float)


@pytest.mark.parametrize("field", dataclasses.fields(Settings), ids=lambda field: field.name)
def test_every_setting_describes_itself_and_its_limits(field: dataclasses.Field) -> None:
    assert field.metadata["description"]
    bounded = field.metadata["low"] is not None and field.metadata["high"] is not None
    assert bounded or field.metadata["choices"] or field.name == "stall_exempt"  # names are the checkpoint's


def test_settings_beyond_a_checkpoint_are_refused_with_its_limit() -> None:
    config = tiny_config(num_train_timesteps=10)
    config.check(config.settings())
    with pytest.raises(ConfigError, match="entry_timestep is 10; accepted: at most 9"):
        config.check(config.settings(entry_timestep=10))
    with pytest.raises(ConfigError, match="action_steps is 16; accepted: at most 15"):
        config.check(config.settings(action_steps=16))
    with pytest.raises(ConfigError, match=r"timesteps is \(20, 5\)"):
        config.check(config.settings(timesteps=(20, 5)))
