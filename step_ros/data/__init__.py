"""Episodes on disk in the LeRobotDataset v3.0 layout, and training windows over them."""
