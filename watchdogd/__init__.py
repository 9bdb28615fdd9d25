"""watchdogd keeps an SSH forward and the Jupyter runtime behind it usable, without ever harming a training run."""
