"""A chunk of actions to a safe, timed joint trajectory; pure numpy."""
